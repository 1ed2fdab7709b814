"""What holds for every example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from .conftest import EXAMPLES, REPOSITORY

NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
OWN = [name for name in NAMES if (EXAMPLES / name / "mlproj.yaml").is_file()]


def read(manifest: Path) -> dict[str, Any]:
    # PyYAML's own parser stumbles over `{type: int?}`, which YAML allows; libyaml does not.
    return yaml.load(manifest.read_text(), Loader=yaml.CSafeLoader)


@pytest.mark.parametrize("name", NAMES)
def test_its_manifest_has_nothing_to_complain_of(mlproj, name):
    checked = mlproj("check", EXAMPLES / name, "--json")
    assert checked.returncode == 0
    assert [each for each in json.loads(checked.stdout)["findings"] if each["severity"] != "hint"] == []


@pytest.mark.parametrize("name", OWN)
def test_an_editor_finds_its_schema_and_agrees(name):
    manifest = EXAMPLES / name / "mlproj.yaml"
    comment = manifest.read_text().splitlines()[0]
    schema = manifest.parent / comment.removeprefix("# yaml-language-server: $schema=")
    assert schema.resolve() == REPOSITORY / "schemas" / "mlproj.schema.json"
    # A date is a text to JSON Schema.
    plain = json.loads(json.dumps(read(manifest), default=str))
    jsonschema.validate(plain, json.loads(schema.read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_shows(name):
    readme = (EXAMPLES / name / "README.md").read_text()
    assert readme.startswith(f"# {name}\n")
    assert f"$ mlproj run example-projects/{name}" in readme


@pytest.mark.parametrize("name", NAMES)
def test_its_help_names_every_parameter(mlproj, name):
    shown = mlproj("run", EXAMPLES / name, "--help")
    assert shown.returncode == 0
    manifest = "mlproj.yaml" if name in OWN else "MLproject"
    entry_points = read(EXAMPLES / name / manifest)["entry_points"]
    for parameter in entry_points.get("main", next(iter(entry_points.values())))["parameters"]:
        assert f"  {parameter} " in shown.stdout
