"""example-projects/hello-params: values of every type on their way from the command line to the entry point."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema

from .conftest import REPOSITORY

NASTY = "O'H $(touch pwned) `touch pwned`\"; #"


def printed(output: str, label: str) -> list | dict:
    line = next(line for line in output.splitlines() if line.startswith(label + ": "))
    return json.loads(line.removeprefix(label + ": "))


def test_the_defaults(mlproj, example):
    ran = mlproj("run", example("hello-params"))
    assert ran.returncode == 0
    parameters = printed(ran.stdout, "parameters")
    assert {name: type(value).__name__ for name, value in parameters.items()} == {
        "name": "str", "colour": "str", "code": "str", "count": "int", "rate": "float", "loud": "bool",
        "template": "str", "origin": "str", "network": "dict", "since": "str", "words": "list", "weights": "list",
        "limit": "NoneType",
    }  # fmt: skip
    assert ran.stdout.count("Hello, world!") == 3
    assert "token: none" in ran.stdout
    assert "✓ finished" in ran.stderr


def test_the_second_run_is_warm(mlproj, example):
    project = example("hello-params")
    mlproj("run", project)
    again = mlproj("run", project)
    assert again.returncode == 0
    assert "resolving" not in again.stderr and "installing" not in again.stderr


def test_given_values(mlproj, example, tmp_path):
    (tmp_path / "mine.txt").write_text("Dear {name}")
    ran = mlproj(
        "run", example("hello-params"),
        "-P", f"name={NASTY}", "-P", "count=1", "-P", "loud=YES", "-P", "template=mine.txt", "-P", "limit=5",
        "-P", "words=a, b", "-P", "words=-c", "-P", "weights=[1, 0.25]", "-P", 'network={"x": null}',
        "-P", "since=2026-02-01T10:00:00Z",
        cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    parameters = printed(ran.stdout, "parameters")
    assert parameters["name"] == NASTY
    assert parameters["words"] == ["a, b", "-c"]
    assert parameters["weights"] == [1.0, 0.25]
    assert parameters["network"] == {"x": None}
    assert parameters["template"] == str(tmp_path / "mine.txt"), "relative to where the user is"
    words = printed(ran.stdout, "words")
    assert words[:2] == ["--name", NASTY]
    assert "--loud" in words
    assert words[words.index("--words") + 1] == "a, b"
    assert "--words=-c" in words, "no value is taken for an option"
    assert words[words.index("--limit") + 1] == "5"
    assert f"Dear {NASTY}".upper() in ran.stdout
    assert not list(tmp_path.rglob("pwned"))


def test_values_from_a_file_lose_against_those_of_the_command_line(record, example, tmp_path):
    (tmp_path / "values.toml").write_text('name = "file"\ncount = 2\n')
    made = record(example("hello-params"), "--params-file", tmp_path / "values.toml", "-P", "name=command line")
    assert (made["parameters"]["name"], made["parameters"]["count"]) == ("command line", 2)


def test_wrong_values_are_told_all_at_once_and_nothing_runs(mlproj, example):
    ran = mlproj(
        "run", example("hello-params"), "-P", "colour=yellow", "-P", "count=many", "-P", "code=x", "-P", "rat=1"
    )
    assert ran.returncode == 2
    for told in ("red, green, blue", "`many`", "[A-Z]{2}", "Did you mean `rate`?"):
        assert told.lower() in ran.stderr.lower()
    assert ran.stdout == ""
    assert json.loads(mlproj("runs", "--json").stdout) == []


def test_a_secret_reaches_the_command_and_nothing_else(mlproj, example, own_home, tmp_path):
    project, secret = example("hello-params"), "tr0ub4dor&3-in-a-variable"
    outputs = []
    ran = mlproj("run", project, "--json", env={"HELLO_TOKEN": secret})
    assert f"token: {len(secret)} characters" in ran.stderr
    outputs += [ran.stdout, ran.stderr]
    (tmp_path / "token").write_text(secret + "\n")
    ran = mlproj("run", project, "--verbose", "-P", "token=@token", cwd=tmp_path)
    assert f"token: {len(secret)} characters" in ran.stdout
    outputs += [ran.stdout, ran.stderr]
    ran = mlproj("run", project, "--dry-run", env={"HELLO_TOKEN": secret})
    outputs += [ran.stdout, ran.stderr]
    for command in (["show"], ["show", "--json"], ["logs"], ["runs", "--json"], ["diff", "@last", "--json"]):
        outputs.append(mlproj(*command).stdout)
    assert not [output for output in outputs if secret in output]
    assert files_holding(secret, own_home) == []


def files_holding(text: str, folder: Path) -> list[Path]:
    """As ``grep -r`` finds them."""
    paths = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]
    assert any(path.name == "mlproj.db" for path in paths)
    return [path for path in paths if text.encode() in path.read_bytes()]


def test_a_command_that_is_a_text_meets_no_shell(mlproj, example):
    project = example("hello-params")
    ran = mlproj("run", project, "-e", "text", "-P", f"name={NASTY}")
    assert printed(ran.stdout, "words") == [
        "--greeting", f"Good morning, {NASTY}!", "--literal", "{name}", "--not-a-variable", "$HOME"
    ]  # fmt: skip
    assert not list(project.rglob("pwned"))


def test_a_command_with_bash_reads_values_as_variables(record, mlproj, example):
    project = example("hello-params")
    made = record(project, "-e", "shell", "-P", f"name={NASTY}", "-P", "count=12")
    assert mlproj("logs", made["id"]).stdout == f"11: hello, {NASTY}\n12: hello, {NASTY}\n"
    assert made["environment"]["kind"] == "system"
    assert not list(project.rglob("pwned"))


def test_words_after_the_dashes_are_appended(mlproj, example):
    ran = mlproj("run", example("hello-params"), "-e", "text", "--", "--more", "a b")
    assert printed(ran.stdout, "words")[-2:] == ["--more", "a b"]


def test_an_unknown_entry_point_names_those_there_are(mlproj, example):
    ran = mlproj("run", example("hello-params"), "-e", "shel")
    assert ran.returncode == 2
    assert "main" in ran.stderr and "text" in ran.stderr and "did you mean `shell`?" in ran.stderr.lower()


def test_a_dry_run_shows_the_plan_and_records_nothing(mlproj, example):
    planned = mlproj("run", example("hello-params"), "-P", "count=7", "--dry-run", "--json")
    plan = json.loads(planned.stdout)
    assert plan["argv"][plan["argv"].index("--count") + 1] == "7"
    assert json.loads(mlproj("runs", "--json").stdout) == []


def test_the_record_follows_its_schema(record, example):
    schema = json.loads((REPOSITORY / "schemas" / "run.schema.json").read_text())
    jsonschema.validate(record(example("hello-params"), "-P", "limit=1", env={"HELLO_TOKEN": "sesame"}), schema)
