"""Commands that ask for bash: real bash, hostile values, every quoting context; nothing of a value is executed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproj.errors import UsageError
from mlproj.manifest.models import Parameter
from mlproj.parameters.config import Config
from mlproj.parameters.shell import check_for_bash, rewrite_for_bash

SHOW = f"{sys.executable} -S -c 'import sys,json;print(json.dumps(sys.argv[1:]))'"
PARAMETERS = {"a": Parameter(type="str"), "n": Parameter(type="int")}


def run(script: str, value: str, folder: Path) -> subprocess.CompletedProcess[str]:
    rewritten, variables = rewrite_for_bash(script, PARAMETERS, Config({"a": value, "n": 3}, {}), ())
    argv = ["bash", "-euo", "pipefail", "-c", rewritten]
    environment = {**os.environ, **variables, "LC_ALL": "C.UTF-8"}
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, errors="surrogateescape")


def arrived(script: str, value: str, folder: Path) -> list[str]:
    finished = run(script, value, folder)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


HOSTILE = "$(touch pwned) `touch pwned` ' \" ; touch pwned & | > pwned \\ * ~ {a} #x !! a[$(touch pwned)] \t"

CONTEXTS = [
    "show {a}", 'show "{a}"', "show '{a}'", 'show x"{a}"y', "show x'{a}'y", "show $'{a}'", "show $'\\t{a}'",
    'show "$(printf %s "{a}")"', 'show "$(printf %s {a})"', "show \"`printf %s {a}`\"", 'x="{a}"; show "$x"',
    "x={a}; show \"$x\"", "x='{a}' bash -c '{ :; }'; show {a}", "if true; then show {a}; fi", "for i in {a}; do show \"$i\"; done",
    "f() { show \"$1\"; }; f {a}", "show \"'{a}'\"", "show '\"'{a}'\"'", "true && show {a} || false", "(show {a})",
    "{ show {a}; }", "show {a} # {a} 'comment\n", "[[ {a} == x ]] || show {a}", "case {a} in x) show 1;; *) show {a};; esac",
    "show {a} | cat", "show \"$(show \"$(printf %s {a})\" | cat)\"", "show \"${HOME:+x}\"{a}", "show \\'{a}\\'", "show a\\ b{a}",
    'x=$(( {n} + 1 )); show {a}', "while read -r l; do show {a}; break; done <<< x", "arr=({a}); show \"${arr[0]}\"",
    "cat <<EOF >/dev/null\n{a}\nEOF\nshow {a}", "show \"a\"'b'{a}", "show \\\n {a}", "! false && show {a}",
]  # fmt: skip


@pytest.mark.parametrize("script", CONTEXTS)
def test_a_hostile_value_arrives_and_executes_nothing(script: str, tmp_path: Path) -> None:
    script = f'show() {{ {SHOW} "$@"; }}\n' + script
    words = arrived(script, HOSTILE, tmp_path)
    assert any(HOSTILE.strip() in word or json.dumps(HOSTILE)[1:-3] in word for word in words), words
    assert list(tmp_path.iterdir()) == []


def test_the_value_is_one_word_in_every_plain_place(tmp_path: Path) -> None:
    show = f'show() {{ {SHOW} "$@"; }}; '
    assert arrived(show + "show {a} \"{a}\" '{a}' x{a}", "p q", tmp_path) == ["p q", "p q", "p q", "xp q"]


def test_a_here_document_gets_the_value(tmp_path: Path) -> None:
    assert run("cat <<EOF\n[{a}]\nEOF", HOSTILE, tmp_path).stdout == f"[{HOSTILE}]\n"
    assert run("cat <<-EOF\n\t[{a}]\n\tEOF\necho after", "v", tmp_path).stdout == "[v]\nafter\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "script",
    [
        'eval "echo {a}"', "eval echo {a}", "bash -c 'echo {a}'", 'sh -c "echo {a}"', "/bin/bash -lc {a}", "env X=1 bash -c {a}",
        "python -c 'print({a})'", 'python3.11 -c "{a}"', "perl -e {a}", "Rscript -e {a}", "awk '{print {a}}'", "sed s/x/{a}/",
        "ssh host {a}", "echo $(( {a} ))", "echo $[ {a} ]", "(( x = {a} ))", "let x={a}", "[[ {a} -eq 1 ]]", "[[ 1 -lt {a} ]]",
        "arr[{a}]=1", 'echo "${x[{a}]}"', "echo ${x:-{a}}", "trap {a} EXIT", "source {a}", ". {a}", "alias x={a}",
        "declare {a}", "read {a}", "unset {a}", "printf -v {a} x", "test -v {a}", "[ -v {a} ]", "command eval {a}",
        "cat <<'EOF'\n{a}\nEOF\n", "python <<EOF\nprint('{a}')\nEOF\n", "bash <<< {a}", "echo \\{a}", 'echo "\\{a}"',
        "xargs sh -c {a}", "sudo bash -c {a}", "exec bash -c \"{a}\"", 'echo "$(( $(echo "{a}") + {a} ))"',
    ],
)  # fmt: skip
def test_places_where_a_value_would_be_code_are_refused(script: str) -> None:
    with pytest.raises(UsageError, match="could be executed|here-document|backslash"):
        rewrite_for_bash(script, PARAMETERS, Config({"a": "x", "n": 1}, {}), ())
    assert list(check_for_bash(script, PARAMETERS))


@pytest.mark.parametrize("script", ["echo $(( {n} * 2 ))", "[[ {n} -gt 2 ]] && echo 6", "python3 -c 'print({n} * 2)'"])
def test_numbers_may_stand_there(script: str, tmp_path: Path) -> None:
    assert run(script, "x", tmp_path).stdout.strip() == "6"


def test_braces_of_bash_stay(tmp_path: Path) -> None:
    assert run('x=1; echo "${x}" {1..3} ${x:-2} {a,b}', "v", tmp_path).stdout == "1 1 2 3 1 a b\n"
    assert run("echo '{{a}}'", "v", tmp_path).stdout == "{a}\n"


def test_a_failing_step_fails_the_run(tmp_path: Path) -> None:
    assert run("false\necho not here", "v", tmp_path).stdout == ""
    assert run("false | cat\necho not here", "v", tmp_path).returncode == 1
    assert "unbound variable" in run("echo $UNSET_VARIABLE", "v", tmp_path).stderr


def test_extra_words_and_args_are_words(tmp_path: Path) -> None:
    script = f"{SHOW} {{args}}"
    rewritten, variables = rewrite_for_bash(
        script, PARAMETERS, Config({"a": "x y", "n": 3}, {}), ("$(touch pwned)", "b c")
    )
    found = subprocess.run(
        ["bash", "-c", rewritten],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert json.loads(found.stdout) == ["--a", "x y", "--n", "3", "$(touch pwned)", "b c"]
    assert list(tmp_path.iterdir()) == []


def test_names_that_bash_has_no_variables_for(tmp_path: Path) -> None:
    parameters = {name: Parameter(type="str") for name in ("a-b", "a_b", "a.b")}
    config = Config({"a-b": "1", "a_b": "2", "a.b": "3"}, {})
    rewritten, variables = rewrite_for_bash("echo {a-b} {a_b} {a.b}", parameters, config, ())
    found = subprocess.run(["bash", "-c", rewritten], env={**os.environ, **variables}, capture_output=True, text=True)
    assert found.stdout == "1 2 3\n"


values = st.text(alphabet="ab $`\\\"';&|<>(){}[]*?~#!=\n\t-é", max_size=20)
opening = st.sampled_from(
    ["", "x ", '"', "'", "$(echo ", '"$(echo "', "`echo ", "x=", "$'", "# c\n", "((1)); ", "\\'", "[[ 1 == "]
)


@given(st.lists(opening, max_size=3), values, st.sampled_from(["", '"', "'", ")", "`", " ]]", ')"']))
@settings(max_examples=150, deadline=None)
def test_whatever_surrounds_it_nothing_of_a_value_runs(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], value: str, after: str
) -> None:
    folder = tmp_path_factory.mktemp("bash")
    hostile = f"{value}$(touch pwned)`touch pwned`;touch pwned\ntouch pwned\n'\"$(touch pwned)"
    script = "echo " + "".join(before) + "{a}" + after
    try:
        run(script, hostile, folder)
    except UsageError:
        return
    assert list(folder.iterdir()) == []
