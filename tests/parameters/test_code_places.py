"""Where bash executes even the value of a variable: each script here really does, and is refused for that."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mlproj.errors import UsageError
from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.config import Config
from mlproj.parameters.mlflow_command import cautions_about, pieces_of_command, render_words
from mlproj.parameters.shell import Permission, check_for_bash, check_words, rewrite_pieces
from mlproj.parameters.template import parse_template

ARITHMETIC = "x[$(touch canary)]"
CODE = "$(touch canary)"
PYTHON = "');open('canary','w');('"

# The first value of a script is one that it executes, when its placeholder is a variable.
EXECUTED = {
    "for ((i=0; i<{a}; i++)); do :; done": ARITHMETIC,
    "while (({a})); do break; done": ARITHMETIC,
    "if (({a})); then :; fi": ARITHMETIC,
    "until (({a})); do break; done": ARITHMETIC,
    "!(({a}))": ARITHMETIC,
    "true && (({a})) || :": ARITHMETIC,
    "true;(({a})) || :": ARITHMETIC,
    "true | (({a})) || :": ARITHMETIC,
    "{{ (({a})) || :; }}": ARITHMETIC,
    "echo $(echo $((1)); (({a})))": ARITHMETIC,
    "(( 1 <({a}) )) || :": ARITHMETIC,
    "echo $(case x in x) eval {a};; esac)": "touch canary",
    "[[ 1 -eq 1 &&\n {a} -eq 1 ]] || :": ARITHMETIC,
    "[[ ( {a} -eq 1 ) ]] || :": ARITHMETIC,
    "cat <<EOF\n$(( {a} ))\nEOF": ARITHMETIC,
    "cat <<EOF\n$(eval {a})\nEOF": "touch canary",
    "function f {{ eval {a}; }}; f": "touch canary",
    "eval &> /dev/null {a}": "touch canary",
    "arr=([{a}]=1)": ARITHMETIC,
    "time -p eval {a}": "touch canary",
    "python3 -c\"print('{a}')\"": PYTHON,
    "python3 -Ic\"print('{a}')\"": PYTHON,
    "python3 -W ignore -c \"print('{a}')\"": PYTHON,
    "python3 2>&1 -c \"print('{a}')\"": PYTHON,
    'bash -cx "echo {a}"': CODE,
    'bash -c -- "echo {a}"': CODE,
    'bash -o pipefail -c "echo {a}"': CODE,
    'bash --norc -c "echo {a}"': CODE,
    'SHELL=bash; $SHELL -c "echo {a}"': CODE,
    '${{NOSHELL:-bash}} -c "echo {a}"': CODE,
    'b=bash; $b -x -c "echo {a}"': CODE,
    '"$(which bash)" -c "echo {a}"': CODE,
    'timeout 5 sh -c "echo {a}"': CODE,
    'nice -n 5 sh -xc "echo {a}"': CODE,
    'env X=1 bash -lc "echo {a}"': CODE,
    'echo x | xargs sh -c "echo {a}"': CODE,
    "echo {a} | xargs -I% sh -c 'echo %'": CODE,
    "find . -maxdepth 0 -exec sh -c \"echo {a}\" ';'": CODE,
    'flock lock -c "echo {a}"': CODE,
    'echo "echo {a}" | bash': CODE,
    "cat <<EOF | bash\necho {a}\nEOF": CODE,
    "echo {a} | python3": "open('canary','w')",
    "echo {a} | python3 -": "open('canary','w')",
    "echo {a} | cat | bash -s x": CODE,
    "{{ echo {a}; }} | bash": CODE,
    "for i in {a}; do echo $i; done | bash": CODE,
    "(echo {a}) | bash": CODE,
    "echo {a} | {{ read -r x; bash; }}": "x\ntouch canary",
    "echo {a} | tee >(bash) >/dev/null; sleep 0.3": "touch canary",
    "{{ bash; }} <<< {a}": "touch canary",
    "f() {{ echo {a}; }}; x=$(f); y={a}; echo $y | bash": "touch canary",
    "bash <(echo {a})": "touch canary",
    ". <(echo {a})": "touch canary",
    "bash < <(echo {a})": "touch canary",
    "source /dev/stdin <<EOF\n{a}\nEOF": "touch canary",
    "bash /dev/stdin <<EOF\n{a}\nEOF": "touch canary",
    'bash -c "$(cat <<EOF\necho {a}\nEOF\n)"': CODE,
    'eval "$(echo {a})"': "touch canary",
    'x={a}; eval "$x"': "touch canary",
    'x={a}; bash -c "echo $x"': CODE,
    'f() {{ eval "$1"; }}; f {a}': "touch canary",
    'set -- {a}; eval "$@"': "touch canary",
    "arr=({a}); eval \"${{arr[0]}}\"": "touch canary",
    "x={a}; echo ${{x@P}}": CODE,
    "x={a}; echo ${{!x}}": "PATH[$(touch canary)]",
    "PS4={a}; set -x; :": CODE,
    "BASH_ENV={a} bash -c :": CODE,
    "export BASH_ENV={a}; bash -c :": CODE,
    "n={a}; for ((i=0;i<n;i++)); do :; done": ARITHMETIC,
    "n={a}; echo $((n+1))": ARITHMETIC,
    "n={a}; [[ $n -gt 3 ]] || :": ARITHMETIC,
    "n={a}; if (( n > 3 )); then :; fi": ARITHMETIC,
    "export n={a}; (( n )) || :": ARITHMETIC,
    "read n <<< {a}; (( n )) || :": ARITHMETIC,
    "echo {a} | while read n; do (( n )) || :; done": ARITHMETIC,
    "for n in {a}; do (( n )) || :; done": ARITHMETIC,
    "y={a}; n=$y; (( n )) || :": ARITHMETIC,
    "m={a}; n=m; (( n )) || :": ARITHMETIC,
    "n=$(echo {a}); (( n )) || :": ARITHMETIC,
    "echo $(( $(echo {a}) ))": ARITHMETIC,
    "n={a}; x=(1 2); echo ${{x[n]}}": ARITHMETIC,
    "n={a}; x=abc; echo ${{x:n}}": ARITHMETIC,
    "declare -i n; n={a}": ARITHMETIC,
    "f() {{ (( $1 )) || :; }}; f {a}": ARITHMETIC,
    "arr=({a}); (( arr[0] )) || :": ARITHMETIC,
    "n={a}; let n+=1": ARITHMETIC,
    "declare -i x={a}": ARITHMETIC,
    "sed s/x/{a}/ <<< x": "/;e touch canary\n#",
    "sed -n -e {a} <<< x": "e touch canary",
    "sed --expression={a} <<< x": "e touch canary",
    "cmd=\"eval {a}\"; $cmd": "touch canary",
    "exec <<< {a}; bash": "touch canary",
    'echo {a} | eval "$(cat)"': "touch canary",
    "IFS=, read -r n m <<< {a}; (( n )) || :": ARITHMETIC,
    "while IFS= read -r n; do (( n )) || :; done < <(echo {a})": ARITHMETIC,
    ": ${{n:=$m}}; m={a}; : ${{k:=$m}}; (( k )) || :": ARITHMETIC,
    'while read -r l; do eval "$l"; done <<EOF\n{a}\nEOF': "touch canary",
    "x=$(cat <<EOF\n{a}\nEOF\n); eval \"$x\"": "touch canary",
    "x=`echo {a}`; eval $x": "touch canary",
    "echo {a} |\n bash": "touch canary",
    "f () {{ bash; }}; echo {a} | f": "touch canary",
    "f() {{ local n=$1; (( n )) || :; }}; f {a}": ARITHMETIC,
    "n={a}; (( ${{n%.*}} )) || :": ARITHMETIC,
    "x={a}; [[ -v $x ]] || :": ARITHMETIC,
    "x={a}; unset \"$x\"": ARITHMETIC,
    "x={a}; arr[x]=1": ARITHMETIC,
    "printf -v n %s {a}; (( n )) || :": ARITHMETIC,
    "mapfile -t n < <(echo {a}); (( n[0] )) || :": ARITHMETIC,
    "awk -v x=1 {a}": 'BEGIN {system("touch canary")}',
}  # fmt: skip


def entry_point(script: str) -> EntryPoint:
    return EntryPoint(script, "mlflow", parameters={"a": Parameter()})


def run_without_a_check(script: str, value: str, folder: Path) -> str:
    everything = Permission(lambda *_: True, lambda _: "")
    pieces = pieces_of_command(entry_point(script))
    text, variables = rewrite_pieces(pieces, {"a": Parameter()}, Config({"a": value}, {}), (), everything)
    done = subprocess.run(
        ["bash", "-c", text, "bash"], cwd=folder, env={**os.environ, **variables}, capture_output=True, timeout=20
    )
    return done.stderr.decode()


@pytest.mark.parametrize("script", EXECUTED)
def test_what_executes_values_lets_in_only_harmless_ones(script: str, tmp_path: Path) -> None:
    for program in re.findall(r"\b(python3|flock|awk|which|find|xargs)\b", script):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    said = run_without_a_check(script, EXECUTED[script], tmp_path)
    assert (tmp_path / "canary").exists(), f"this script executes nothing: {said}"
    with pytest.raises(UsageError, match="its value could be executed"):
        render_words(entry_point(script), Config({"a": EXECUTED[script]}, {}), ())
    assert list(cautions_about(entry_point(script)))
    render_words(entry_point(script), Config({"a": "1"}, {}), ())
    for kind, refused in (("str", True), ("int", False)):
        assert any(check_for_bash(script, {"a": Parameter(type=kind)})) == refused


ORDINARY = [
    "python train.py --alpha {a} | tee log.txt", 'eval "$(conda shell.bash hook)" && python x.py {a}',
    'eval "$($CONDA_EXE shell.bash hook)" && python x.py {a}', "for i in $(seq {a}); do python x.py $i; done",
    "if [ {a} -gt 3 ]; then :; fi", "X={a} python x.py", "echo {a} > file", "python x.py $(echo {a})",
    "source venv/bin/activate; python x.py {a}", "sed -n 1p {a}", "sed -i s/a/c/ {a}", "sed -e s/a/c/ -i.bak {a} > x",
    "awk '{{print $1}}' {a}", "awk -v x={a} '{{print x}}' f; :", "awk -F {a} -f prog.awk; :", "sqlite3 {a} 'select 1'; :",
    "psql -h {a} -c 'select 1'; :", "declare X={a}", "local y={a}; :", "readonly Z={a}", "typeset -x Z={a}",
    "declare -x X={a}; export Y={a}", "cat {a} | python script.py", "echo {a} | bash script.sh", "echo {a} | python -c 'code'",
    "echo {a} | python -m json.tool", "python script.py <<EOF\n{a}\nEOF", "cat <<EOF > conf.yaml\n{a}\nEOF\npython x.py",
    "python train.py -c {a} && :", "python -m train -c {a} -e 3; :", "bash script.sh -c {a}; :", "Rscript train.R -e {a}; :",
    "python -c 'import sys' {a}; :", "bash -c 'echo \"$1\"' _ {a}; :", "for ((i=0;i<3;i++)); do python x.py {a} $i; done",
    "n=$(wc -l < {a}); echo $((n+1))", "m={a}; n=1; echo $((n+1)) $m", "pip install pkg[{a}]; :", "cd {a} && python x.py",
    "case {a} in x) python a.py;; *) python b.py {a};; esac", "x={a}; python x.py \"$x\"", "find {a} -name {a} | sort",
    "find {a} -exec grep -e {a} ';'", "git clone {a} -b {a}; :", "export PYTHONPATH=src && python x.py --c {a}",
    "[[ {a} == x ]] && (( 1 )); :", "echo $((1+1)) {a}", "x={a}; echo ${{x:-none}} ${{#x}}", "nohup python x.py -e {a} &",
    "read -r line < {a}; :", "trap 'rm x' EXIT; python x.py {a}", "mpirun -np {a} python x.py -c {a}; :",
    "conda run -n {a} python x.py -e {a}; :", "docker run -e X={a} image python x.py -c {a}; :",
    "unset PYTHONPATH; python x.py {a} 2>&1 | tee log", "python $SCRIPT --alpha {a}; :", "$PYTHON train.py -c {a}",
    "cmd=\"python train.py --alpha {a}\"; $cmd", "while IFS= read -r x; do python x.py $x {a}; done < {a}",
    "function f {{ python x.py $1; }}; f {a}", "f() {{ python x.py \"$@\"; }}; f {a}", "x={a}; if [ -n \"$x\" ]; then :; fi",
    "(cd src && python x.py {a})", "{{ python x.py {a}; }} > log", "python x.py {a} &> log", "bash run.sh {a} < /dev/null",
    "bash $HOME/run.sh {a}", "sh ./run.sh -c {a}; :", "echo {a} | sed s/a/b/", "echo {a} | awk '{{print $1}}'", "echo {a} | xargs -n 1 python x.py",
    "ls {a} | wc -l", "i=0; while [ $i -lt {a} ]; do i=$((i+1)); done", "curl -sSL {a} -o x", "tar -xf {a} -C {a}; :",
    "export CUDA_VISIBLE_DEVICES={a} && python x.py", "CUDA_VISIBLE_DEVICES={a} python -m torch.distributed.run x.py -c {a}; :",
    "dvc repro {a}; :", "jupyter nbconvert --execute {a}; :", "papermill in.ipynb out.ipynb -p alpha {a}; :", "make train ALPHA={a}; :",
    "docker build -t {a} . ; :", "accelerate launch train.py -c {a}; :", "echo 'it is {a}' # a comment's end\npython x.py {a}",
    "timeout {a} python x.py -c {a}; :", "arr=(--x {a}); python x.py \"${{arr[@]}}\"", "python x.py {a} >log 2>&1 && echo ok",
]  # fmt: skip


@pytest.mark.parametrize("command", ORDINARY)
def test_ordinary_commands_are_let_be(command: str) -> None:
    assert list(cautions_about(entry_point(command))) == []
    assert list(check_for_bash(command, {"a": Parameter()})) == []


def test_a_refusal_says_what_may_stand_there() -> None:
    (of_code,) = cautions_about(entry_point("bash -c 'echo {a}'"))
    assert of_code == (
        "`{a}` stands in the code that is handed to `bash`, so its value could be executed: only a number or a word of "
        "letters, digits and `_.,:/@%+=-` can stand there; hand this one over as an argument or a variable"
    )
    (arithmetic,) = cautions_about(entry_point("echo $(( {a} ))"))
    assert "only a number, true or false can stand there" in arithmetic
    (typed,) = check_for_bash("bash -c 'echo {a}'", {"a": Parameter()})
    assert "only an `int`, `float` or `bool` parameter can stand there" in typed


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["bash", "-c", "echo {a}"], True), (["env", "X=1", "bash", "-lc", "{a}"], True), (["python", "-c", "{a}"], True),
        (["timeout", "5", "sh", "-c", "x {a}"], True), (["nice", "-n", "5", "sh", "-xc", "{a}"], True),
        (["conda", "run", "bash", "-c", "{a}"], True), (["{a}", "-c", "{a}"], True), (["awk", "{a}"], True),
        (["bash", "-c", "{args}"], True), (["eval", "{a}"], True), (["Rscript", "-e", "x({a})"], True),
        (["python", "train.py", "{a}"], False), (["bash", "script.sh", "{a}"], False), (["python", "-c", "code", "{a}"], False),
        (["python", "train.py", "-c", "{a}"], False), (["bash", "-c", 'echo "$1"', "_", "{a}"], False),
        (["python", "train.py", "{args}"], False), (["{a}", "train.py"], False), (["echo", "bash", "-c", "{a}"], False),
    ],
)  # fmt: skip
def test_argument_vectors_are_held_to_the_same(words: list[str], refused: bool) -> None:
    nothing = Permission(lambda *_: False, lambda _: "nothing")
    problems = list(check_words([parse_template(word) for word in words], nothing))
    assert any("its value could be executed: only nothing" in problem for problem in problems) == refused


@pytest.mark.parametrize("script", ["echo $(" * 3000 + "{a}" + ")" * 3000, "echo {a}" + " | cat" * 3000])
def test_a_script_too_deep_to_follow_is_refused(script: str) -> None:
    with pytest.raises(UsageError, match="too deep|too long"):
        render_words(entry_point(script), Config({"a": "$(touch canary)"}, {}), ())
