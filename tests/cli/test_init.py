"""`mlproj init`: what it drafts passes `check` and runs, whatever is in the folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

ARGPARSE = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, default=1e-5, help="Regularisation strength, %(default)s: {by} # default")
parser.add_argument("--epochs", "-n", type=int, default=3)
parser.add_argument("--out-dir", default="out")
parser.add_argument("--name")
parser.add_argument("--solver", choices=["cd", "sgd"], default="cd")
parser.add_argument("--fast", action="store_true")
print(sorted(vars(parser.parse_args()).items()))
"""
PARSED = [
    ("alpha", 1e-05), ("epochs", 3), ("fast", False), ("name", None), ("out_dir", "out"), ("solver", "cd"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "wine"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def drafted(cli: Any, *words: str) -> Any:
    """Draft a manifest, check it, and run it; gives how the run ended."""
    done = cli("init", *words)
    assert done.status == 0, done.err
    checked = cli("check")
    assert (checked.status, "warning" in checked.out) == (0, False), checked.out
    return cli("run", "--env-manager", "system", "-q")


def test_an_empty_folder(folder: Path, cli: Any) -> None:
    done = drafted(cli)
    assert (done.status, done.out) == (0, "put your command here\n")


def test_an_argparse_script(folder: Path, cli: Any) -> None:
    (folder / "train.py").write_text(ARGPARSE)
    done = drafted(cli)
    assert (done.status, done.out) == (0, f"{PARSED}\n")
    assert "The parameters were read off the options in train.py" in (folder / "mlproj.yaml").read_text()
    text = cli("run", ".", "--help").out
    assert "one of cd, sgd; default: cd" in text


def test_a_click_script(folder: Path, cli: Any) -> None:
    (folder / "train.py").write_text(
        "import click\n"
        "@click.command()\n"
        "@click.option('--count', '-n', default=2, type=int, help='How often')\n"
        "@click.option('--shout/--no-shout', default=False)\n"
        "@click.option('--name', 'names', multiple=True)\n"
        "def main(count, shout, names): print(count, shout, names)\n"
        "main()\n"
    )
    done = drafted(cli)
    assert (done.status, done.out) == (0, "2 False ()\n")
    done = cli(*["run", "--env-manager", "system", "-q", "-P", "shout=true", "-P", "name=a", "-P", "name=b"])
    assert done.out == "2 True ('a', 'b')\n"


def test_a_typer_script(folder: Path, cli: Any) -> None:
    (folder / "train.py").write_text(
        "import typer\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def main(rate: float = 0.5, name: str = typer.Option('a', help='Whose')): print(rate, name)\n"
        "app()\n"
    )
    assert cli("init").status == 0
    assert cli("check").status == 0
    plan = cli("run", "--env-manager", "system", "--dry-run", "--json").json
    assert plan["argv"] == ["python", "train.py", "--rate", "0.5", "--name", "a"]


@pytest.mark.parametrize(
    ("name", "content", "declared"),
    [
        ("environment.yml", "dependencies: [python]\n", "conda: {file: environment.yml}"),
        ("Dockerfile", "FROM python:3.12-slim\n", "docker: {build: .}"),
    ],
)
def test_a_conda_environment_or_a_dockerfile(folder: Path, cli: Any, name: str, content: str, declared: str) -> None:
    (folder / name).write_text(content)
    done = cli("init", folder)
    assert done.out.endswith(f"mlproj.yaml from {name}\n")
    assert declared in (folder / "mlproj.yaml").read_text()
    assert cli("check", folder).status == 0


def test_a_requirements_file(folder: Path, cli: Any) -> None:
    (folder / "requirements.txt").write_text("pandas>=2\n")
    (folder / "main.py").write_text("print('ran')\n")
    done = cli("init")
    assert done.out == "wrote mlproj.yaml from requirements.txt, main.py\n"
    assert "requirements: requirements.txt" in (folder / "mlproj.yaml").read_text()
    assert cli("check").status == 0


def test_a_pyproject(folder: Path, cli: Any) -> None:
    (folder / "pyproject.toml").write_text('[project]\nname = "wine"\nversion = "1"\n')
    (folder / "requirements.txt").write_text("pandas>=2\n")
    assert drafted(cli).status == 0
    assert "project: pyproject.toml" in (folder / "mlproj.yaml").read_text()


def test_a_pyproject_with_settings_of_tools_alone_is_no_project(folder: Path, cli: Any) -> None:
    (folder / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    assert drafted(cli).status == 0
    assert "pyproject" not in (folder / "mlproj.yaml").read_text()


def test_several_entry_points(folder: Path, cli: Any) -> None:
    for name in ("train", "score"):
        (folder / f"{name}.py").write_text(f"print('{name}')\n")
    (folder / "data.sh").write_text("echo data\n")
    done = cli("init", "-e", "train.py", "-e", "rate=score.py", "--entry-point", "data.sh")
    assert done.status == 0
    for name, said in (("train", "train"), ("rate", "score"), ("data", "data")):
        assert cli("run", "-e", name, "--env-manager", "system", "-q").out == f"{said}\n"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("train=gone.py", "no file `gone.py`"),
        ("gone.py", "no file `gone.py`"),
        ("-x=train.py", "cannot be an entry point's name"),
        ("a b=train.py", "cannot be an entry point's name"),
    ],
)
def test_an_entry_point_that_cannot_be(folder: Path, cli: Any, word: str, said: str) -> None:
    (folder / "train.py").write_text("")
    done = cli("init", f"--entry-point={word}")
    assert (done.status, said in done.err) == (2, True)
    assert not (folder / "mlproj.yaml").exists()


def test_never_over_a_manifest_that_is_there(folder: Path, cli: Any) -> None:
    (folder / "mlproj.yaml").write_text("mine\n")
    done = cli("init")
    assert done.status == 2
    assert "mlproj.yaml is there already" in done.err
    assert "--force" in done.err
    assert (folder / "mlproj.yaml").read_text() == "mine\n"
    assert cli("init", "--force").status == 0
    assert (folder / "mlproj.yaml").read_text() != "mine\n"


def test_another_folder_and_one_that_is_not_there(folder: Path, cli: Any) -> None:
    (folder / "inner").mkdir()
    assert cli("init", "inner").status == 0
    assert cli("check", "inner").status == 0
    assert "no folder `gone`" in cli("init", "gone").err


@pytest.mark.parametrize("name", ["1e3", "0x10", "no", "null", "wine: red", "-x", "{a}", "日本", "a'b\"c"])
def test_any_name_of_the_folder(tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    assert drafted(cli).status == 0


@pytest.mark.parametrize(
    ("option", "parsed"),
    [
        ('"--text", default="1e3"', "[('text', '1e3')]"),
        ('"--text", default="0o17"', "[('text', '0o17')]"),
        ('"--text", default="no"', "[('text', 'no')]"),
        ('"--text", default="{x} {{y}} # z"', "[('text', '{x} {{y}} # z')]"),
        ('"--text", default="-x"', "[('text', '-x')]"),
        ('"--text", default="a\\nb\\x1b[31m"', "[('text', 'a\\nb\\x1b[31m')]"),
        ('"--text", default=""', "[('text', '')]"),
        ('"--number", choices=[1, 2], type=int', "[('number', None)]"),
        ('"--number", type=float, default=float("inf")', "[('number', inf)]"),
        ('"--number", type=int, default=1.5', "[('number', 1.5)]"),
        ('"--mode", choices=[1, 2]', "[('mode', None)]"),
        ('"--mode", choices=["a"], default="b"', "[('mode', 'b')]"),
        ('"--verbose", action="count", default=0', "[('verbose', 0)]"),
        ('"--keep", action="store_false"', "[('keep', True)]"),
        ('"--deep", action=argparse.BooleanOptionalAction, default=True', "[('deep', True)]"),
        ('"--names", nargs="*", default=["a", "b"]', "[('names', ['a', 'b'])]"),
        ('"--names", nargs="+", default="a"', None),
        ('"--pair", nargs=2, type=int, default=(1, 2)', None),
        ('"--args", default="x"', "[('args', 'x')]"),
        ('"--overrides", default="x"', "[('overrides', 'x')]"),
        ('"--main.lr", type=float, default=0.1', "[('main.lr', 0.1)]"),
        ('"--version", action="version", version="1"', "[]"),
    ],
)
def test_any_option_of_a_script(folder: Path, cli: Any, option: str, parsed: str | None) -> None:
    (folder / "train.py").write_text(
        "import argparse\nparser = argparse.ArgumentParser()\n"
        f"parser.add_argument({option})\nprint(sorted(vars(parser.parse_args()).items()))\n"
    )
    done = drafted(cli)
    assert done.status == 0, done.err
    if parsed is not None:
        assert done.out == parsed + "\n"


@pytest.mark.parametrize(
    "script",
    [
        "this is not Python (",
        "\x00",
        "parser.add_argument(*flags)\n",
        "parser.add_argument('--')\n",
        "parser.add_argument('--a b', '--é')\n",
        "add_argument('--x', default=" + "(" * 90 + ")" * 90 + ")\n",
        "option('--x', default=__import__('os').mkdir('executed'), help=open('executed', 'w'))\n",
        "@app.command()\ndef main(*, a=1, **b): ...\n",
        "-" * 100_000 + "1",
    ],
)
def test_a_hostile_script_is_read_and_never_run(folder: Path, cli: Any, script: str) -> None:
    (folder / "train.py").write_text(script)
    assert cli("init").status == 0
    assert cli("check").status == 0
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("name", ["-c print('smuggled') #.py", "a{b}.py", "a b.py", "日本.py", "{{args}}.py"])
def test_any_name_of_a_script(folder: Path, cli: Any, name: str) -> None:
    (folder / name).write_text("print('ran')\n")
    done = drafted(cli)
    assert (done.status, done.out) == (0, "ran\n")


def test_one_entry_point_twice(folder: Path, cli: Any) -> None:
    (folder / "train.py").write_text("")
    (folder / "other.py").write_text("")
    done = cli("init", "-e", "train=train.py", "-e", "train=other.py")
    assert done.status == 2 or cli("check").status == 0


def test_a_folder_that_cannot_be_written_to(folder: Path, cli: Any) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file\n")
    done = cli("init", folder)
    assert (done.status, "no folder" in done.err) == (2, True)


def test_what_is_no_option_is_said_to_be_left_out(tmp_path: Path, mlproj) -> None:
    (tmp_path / "train.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('data')\np.add_argument('-n', type=int)\n"
        "p.add_argument('--alpha', type=float, default=0.1)\np.parse_args()\n"
    )
    assert mlproj("init", tmp_path).returncode == 0
    drafted = (tmp_path / "mlproj.yaml").read_text()
    assert "# Left out, since they do not take their values as `--name value`: data, -n" in drafted
    assert "alpha: {type: float, default: 0.1}" in drafted


def test_typer_run_is_understood(tmp_path: Path, mlproj) -> None:
    (tmp_path / "train.py").write_text(
        "import typer\ndef main(alpha: float = 0.1, *, n: int = 3): ...\ntyper.run(main)\n"
    )
    assert mlproj("init", tmp_path).returncode == 0
    assert "alpha: {type: float, default: 0.1}" in (tmp_path / "mlproj.yaml").read_text()
