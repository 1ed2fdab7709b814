"""`mlproj check`: all findings at once, with their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BROKEN = """\
name: wine
environment: {virtualenv: {dependancies: [pandas]}}
entry_points:
  train:
    command: [python, train.py, "{alhpa}"]
    parameters:
      alpha: {type: flaot, default: 0.5}
"""


def test_a_sound_manifest(wine: Path, cli: Any) -> None:
    done = cli("check")
    assert (done.status, done.err) == (0, "")
    assert done.out == f"✓ {wine}/mlproj.yaml: wine, 3 entry points\n"


def test_every_finding_has_its_place_and_what_was_meant(project: Any, cli: Any) -> None:
    folder = project(BROKEN)
    done = cli("check", folder)
    assert done.status == 2
    assert f"{folder}/mlproj.yaml:2:28: error: unknown key `dependancies`" in done.out
    assert "Did you mean `dependencies`?" in done.out
    assert f"{folder}/mlproj.yaml:7:21: error: expected one of str, int, float" in done.out
    assert "Did you mean `float`?" in done.out
    assert "      |                            ^^^^^^^^^^^^" in done.out.splitlines()
    assert done.out.splitlines()[-1] == "✗ 3 errors"


def test_what_no_single_value_shows_is_found_too(project: Any, cli: Any) -> None:
    manifest = BROKEN.replace("dependancies", "dependencies").replace("flaot", "float")
    done = cli("check", project(manifest))
    assert done.status == 2
    assert "5:34: error: no parameter `alhpa` for `{alhpa}` (`alpha`). Did you mean `alpha`?" in done.out


def test_warnings_leave_the_status_at_0(project: Any, cli: Any) -> None:
    folder = project("entry_points: {main: {command: [python, -V], parameters: {alpha: {default: a}}}}")
    done = cli("check", folder)
    assert done.status == 0
    assert "warning: the parameter `alpha` is not used" in done.out
    assert done.out.splitlines()[-1].endswith("1 entry point, 1 warning")


def test_json(project: Any, cli: Any) -> None:
    folder = project(BROKEN)
    done = cli("check", folder, "--json")
    assert done.status == 2
    assert done.json["valid"] is False
    finding = done.json["findings"][0]
    assert (finding["severity"], finding["line"], finding["column"]) == ("error", 2, 28)
    assert finding["file"] == f"{folder}/mlproj.yaml"
    folder = project("entry_points: {main: {command: [python, -V]}}")
    assert cli("check", folder, "--json").json == {"project": "project", "valid": True, "findings": []}


def test_a_file_of_the_project_means_the_project(wine: Path, cli: Any) -> None:
    assert cli("check", wine / "mlproj.yaml").out == cli("check", wine).out


def test_an_mlproject_is_checked_as_a_manifest_is(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "MLproject").write_text("name: old\nentry_points:\n  main: {command: 'echo {nope}'}\n")
    done = cli("check", tmp_path)
    assert done.status == 2
    assert f"{tmp_path}/MLproject:3:25: error: no parameter `nope` for `{{nope}}`" in done.out


def test_types_of_an_mlproject_are_hints_and_no_warnings(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "MLproject").write_text("entry_points: {main: {parameters: {a: float}, command: 'echo {a}'}}\n")
    done = cli("check", tmp_path)
    assert done.status == 0
    assert "hint: the type `float` is kept as a hint" in done.out
    assert "warning" not in done.out


def test_with_both_manifests_the_own_one_is_read_and_the_other_named(wine: Path, cli: Any) -> None:
    (wine / "MLproject").write_text("name: old\n")
    done = cli("check", wine)
    assert done.status == 0
    assert "warning: there is an `MLproject` beside it, which is not read" in done.out


def test_nothing_is_written(wine: Path, own_home: Path, cli: Any, tree: Any) -> None:
    before = tree(wine), tree(own_home)
    cli("check")
    assert (tree(wine), tree(own_home)) == before
