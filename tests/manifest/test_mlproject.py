"""MLproject files, read with MLflow's meaning: what is declared, where a mistake stands, which environment is meant."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from mlproj.api.checked import checked_manifest, load_checked
from mlproj.errors import UsageError
from mlproj.manifest.diagnostics import ManifestError
from mlproj.manifest.entry_points import choose_entry_point
from mlproj.manifest.load import LoadedManifest, load_manifest
from mlproj.manifest.models import Parameter

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_files(text: str, name: str = "MLproject", **others: str) -> Path:
        (tmp_path / name).write_text(textwrap.dedent(text))
        for other, content in others.items():
            (tmp_path / f"{other}.yaml").write_text(textwrap.dedent(content))
        return tmp_path

    return write_files


def parameters_of(text: str, write: Write) -> dict[str, Parameter]:
    entry = "entry_points:\n  main:\n    command: x\n    parameters:\n"
    return (
        load_manifest(write(entry + textwrap.indent(textwrap.dedent(text), "      ")))
        .manifest.entry_points["main"]
        .parameters
    )


@pytest.mark.parametrize("name", ["MLproject", "MLProject", "mlproject", "MLPROJECT"])
def test_the_file_is_found_in_any_case(write: Write, name: str) -> None:
    loaded = load_manifest(write("name: wine\nentry_points: {main: {command: x}}\n", name))
    assert (loaded.path.name, loaded.name, loaded.manifest.dialect) == (name, "wine", "mlflow")


@pytest.mark.parametrize(
    ("declared", "default"),
    [
        ("{default: 0.10}", "0.1"),
        ("{default: 1e-3}", "1e-3"),
        ("{default: yes}", "True"),
        ("{default: 010}", "8"),
        ("{default: 12:30}", "750"),
        ("{default: 2026-01-31}", "2026-01-31"),
        ("{default: [1, a]}", "[1, 'a']"),
        ("{default: 'None'}", "None"),
        ('{default: ""}', ""),
        ("{default: 1_000}", "1000"),
        ("{default: {a: 1}}", "{'a': 1}"),
    ],
)
def test_a_default_is_the_text_that_python_makes_of_what_pyyaml_reads(
    write: Write, declared: str, default: str
) -> None:
    assert parameters_of(f"p: {declared}\n", write)["p"].default == default


@pytest.mark.parametrize("declared", ["float", "{type: float}", "{type: float, default: null}", "{type:float}"])
def test_a_parameter_without_a_default_is_required(write: Write, declared: str) -> None:
    assert parameters_of(f"p: {declared}\n", write)["p"].required


@pytest.mark.parametrize("kind", ["int", "boolean", "float", "number", "nonsense"])
def test_types_are_hints(write: Write, kind: str) -> None:
    parameter = parameters_of(f"p: {{type: {kind}, default: x}}\n", write)["p"]
    assert (parameter.type, parameter.hint, parameter.default) == ("str", kind, "x")


def test_path_and_uri_are_what_mlflow_makes_something_of(write: Write) -> None:
    found = parameters_of("a: path\nb: uri\nc: string\n", write)
    assert [found[name].type for name in "abc"] == ["path", "uri", "str"]


@pytest.mark.parametrize(
    "text",
    [
        "name: x\n",
        "entry_points:\n",
        "entry_points: {}\n",
        "\ufeffname: x\r\nentry_points:\r\n  main:\r\n    command: x\r\n",
    ],
)
def test_what_is_missing_or_empty_is_no_mistake(write: Write, text: str) -> None:
    assert load_checked(write(text))[0].manifest.dialect == "mlflow"


def test_a_mistake_in_one_entry_point_leaves_the_others_to_be_run(write: Write, tmp_path: Path) -> None:
    folder = write(
        """\
        entry_points:
          good: {command: "echo {a}", parameters: {a: string}}
          odd: {command: "echo {b}"}
          none: {parameters: {}}
        """
    )
    with pytest.raises(ManifestError) as caught:
        load_checked(folder)
    assert [each.span.line for each in caught.value.diagnostics if each.span] == [3, 4]
    for _ in range(2):  # read, and remembered
        checked = checked_manifest(folder, tmp_path / "cache")
        assert list(checked.broken) == ["odd", "none"]
        assert "MLproject:3:24: error: no parameter `b`" in checked.broken["odd"]


def errors_of(folder: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        load_checked(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("- a\n", ":1:1: error: expected a mapping with `entry_points`"),
        ("conda_env: a\npython_env: b\n", "one environment: MLflow takes only one of"),
        ("python_env: nowhere.yaml\n", "1:13: error: `python_env`: no file `nowhere.yaml`"),
        ("python_env: ../../etc/passwd\n", "no file"),
        ("docker_env: {volumes: []}\n", "expected a mapping with an `image`"),
        ("docker_env: {image: x, volumes: a}\n", "expected a list of texts"),
        ("docker_env: {image: x, environment: {A: b}}\n", "a list of names to copy and of pairs"),
        ("entry_points: [a]\n", "expected a mapping of names to entry points"),
        ("name: [\n", "not YAML"),
        ("a: b\n\tc: d\n", "a tab"),
        ("name: !!python/object:os.system x\n", "only plain values belong"),
        ('entry_points: {main: {command: "a\\0b"}}\n', "expected a `command` as one text"),
    ],
)
def test_what_mlflow_cannot_load_is_told_with_its_place(write: Write, text: str, said: str) -> None:
    assert said in errors_of(write(text))


def test_an_undeclared_placeholder_is_pointed_at_in_the_lines_of_a_block(write: Write) -> None:
    folder = write(
        "entry_points:\n  main:\n    command: |\n      echo {a} \\\n        {b}\n    parameters: {a: string}\n"
    )
    assert "MLproject:5:9: error: no parameter `b`" in errors_of(folder)


def test_a_folder_outside_of_the_project_is_no_environment_file(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "out.yaml").write_text("python: '3.11'\n")
    (folder / "MLproject").write_text("python_env: ../out.yaml\n")
    assert "is no file inside the project's folder" in errors_of(folder)


def warnings_of(folder: Path) -> str:
    return "\n".join(str(each) for each in load_checked(folder)[1] if each.severity == "warning")


def test_what_mlflow_passes_over_is_warned_of(write: Write) -> None:
    folder = write("nmae: x\nentry_points:\n  main: {command: a, params: {}}\n  main: {command: b}\n")
    said = warnings_of(folder)
    assert "MLflow does not read `nmae`" in said and "Did you mean `name`?" in said
    assert "the key `main` is there twice: first on line 3; the last one counts" in said
    assert load_manifest(folder).manifest.entry_points["main"].command == "b"


def test_a_type_without_its_space_is_explained(write: Write) -> None:
    said = warnings_of(write("entry_points: {main: {command: 'x {a}', parameters: {a: {type:int}}}}\n"))
    assert "`type:int` is one key to YAML: with a space, `type: int`, it says a type" in said


def environment(folder: Path) -> object:
    return load_manifest(folder).manifest.environment


def test_python_env(write: Write) -> None:
    folder = write(
        "python_env: env.yaml\n",
        env="""\
        python: "3.8.13"
        build_dependencies: [pip==22, setuptools]
        dependencies:
          - -r requirements.txt
          - setuptools>=60
        """,
    )
    spec = environment(folder)
    assert spec.kind == "virtualenv"
    assert (spec.virtualenv.python, spec.virtualenv.nearest_python) == ("3.8.13", True)
    assert spec.virtualenv.lines == ["pip==22", "-r requirements.txt", "setuptools>=60"]


def test_without_a_key_the_usual_files_are_looked_for(write: Write) -> None:
    folder = write("name: x\n")
    assert environment(folder).virtualenv.lines == []
    (folder / "conda.yaml").write_text("dependencies: [python=3.9, {pip: [six]}]\n")
    assert environment(folder).conda.pip == ["six"]
    (folder / "python_env.yaml").write_text("dependencies: [six]\n")
    assert environment(folder).virtualenv.lines == ["six"]


def test_a_changed_environment_file_is_read_again(write: Write, tmp_path: Path) -> None:
    folder = write("name: x\n")
    cache = tmp_path / "cache"
    assert checked_manifest(folder, cache).manifest.environment.virtualenv.lines == []
    for line in ("six", "attrs"):
        (folder / "python_env.yaml").write_text(f"dependencies: [{line}]\n")
        assert checked_manifest(folder, cache).manifest.environment.virtualenv.lines == [line]


def test_an_unquoted_python_is_taken_as_it_is_written(write: Write) -> None:
    folder = write("python_env: env.yaml\n", env="python: 3.10\n")
    assert environment(folder).virtualenv.python == "3.10"
    assert "env.yaml:1:9: warning: a number to YAML" in warnings_of(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "expected a mapping"),
        ("dependencies: six\n", "expected a list of requirements"),
        ("dependencies: [{a: b}]\n", "expected one requirement"),
        ("nonsense: 1\n", "unknown key `nonsense`"),
        ("python: latest\n", "expected a version of Python"),
        ("python: [3.11]\n", "expected a version of Python"),
        ("python: /usr/bin/python3\n", "expected a version of Python"),
    ],
)
def test_mistakes_in_the_environment_file_are_told_with_their_place(write: Write, text: str, said: str) -> None:
    told = errors_of(write("python_env: env.yaml\n", env=text))
    assert said in told
    assert "env.yaml:1:" in told


@pytest.mark.parametrize("written", ["3.11", "=3.11", "==3.11", "3.11.*"])
def test_ways_to_write_a_python(write: Write, written: str) -> None:
    assert environment(write("python_env: env.yaml\n", env=f"python: '{written}'\n")).virtualenv.python == "3.11"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dependencies: ['--index-url=http://x']\n", "expected a package such as `numpy=1.26`"),
        ("dependencies: ['-e ..']\n", "expected a package such as `numpy=1.26`"),
        ("dependencies: [{pip: six}]\n", "expected a list of requirements under `pip`"),
        ("dependencies: [{pip: [null]}]\n", "expected one requirement"),
        ("dependencies: [{npm: [a]}]\n", "expected a package such as"),
    ],
)
def test_mistakes_in_a_conda_file_are_told_with_their_place(write: Write, text: str, said: str) -> None:
    told = errors_of(write("conda_env: env.yaml\n", env=text))
    assert said in told
    assert "env.yaml:1:" in told


def test_variables_of_a_conda_file_are_read(write: Write) -> None:
    folder = write("conda_env: env.yaml\n", env="variables: {A: b, C: 1}\n")
    assert environment(folder).conda.variables == {"A": "b", "C": "1"}
    assert "expected a mapping" in errors_of(write("conda_env: env.yaml\n", env="variables: [A]\n"))


@pytest.mark.parametrize("kind", ["folder", "fifo", "dangling link"])
def test_an_mlproject_that_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "MLproject"
    {"folder": path.mkdir, "fifo": lambda: os.mkfifo(path), "dangling link": lambda: path.symlink_to("x")}[kind]()
    with pytest.raises(UsageError, match="MLproject is no regular file"):
        load_manifest(tmp_path)


def test_docker_env_is_read(write: Write) -> None:
    spec = environment(write('docker_env: {image: a/b:1, volumes: ["/x:/y"], environment: [[A, 1], B]}\n'))
    assert (spec.kind, spec.docker.image, spec.docker.environment) == ("docker", "a/b:1", [["A", "1"], "B"])
    assert spec.docker.project_at == "/mlflow/projects/code"


def loaded_with_scripts(folder: Path) -> LoadedManifest:
    (folder / "tools").mkdir()
    (folder / "tools" / "x.py").touch()
    (folder / "-c.sh").touch()
    return load_manifest(folder)


def test_scripts_are_entry_points_without_being_declared(write: Write) -> None:
    loaded = loaded_with_scripts(write("name: x\n"))
    assert choose_entry_point(loaded.manifest, loaded.path, "tools/x.py")[1].command == ["python", "tools/x.py"]
    assert choose_entry_point(loaded.manifest, loaded.path, "-c.sh")[1].command == ["bash", "./-c.sh"]
    for name in ("y.py", "/etc/hostname.sh", "../x.py", "tools\x00.py"):
        with pytest.raises(UsageError):
            choose_entry_point(loaded.manifest, loaded.path, name)
