"""A manifest that is wrong: what a user is told, all at once, with line and column."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproj.api.checked import load_checked
from mlproj.errors import UsageError
from mlproj.manifest.diagnostics import ManifestError
from mlproj.manifest.entry_points import choose_entry_point
from mlproj.manifest.load import load_manifest
from mlproj.manifest.schema import manifest_schema

COMMAND = "entry_points: {main: {command: [python, -V]}}\n"


def findings(folder: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        load_checked(folder)
    return str(caught.value)


def test_a_whole_manifest(project) -> None:
    folder = project(
        """
name: wine
environment: {virtualenv: {python: ">=3.10", dependencies: [click]}}
entry_points:
  train:
    command: [python, train.py, "{alpha}", "{features}"]
    parameters:
      alpha: {type: float, default: 0.5, min: 0}
      features: {type: "list[str]", default: []}
    outputs: {model: model/, metrics: {path: metrics.json, kind: metrics}}
    timeout: 1h30m
"""
    )
    loaded, warnings = load_checked(folder)
    train = loaded.manifest.entry_points["train"]
    assert warnings == []
    assert train.parameters["alpha"].default == 0.5
    assert train.outputs["model"].path == "model/"
    assert loaded.manifest.environment_of(train).kind == "virtualenv"


@pytest.mark.parametrize(
    ("manifest", "place", "told"),
    [
        ("", "", "the manifest is empty"),
        ("- a\n", ":1:1:", "expected a mapping with `entry_points`; found a list"),
        ("name: x\n", ":1:1:", "the key `entry_points` is missing"),
        ("name: 3\n" + COMMAND, ":1:7:", 'expected a text; found `3` (a number): write it in quotes, "3"'),
        ("nam: x\n" + COMMAND, ":1:1:", "unknown key `nam`"),
        ("entry_points: {main: {command: a, paramters: {}}}", ":1:35:", "Did you mean `parameters`?"),
        ("entry_points: {}", ":1:15:", "at least one item"),
        ("entry_points: {main: }", ":1:22:", "expected a mapping; found nothing"),
        ("entry_points: {main: {}}", ":1:16:", "the key `command` is missing"),
        ("entry_points: {main: {command: []}}", ":1:32:", "at least one item"),
        ("entry_points: {main: {command: [a, 1]}}", ":1:36:", "expected a text"),
        ("entry_points: {-x: {command: a}}", ":1:16:", "`-x` cannot be a name here"),
        ("entry_points: {a/b: {command: a}}", ":1:16:", "`a/b` cannot be a name here"),
        ("entry_points: {main: {command: [a], shell: bash}}", ":1:32:", "expected a command as one text"),
        ("entry_points: {main: {command: a, shell: zsh}}", ":1:42:", "expected `bash`"),
        ("entry_points: {main: {command: a, timeout: soon}}", ":1:44:", "a span of time"),
        ("entry_points: {main: {command: a, timeout: -1}}", ":1:44:", "a span of time"),
        ("entry_points: {main: {command: a, outputs: {m: ../x}}}", ":1:48:", "inside the project's folder"),
        ("entry_points: {main: {command: a, outputs: {m: /x}}}", ":1:48:", "inside the project's folder"),
        ("entry_points: {main: {command: a, inputs: [~/x]}}", ":1:44:", "inside the project's folder"),
        ("entry_points: {main: {command: a, outputs: {m: a/, n: a/b}}}", ":1:55:", "overlap"),
        ("entry_points: {main: {command: a, outputs: {m: '*.png', n: a.png}}}", ":1:60:", "overlap"),
        ("entry_points: {main: {command: a, environment: gpu}}", ":1:48:", "no environment `gpu`"),
        ("environment: {conda: {}}\n" + COMMAND, ":1:22:", "expected `file: environment.yml`, or `dependencies`"),
        ("environment: {conda: {file: e.yml, pip: [a]}}\n" + COMMAND, ":1:36:", "`pip` only without `file`"),
        ("environment: {conda: {dependencies: [-x]}}\n" + COMMAND, ":1:38:", "a conda package such as"),
        ("environment: {conda: {file: ../e.yml}}\n" + COMMAND, ":1:29:", "a path inside the project's folder"),
        ("environment: {docker: {}}\n" + COMMAND, ":1:23:", "one of `image` and `build`"),
        ("environment: {docker: {image: x, build: .}}\n" + COMMAND, ":1:34:", "one of `image` and `build`"),
        (
            "environment: {docker: {platform: a/b, build: {platform: a/b}}}\n" + COMMAND,
            ":1:24:",
            "`platform` once",
        ),
        ("environment: {docker: {image: -x}}\n" + COMMAND, ":1:31:", "an image such as"),
        ("environment: {docker: {build: {contex: .}}}\n" + COMMAND, ":1:32:", "Did you mean `context`?"),
        ("environment: {docker: {image: x, memory: 8q}}\n" + COMMAND, ":1:42:", "a size such as"),
        ("environment: {docker: {image: x, volumes: [x]}}\n" + COMMAND, ":1:44:", "`SOURCE:/TARGET`"),
        ("environment: {docker: {image: x, environment: [1a]}}\n" + COMMAND, ":1:48:", "`NAME` to copy"),
        ("environment: {docker: {image: x}, system: {}}\n" + COMMAND, ":1:35:", "expected one kind"),
        ("environment: {virtualenv: {}, system: {}}\n" + COMMAND, ":1:31:", "one kind"),
        ("environment: {virtualenv: {requirements: r.txt}}\n" + COMMAND, ":1:42:", "no file `r.txt`"),
        ("environment: {virtualenv: {dependencies: [-r x]}}\n" + COMMAND, ":1:43:", "one requirement"),
        ("environment: {virtualenv: {python: --help}}\n" + COMMAND, ":1:36:", "does not start with `-`"),
        ("environment: {virtualenv: {extras: [a]}}\n" + COMMAND, ":1:28:", "only together with `project"),
        ("entry_points: {main: {command: a, environment_variables: {A: 1}}}", ":1:62:", 'in quotes, "1"'),
        (
            "entry_points: {main: {command: a, environment_variables: {MLPROJ_X: a}}}",
            ":1:59:",
            "sets this one itself",
        ),
        *(
            (
                f"entry_points: {{main: {{command: a, outputs: {{m: {{path: x, compare: json, rtol: {value}}}}}}}}}",
                "",
                told,
            )
            for value, told in (
                (".inf", "expected a number that is not without end; found `inf`"),
                ("1e400", "expected a number"),
                (".nan", "expected a number"),
                ("-1", "expected a number of at least 0"),
                ("soon", "expected a number; found `soon`"),
            )
        ),
        ("entry_points: {main: {command: a, metrics: {loss: 'x'}}}", ":1:51:", "a group named `value`"),
        ("entry_points: {main: {command: a, metrics: {loss: '('}}}", ":1:51:", "is broken"),
    ],
)
def test_a_mistake_is_told_with_its_place(project, manifest: str, place: str, told: str) -> None:
    text = findings(project(manifest))
    assert told in text
    assert f"mlproj.yaml{place}" in text


PARAMETER = "entry_points: {{main: {{command: 'a {{x}}', parameters: {{x: {0}}}}}}}"


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ("{type: floot}", "Did you mean `float`?"),
        ("{type: string}", "Did you mean `str`?"),
        ("{type: 'list[list[int]]'}", "a `list[…]` of one"),
        ("{type: 'list[secret]'}", "a plain `secret`"),
        ("{defalt: 1}", "Did you mean `default`?"),
        ("{type: str, min: 1}", "`min` only on a parameter of type"),
        ("{type: int, pattern: a}", "`pattern` only on a parameter of type"),
        ("{type: int, min_length: 1}", "`min_length` only on a text or a list"),
        ("{type: str, pattern: '('}", "a regular expression; this one is broken"),
        ("{type: str, env: X}", "`env` only on a parameter of type `secret`"),
        ("{type: secret, default: x}", "no default on a `secret`"),
        ("{type: int, default: 1.5}", "the default does not fit: expected a whole number"),
        ("{type: int, default: '1'}", "the default does not fit"),
        ("{type: int, default: true}", "the default does not fit"),
        ("{type: int, default: null}", "the default does not fit"),
        ("{type: float, default: 2, max: 1}", "the default does not fit: expected at most 1"),
        ("{type: str, default: c, choices: [a, b]}", "expected one of a, b"),
        ("{type: int, choices: [a]}", "this choice does not fit"),
        ("{type: int, min: x}", "this bound does not fit"),
        ("{type: int, min: 3, max: 1}", "`min` is above `max`"),
        ("{type: date, default: yesterday}", "an ISO 8601 date"),
        ("{type: 'list[int]', default: [1, a]}", "the default does not fit"),
        ("{type: 'list[int]', default: 1}", "expected a list"),
        ("{type: str, default: no, max_length: 1}", "at most 1 character"),
    ],
)
def test_a_parameter_that_contradicts_itself(project, parameter: str, told: str) -> None:
    assert told in findings(project(PARAMETER.format(parameter)))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ('[python, "{alhpa}"]', "no parameter `alhpa` for `{alhpa}` (`alpha`). Did you mean `alpha`?"),
        ('[python, "{alpha.real!r}"]', "a lone `{`"),
        ('[python, "{alpha:.2f}"]', "a lone `{`"),
        ('[python, "{0}"]', "a lone `{`"),
        ('[python, "}"]', "a lone `}`"),
        ('[python, "x{args}"]', "must be a word of its own"),
        ('"python \'x {alpha}"', "cannot be split into words"),
        ('"  "', "the command is empty"),
    ],
)
def test_a_command_that_cannot_be_rendered(project, command: str, told: str) -> None:
    manifest = f"entry_points: {{main: {{command: {command}, parameters: {{alpha: {{type: float, default: 1}}}}}}}}"
    assert told in findings(project(manifest))


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(project) -> None:
    text = findings(project("nam: x\nentry_points:\n  a: {comand: x}\n  b: {command: [1]}\n"))
    assert text.count("error:") == 4
    assert text.index("`nam`") < text.index("`comand`") < text.index("expected a text")
    assert "4 errors in the manifest" in text


def test_mistakes_of_every_kind_are_told_together(project) -> None:
    text = findings(
        project(
            """
nmae: x
environment: nosuch
entry_points:
  a:
    command: [python, "{alpha}", "{beta}", "{gone}"]
    parameters:
      alpha: {type: strr}
      beta: {type: int, default: 1.0}
      beta: {type: int, min: 3, max: 1}
      args: {type: int}
    outputs: {one: x/, two: x/y, three: ../z}
  b: {comand: x}
"""
        )
    )
    for told in (
        "unknown key `nmae`", "no environment `nosuch`", "found `strr`", "the key `beta` is there twice",
        "the default does not fit", "no parameter `gone`", "`args` cannot be a parameter's name", "overlap",
        "inside the project's folder", "unknown key `comand`", "the key `command` is missing",
    ):  # fmt: skip
        assert told in text, told
    assert "no parameter `alpha`" not in text


@pytest.mark.parametrize("kind", ["folder", "fifo", "broken link"])
def test_a_manifest_that_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mlproj.yaml"
    {"folder": path.mkdir, "fifo": lambda: os.mkfifo(path), "broken link": lambda: path.symlink_to("nowhere")}[kind]()
    with pytest.raises(UsageError, match="no regular file"):
        load_manifest(tmp_path)


def test_unused_parameters_are_warned_of_and_run_all_the_same(project) -> None:
    folder = project("entry_points: {main: {command: [a], parameters: {x: {type: int, default: 1}}}}")
    _, warnings = load_checked(folder)
    assert [each.severity for each in warnings] == ["warning"]
    assert "`x` is not used by the command" in warnings[0].message


def test_a_folder_without_a_manifest_names_what_may_have_been_meant(tmp_path: Path) -> None:
    (tmp_path / "mlproject.yaml").write_text("x: 1")
    with pytest.raises(UsageError, match=r"There is a `mlproject\.yaml`"):
        load_manifest(tmp_path)


def test_the_entry_point_that_runs_by_default(project) -> None:
    only = load_manifest(project("entry_points: {train: {command: a}}"))
    assert choose_entry_point(only.manifest, only.path, None)[0] == "train"
    main = load_manifest(project("entry_points: {train: {command: a}, main: {command: b}}"))
    assert choose_entry_point(main.manifest, main.path, None)[0] == "main"
    neither = load_manifest(project("entry_points: {train: {command: a}, score: {command: b}}"))
    with pytest.raises(UsageError, match="Choose one with -e: `train`, `score`"):
        choose_entry_point(neither.manifest, neither.path, None)
    with pytest.raises(UsageError, match="Did you mean `train`?"):
        choose_entry_point(neither.manifest, neither.path, "trian")


def test_the_committed_schemas_are_those_of_the_models(mlproj) -> None:
    schemas = Path(__file__).parents[2] / "schemas"
    for what, name in (("manifest", "mlproj.schema.json"), ("run", "run.schema.json")):
        printed = mlproj("schema", what).stdout
        assert (schemas / name).read_text() == printed, f"stale: mlproj schema {what} > schemas/{name}"


def test_the_schema_agrees_with_the_models_on_what_is_valid() -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(manifest_schema())
    good = {
        "name": "x",
        "environments": {"cpu": {"virtualenv": {"dependencies": ["a"]}}},
        "environment": "cpu",
        "entry_points": {"m": {"command": ["a"], "outputs": {"o": "x", "p": {"path": "y", "kind": "metrics"}}}},
    }
    assert validator.is_valid(good)
    for bad in (
        {},
        {"entry_points": {"m": {"comand": "x"}}},
        {"entry_points": {"-m": {"command": "x"}}},
        {**good, "environment": {"virtualenv": {}, "system": {}}},
        {"entry_points": {"m": {"command": "x", "outputs": {"o": {"path": "y", "kind": "plot"}}}}},
    ):
        assert not validator.is_valid(bad), bad
    described = manifest_schema()["$defs"]["Parameter"]["properties"]["default"]
    assert "required" in described["description"]


def test_the_json_of_findings(project, mlproj) -> None:
    checked = mlproj("check", "--json", project("nam: x\n" + COMMAND))
    found = json.loads(checked.stdout)
    assert checked.returncode == 2
    assert found["valid"] is False
    assert {key: found["findings"][0][key] for key in ("line", "column", "severity")} == {
        "line": 1,
        "column": 1,
        "severity": "error",
    }


_keys = st.sampled_from(
    [
        "name",
        "environment",
        "environments",
        "entry_points",
        "main",
        "command",
        "parameters",
        "x",
        "type",
        "default",
        "min",
    ]
    + [
        "outputs",
        "virtualenv",
        "system",
        "conda",
        "timeout",
        "path",
        "choices",
        "shell",
        "inputs",
        "",
        "-x",
        "\x1b[0m",
    ]
)
_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(
    ["float", "list[int]", "{x}", "{", "bash", "../x", "2h", "x", "\x00", "a {args}"]
)  # fmt: skip
_trees = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(_keys, _trees, max_size=4), _trees, _trees)
@settings(max_examples=400, deadline=None)
def test_any_tree_is_a_manifest_or_findings(
    tmp_path_factory, tree: dict, entry_point: object, parameter: object
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    tree.setdefault("entry_points", {"main": entry_point})
    if isinstance(entry_point, dict):
        entry_point.setdefault("command", ["a", "{x}"])
        entry_point.setdefault("parameters", {"x": parameter})
    (folder / "mlproj.yaml").write_text(json.dumps(tree).replace("NaN", ".nan").replace("Infinity", ".inf"))
    try:
        load_checked(folder)
    except ManifestError as error:
        assert "\x1b" not in str(error)


def test_a_platform_to_build_for_is_the_platform_to_run_on(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "mlproj.yaml").write_text(
        "environment: {docker: {build: {context: ., platform: linux/arm64}}}\n" + COMMAND
    )
    spec = load_manifest(tmp_path).manifest.environment
    assert spec.docker.platform == "linux/arm64"
