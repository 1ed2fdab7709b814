"""Commands of MLproject files: what arrives at the program is the value, whatever it holds and wherever it stands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlproj.errors import UsageError
from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.config import Config
from mlproj.parameters.mlflow_command import cautions_about, problems_of, render_words, words_without_a_shell
from mlproj.parameters.template import Placeholder, TemplateError, parse_format

ECHO = r"""printf '%s\0'"""


def rendered(
    command: str, values: dict[str, str], more: dict[str, str] | None = None, extra: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], dict[str, str], str | None]:
    entry_point = EntryPoint(command, "mlflow", parameters={name: Parameter() for name in values})
    return render_words(entry_point, Config(dict(values), dict(values), undeclared=more or {}), extra)


def arriving(
    command: str, values: dict[str, str], folder: Path, more: dict[str, str] | None = None
) -> tuple[list[str], str]:
    """The words that a real run of the command prints NUL-terminated, and what it says on stderr."""
    argv, variables, _ = rendered(command, values, more)
    done = subprocess.run(
        argv, cwd=folder, env={**os.environ, **variables}, capture_output=True, check=False, timeout=20
    )
    words = os.fsdecode(done.stdout).split("\0")
    return words[:-1] if len(words) > 1 else words, done.stderr.decode()


CONTEXTS = {
    "{a}": "{}",
    '"{a}"': "{}",
    "'{a}'": "{}",
    r"\'{a}\'": "'{}'",
    r"\"{a}\"": '"{}"',
    "main.steps={a}": "main.steps={}",
    "--x='{a}'\"{a}\"": "--x={}{}",
    '"say \\"{a}\\""': 'say "{}"',
    "$'{a}'": "{}",
    '"$(printf %s. {a})"': "{}.",
    '"$(printf %s. "{a}")"': "{}.",
    "\"$(printf %s. '{a}')\"": "{}.",
    '"`printf %s. {a}`"': "{}.",
    '"$(x={a}; printf %s. "$x")"': "{}.",
    '"$(cat <<EOF\n{a}.\nEOF\n)"': "{}.",
    "\"$(cat <<'EOF'\n$X `y` \\ \\\\ {a}.\nEOF\n)\"": "$X `y` \\ \\\\ {}.",
    '"$(cat <<-"EOF" | cat\n\t$X{a}.\n\tEOF\n)"': "$X{}.",
    '"$(cat <<\\EOF\n$X{a}.\nEOF\n)"': "$X{}.",
    "\"$(cat <<'EOF'\n$X.\nEOF\n)\" {a}": "$X.\0{}",
    '"${{UNSET:+x}}{a}"': "{}",
    "$([[ -n {a} || 1 ]] && echo yes) {a}": "yes\0{}",
}
hostile = st.one_of(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30),
    st.text("'\"\\$`(){}[];&|<>*?~#! \n\tae=-", max_size=20),
    st.sampled_from(
        ["$(touch canary)", "`touch canary`", "'; touch canary; '", '"; touch canary; "', "\n touch canary\n", "EOF"]
        + [
            "*",
            "~",
            "a b  c",
            "",
            "-n",
            "$HOME",
            "${IFS}",
            "a\\",
            "\\",
            "{x,y}",
            "é→",
            "!!",
            "%s",
            "a\nEOF\ntouch canary",
        ]
    ),
)


@pytest.mark.parametrize("context", CONTEXTS)
@settings(max_examples=40, deadline=None)
@given(value=hostile)
@example(value='x\'; touch canary; "$(touch canary)" `touch canary`')
def test_the_value_arrives_as_it_is_in_every_quoting_context(
    context: str, value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "arriving"
    folder.mkdir(exist_ok=True)
    words, said = arriving(f"{ECHO} {context}; :", {"a": value}, folder)
    assert words == CONTEXTS[context].replace("{}", value).split("\0"), said
    assert list(folder.iterdir()) == []


@settings(max_examples=150, deadline=None)
@given(value=hostile, name=hostile.filter(lambda name: name.strip() and not {"\n", "\r"} & set(name)))
def test_a_command_without_shell_syntax_meets_no_shell(value: str, name: str) -> None:
    argv, variables, shell = rendered("python train.py --alpha '{a}' \"b {a}\" {a}", {"a": value}, {name: value})
    assert argv == ("python", "train.py", "--alpha", value, f"b {value}", value, f"--{name}", value)
    assert (variables, shell) == ({}, None)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python train.py \\\n  --alpha {a}\n", ["python", "train.py", "--alpha", "1"]),
        ("python train.py --alpha {a} \\\n", ["python", "train.py", "--alpha", "1"]),
        ('python \'a b\' "c\\"d" e\\ f', ["python", "a b", 'c"d', "e f"]),
        ("python x.py \\ \n", ["python", "x.py", " "]),
        ('  python   x.py  ""  ', ["python", "x.py", ""]),
        ("{a} x", ["1", "x"]),
        ("mlflow run . -P x={a}", ["mlflow", "run", ".", "-P", "x=1"]),
    ],
)
def test_plain_commands_are_split_as_bash_would(command: str, words: list[str]) -> None:
    argv, _, shell = rendered(command, {"a": "1"})
    assert (list(argv), shell) == (words, None)


@pytest.mark.parametrize(
    "command",
    ["a; b", "a && b", "a | b", "a > b", "X=1 a", "a $(b)", "a $B", "a `b`", "cd a", "a *", "a ~/b", "a\nb", "a # b"]
    + ["source a", "! a", "[ a ]", "echo {{a,b}}", "if a", "a 'b", "a \r", "export A"],
)
def test_what_bash_makes_something_of_is_run_by_bash(command: str) -> None:
    argv, _, shell = rendered(command, {})
    assert argv[:5] == ("bash", "-e", "-o", "pipefail", "-c")
    assert shell == "bash"


def test_undeclared_values_follow_on_the_last_line(tmp_path: Path) -> None:
    words, said = arriving(f"X=1\n{ECHO} {{a}} \\\n", {"a": "1"}, tmp_path, {"more": "x y; touch canary", "k-k": "-1"})
    assert words == ["1", "--more", "x y; touch canary", "--k-k", "-1"], said
    assert list(tmp_path.iterdir()) == []


def test_undeclared_values_have_no_place_after_a_here_document() -> None:
    with pytest.raises(UsageError, match="ends in a here-document"):
        rendered("cat <<EOF\nx\nEOF", {}, {"more": "1"})
    assert rendered("cat <<EOF\nx\nEOF", {})[2] == "bash"


@pytest.mark.parametrize(
    ("command", "status"), [("false\necho on", 1), ("false | cat", 1), ("echo $UNSET_VARIABLE", 0), ("exit 7; :", 7)]
)
def test_a_step_that_fails_fails_the_run(command: str, status: int) -> None:
    argv, variables, _ = rendered(command, {})
    assert subprocess.run(argv, env={**os.environ, **variables}, capture_output=True, check=False).returncode == status


def test_hydra_idioms_of_the_wild(tmp_path: Path) -> None:
    command = ECHO + r" main.steps=\'{steps}\' $(echo {hydra_options}); :"
    values = {"steps": "download,train", "hydra_options": "a.b=1 c=2"}
    assert arriving(command, values, tmp_path)[0] == ["main.steps='download,train'", "a.b=1", "c=2"]


@pytest.mark.parametrize(
    "command",
    ["python -c 'main({a})'", "bash -c \"echo '{a}'\"", "eval echo {a}", "echo $(( {a} + 1 ))", "[[ {a} -eq 1 ]]"]
    + [
        "let x={a}",
        "sed -e s/x/{a}/ y",
        "awk {a} y",
        "python - <<EOF\nprint({a})\nEOF",
        "perl -e {a}",
        "declare -i x={a}",
    ],
)
def test_where_values_would_be_code_only_some_are_let_in(command: str) -> None:
    assert rendered(command, {"a": "0.5"})
    for value in ("a[$(touch canary)]", "__import__('os')", "x; y", "$(x)", "1 2"):
        with pytest.raises(UsageError, match="its value could be executed"):
            rendered(command, {"a": value})
    entry_point = EntryPoint(command, "mlflow", parameters={"a": Parameter()})
    assert ["its value could be executed" in each for each in cautions_about(entry_point)] == [True]


def test_a_plain_word_may_stand_in_a_string_of_code() -> None:
    assert rendered("python -c 'load(\"{a}\")'", {"a": "data/wine-2.csv"})
    with pytest.raises(UsageError, match="could be executed"):
        rendered("echo $(( {a} ))", {"a": "wine"})


def test_a_value_names_no_variable() -> None:
    with pytest.raises(UsageError, match="stands after a `\\$`"):
        rendered('echo "${a}"', {"a": "HOME"})
    assert rendered("echo '${a}'", {"a": "HOME"})
    assert rendered(r'echo "\${a}"', {"a": "HOME"})


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo {", "Single '{'"),
        ("echo }", "Single '}'"),
        ("echo {}", "names no parameter"),
        ("echo {0}", "names no parameter"),
        ("""echo '{"a": 1}'""", "a placeholder is a parameter's name alone"),
        ("echo {alpha:.2f}", "a placeholder is a parameter's name alone"),
        ("echo {alpha!r}", "a placeholder is a parameter's name alone"),
        ("echo {alpha[0]}", "a placeholder is a parameter's name alone"),
    ],
)
def test_braces_that_are_no_placeholder(command: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said.replace("{", r"\{").replace("}", r"\}")):
        parse_format(command, ["alpha"])


def test_placeholders_without_a_parameter_are_named() -> None:
    entry_point = EntryPoint("echo {alpa} {x}", "mlflow", parameters={"alpha": Parameter()})
    first, second = problems_of(entry_point)
    assert first == "no parameter `alpa` for `{alpa}` (`alpha`). Did you mean `alpha`?"
    assert second.startswith("no parameter `x`")


@settings(max_examples=200, deadline=None)
@given(text=st.text("ab{}:!.[] $'\"\\", max_size=12))
def test_templates_are_read_as_str_format_fills_them(text: str) -> None:
    try:
        pieces = parse_format(text, ["a", "b"])
    except TemplateError:
        return
    if all(piece.name in ("a", "b") for piece in pieces if isinstance(piece, Placeholder)):
        ours = "".join(piece if isinstance(piece, str) else f"<{piece.name}>" for piece in pieces)
        assert ours == text.format(a="<a>", b="<b>")


@settings(max_examples=200, deadline=None)
@given(text=st.text("ab '\"\\=x\n", max_size=14))
def test_splitting_without_a_shell_agrees_with_bash(text: str) -> None:
    words = words_without_a_shell([f"{text} end" if not text.endswith("\\") else text])
    if words is None or not words or not words[0]:
        return
    ours = ["".join(str(piece) for piece in word) for word in words]
    script = f"printf '%s\\0' {text}" + ("" if text.endswith("\\") else " end")
    if "\n" in text.replace("\\\n", ""):
        return
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False)
    assert done.stdout.decode().split("\0")[:-1] == ours
