"""`mlproj migrate`: the mlproj.yaml gives a program the same words as the MLproject it was made from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproj.api.checked import checked_manifest, load_checked
from mlproj.api.migration import migrate_project
from mlproj.errors import UsageError
from mlproj.manifest.models import EntryPoint
from mlproj.parameters.config import Surroundings, resolve
from mlproj.parameters.given import from_python
from mlproj.parameters.render import render


def words_of(entry_point: EntryPoint, values: dict[str, str], folder: Path) -> list[str]:
    around = Surroundings(folder, folder, {}, lambda url, _: Path(url))
    command = render(entry_point, resolve(entry_point, from_python(values), around))
    env = {**os.environ, **command.variables}
    done = subprocess.run(command.argv, cwd=folder, env=env, capture_output=True, check=False, timeout=20)
    return os.fsdecode(done.stdout).split("\0")


def both(folder: Path, cache: Path, command: str, defaults: dict[str, str]) -> tuple[EntryPoint, EntryPoint]:
    parameters = {name: {"type": "string", "default": default} for name, default in defaults.items()}
    manifest = {"name": "x", "entry_points": {"main": {"command": command, "parameters": parameters}}}
    (folder / "mlproj.yaml").unlink(missing_ok=True)
    (folder / "MLproject").write_text(yaml.safe_dump(manifest))
    before = checked_manifest(folder, cache).manifest.entry_points["main"]
    migration = migrate_project(folder)
    assert migration.left_out == (), migration.text
    migration.path.write_text(migration.text)
    after, _ = load_checked(folder)
    assert after.manifest.dialect == "mlproj"
    return before, after.manifest.entry_points["main"]


COMMANDS = [
    r"printf '%s\0' {a} '{a}' \"{a}\" x{b}",
    r"printf '%s\0' {a} && printf '%s\0' \"$UNSET{b}\"",
    r"printf '%s\0' \'{a}\' {{x,y}} ${{HOME}} '{{{{' \"{{{a}}}\"",
    r"printf '%s\0' \"$(printf %s. '{a}')\" | cat",
    "printf '%s\\0' {a} \\\n  {b}\n",
    "X={a}\nprintf '%s\\0' \"$X\" ; : # {b}\n",
    "cat <<EOF\n{a} {{literal}} }}}} {b}\nEOF\n",
]


@pytest.mark.parametrize("command", [each.replace(r"\"", '"') for each in COMMANDS])
@settings(max_examples=15, deadline=None)
@given(
    first=st.text(st.characters(exclude_characters="\x00\r", exclude_categories=["Cs"]), max_size=12),
    second=st.sampled_from(["", "1", "a b", "$(x)", "it's", '"', "{b}", "${b}", "*", "~", "true", "0x1f"]),
)
def test_the_same_words_arrive_for_the_same_values(
    command: str, first: str, second: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "migrated"
    folder.mkdir(exist_ok=True)
    before, after = both(folder, folder / "cache", command, {"a": "x", "b": second})
    for values in ({}, {"a": first}):
        assert words_of(after, values, folder) == words_of(before, values, folder)


def text_of(folder: Path, manifest: str, **others: str) -> tuple[str, tuple[str, ...]]:
    (folder / "MLproject").write_text(manifest)
    for name, content in others.items():
        (folder / f"{name}.yaml").write_text(content)
    migration = migrate_project(folder)
    return migration.text, migration.left_out


def test_hints_become_comments_on_what_could_be_declared(tmp_path: Path) -> None:
    text, left_out = text_of(
        tmp_path,
        "entry_points: {main: {command: 'python x.py {a} {b}', parameters: {a: {type: float, default: 0.5}, b: int}}}",
    )
    assert left_out == ()
    assert "# could be {type: float, default: 0.5}" in text
    assert '      a: {type: str, default: "0.5"}' in text
    assert "# could be {type: int}" in text
    assert yaml.safe_load(text)["entry_points"]["main"]["command"] == ["python", "x.py", "{a}", "{b}"]


def test_what_stands_in_code_gets_the_type_of_its_hint(tmp_path: Path) -> None:
    text, left_out = text_of(
        tmp_path,
        "entry_points: {main: {command: 'python -c \"print({a})\"; :', parameters: {a: {type: float, default: 0.5}}}}",
    )
    assert left_out == ()
    assert "      a: {type: float, default: 0.5}" in text


def test_code_of_a_command_without_a_shell_is_not_carried_over_unguarded(tmp_path: Path) -> None:
    text, left_out = text_of(
        tmp_path,
        """
entry_points:
  main: {command: "echo {a}", parameters: {a: string}}
  code: {command: "bash -c 'echo {a}'", parameters: {a: string}}
  typed: {command: "bash -c 'echo {a}'", parameters: {a: {type: int, default: 1}}}
""",
    )
    assert [each.split(":")[0] for each in left_out] == ["the entry point `code`"]
    assert list(yaml.safe_load(text)["entry_points"]) == ["main", "typed"]
    assert yaml.safe_load(text)["entry_points"]["typed"]["parameters"]["a"] == {"type": "int", "default": 1}


def test_what_cannot_be_carried_over_is_told_in_the_file_and_beside_it(tmp_path: Path) -> None:
    text, left_out = text_of(
        tmp_path,
        """
docker_env: {image: "a/b"}
entry_points:
  main: {command: "echo {a}", parameters: {a: string}}
  "two words": {command: a}
  odd: {command: "echo {x y}", parameters: {x y: string}}
  code: {command: "python -c 'f({a})'; :", parameters: {a: string}}
  broken: {command: "echo {nope}"}
""",
    )
    assert [each.split(":")[0] for each in left_out] == [
        "the entry point `broken`",
        "the entry point `two words`",
        "the entry point `odd`",
        "the entry point `code`",
    ]
    assert text.count("# Not carried over: ") == 4
    assert list(yaml.safe_load(text)["entry_points"]) == ["main"]


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("docker_env: {image: a/b}", {"docker": {"image": "a/b"}}),
        (
            'docker_env: {image: a/b, volumes: ["$(pwd)/x:/x"], environment: [[A, 1], B]}',
            {"docker": {"image": "a/b", "volumes": ["$(pwd)/x:/x"], "environment": {"A": "1", "B": None}}},
        ),
        ("conda_env: env.yml", {"conda": {"file": "env.yml"}}),
    ],
)
def test_conda_and_docker_environments_are_carried_over(tmp_path: Path, declared: str, written: Any) -> None:
    (tmp_path / "env.yml").write_text("dependencies: [python]\n")
    text, left_out = text_of(tmp_path, f"{declared}\nentry_points: {{main: {{command: python -V}}}}\n")
    assert (yaml.safe_load(text)["environment"], left_out) == (written, ())


def test_an_entry_points_name_that_reads_as_a_number_stays_a_name(tmp_path: Path) -> None:
    text, _ = text_of(tmp_path, "entry_points: {5: {command: a}}")
    (tmp_path / "mlproj.yaml").write_text(text)
    assert list(load_checked(tmp_path)[0].manifest.entry_points) == ["5"]


def test_a_uri_stays_one_with_a_scheme(tmp_path: Path) -> None:
    text, _ = text_of(tmp_path, "entry_points: {main: {command: 'a {u}', parameters: {u: uri}}}")
    (tmp_path / "mlproj.yaml").write_text(text)
    entry_point = load_checked(tmp_path)[0].manifest.entry_points["main"]
    around = Surroundings(tmp_path, tmp_path, {}, lambda url, _: Path(url))
    assert resolve(entry_point, from_python({"u": "s3://b/k"}), around).values == {"u": "s3://b/k"}
    with pytest.raises(UsageError, match="expected a text that matches"):
        resolve(entry_point, from_python({"u": "data.csv"}), around)


def test_a_project_without_entry_points_has_nothing_to_migrate(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no entry point that an mlproj.yaml could have"):
        text_of(tmp_path, "name: x\n")


def test_a_python_env_becomes_a_virtualenv(tmp_path: Path) -> None:
    text, left_out = text_of(
        tmp_path,
        "python_env: env.yaml\nentry_points: {main: {command: x}}\n",
        env='python: "3.10.4"\ndependencies: [-r requirements.txt, "numpy>=1", --extra-index-url https://i.example, -c c.txt]\n',
    )
    data = yaml.safe_load(text)
    assert data["environment"]["virtualenv"] == {
        "python": "3.10",
        "requirements": "requirements.txt",
        "dependencies": ["numpy>=1"],
        "extra_index_urls": ["https://i.example"],
    }
    assert left_out[0] == "the requirement `-c c.txt`: put it into a requirements file"
