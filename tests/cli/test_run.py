"""`mlproj run` as a user types it, rightly and wrongly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def test_a_run_prints_what_the_command_prints_and_says_how_it_ended(wine: Path, cli: Any) -> None:
    done = cli("run", ".", "-e", "train", "-P", "alpha=0.1")
    assert done.status == 0
    assert done.out == "trained --alpha 0.1 --solver cd\n"
    lines = done.err.splitlines()
    assert lines[0] == "  train: alpha=0.1 solver=cd features=[]"
    assert lines[1] == "a warning"
    assert lines[2].startswith("✓ finished in ")
    assert "metrics: rmse=0.1" in lines[2]
    assert "outputs: model (1 file)" in lines[2]
    assert len(lines) == 3


def test_the_commands_exit_status_is_that_of_run(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "fail")
    assert done.status == 3
    assert "✗ failed (exit status 3)" in done.err


def test_json_is_all_of_stdout_and_the_commands_output_goes_to_stderr(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "--json")
    record = json.loads(done.out)
    assert list(record)[:5] == ["id", "name", "project", "experiment", "entry_point"]
    assert (record["status"], record["exit_status"], record["parameters"]["alpha"]) == ("finished", 0, 0.5)
    assert record["metrics"] == {"rmse": 0.5}
    assert "trained --alpha 0.5" in done.err


def test_quiet_prints_nothing_but_what_the_command_prints(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "-q")
    assert (done.out, done.err) == ("trained --alpha 0.5 --solver cd\n", "a warning\n")
    assert cli("run", "-e", "train", "--quiet", "-P", "alpha=no").err.startswith("error: ")


def test_verbose_says_where_the_environment_is(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "--verbose")
    assert "environment system" in done.err.splitlines()[-1]


def test_words_after_two_dashes_are_appended_to_the_command(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "-q", "--", "--fast", "-P", "two words", "--")
    assert done.out == "trained --alpha 0.5 --solver cd --fast -P two words --\n"


def test_name_experiment_and_tags_are_recorded(wine: Path, cli: Any) -> None:
    done = cli(
        *("run", "-e", "train", "--json", "--name", "first try", "--experiment", "baselines"),
        *("--tag", "stage=draft", "--tag", "note=a=b"),
    )
    record = done.json
    assert (record["name"], record["experiment"]) == ("first try", "baselines")
    assert record["tags"] == {"stage": "draft", "note": "a=b"}


@pytest.mark.parametrize("tag", ["stage", "=x"])
def test_a_tag_has_a_name_and_a_value(wine: Path, cli: Any, tag: str) -> None:
    done = cli("run", "-e", "train", "--tag", tag)
    assert done.status == 2
    assert "--tag takes name=value" in done.err


def test_values_come_from_the_command_line_over_files_over_defaults(wine: Path, cli: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.toml"
    first.write_text("alpha: 1\nsolver: sgd\nfeatures: [a]\n")
    second.write_text('alpha = 2.0\nfeatures = ["b", "c"]\n')
    words = ("run", "-e", "train", "--json", "--params-file", first, "-P", f"@{second}")
    assert cli(*words).json["parameters"] == {"alpha": 2.0, "solver": "sgd", "features": ["b", "c"]}
    assert cli(*words, "-P", "alpha=3").json["parameters"]["alpha"] == 3.0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nested.yaml", "model:\n  alpha: 1\n", "no parameter `model`"),
        ("nested.json", '{"alpha": {"value": 1}}', "a nested mapping"),
        ("list.json", "[1]", "expected a mapping of parameter names to values"),
        ("broken.toml", "alpha = ", "not TOML"),
        ("values.txt", "alpha=1", "ends in .yaml, .yml, .json or .toml"),
        ("missing.yaml", None, "No such file"),
    ],
)
def test_a_parameters_file_that_is_none(
    wine: Path, cli: Any, tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    done = cli("run", "-e", "train", "--params-file", tmp_path / name)
    assert done.status == 2
    assert said in done.err
    assert cli("runs", "--json").json == []


def test_all_wrong_values_are_told_at_once(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "-P", "alpha=-1", "-P", "solver=newton", "-P", "alhpa=1")
    assert done.status == 2
    assert "no parameter `alhpa` (-P)" in done.err
    assert "Did you mean `alpha`?" in done.err
    assert "parameter `alpha` (-P): expected at least 0; found `-1.0`" in done.err
    assert "parameter `solver` (-P): expected one of cd, sgd; found `newton`" in done.err


def test_a_parameter_without_a_value(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "-P", "alpha")
    assert done.status == 2
    assert "-P takes name=value or @file; found `alpha` without a value" in done.err


def test_a_timeout_ends_the_command(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "wait", "--timeout", "0.2", "--json")
    assert done.status == 128 + 15
    record = done.json
    assert (record["status"], record["error"]) == ("killed", "it took longer than its timeout of 0.2 s")


@pytest.mark.parametrize("text", ["soon", "0", "-1s", "1 fortnight", "²", "nan"])
def test_a_timeout_is_a_span_of_time(wine: Path, cli: Any, text: str) -> None:
    done = cli("run", "-e", "train", "--timeout", text)
    assert done.status == 2
    assert "--timeout takes a span of time such as `90s`" in done.err


def test_env_manager_system_runs_in_the_environment_that_one_is_in(project: Any, cli: Any) -> None:
    folder = project(
        "environment: {virtualenv: {dependencies: [not-to-be-had]}}\n"
        "entry_points: {main: {command: [python, -c, 'import sys; print(sys.executable)']}}\n"
    )
    for kind in ("system", "local"):
        done = cli("run", folder, "--env-manager", kind, "-q")
        assert (done.status, Path(done.out.strip())) == (0, Path(sys.executable))


def test_an_env_manager_that_the_project_does_not_declare(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "--env-manager", "conda")
    assert done.status == 2
    assert "--env-manager conda: this project declares a `system` environment" in done.err


def test_locked_and_frozen_exclude_each_other(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "--locked", "--frozen")
    assert (done.status, "exclude each other" in done.err) == (2, True)


# --- what it takes


def test_help_alone_is_about_the_command(cli: Any) -> None:
    done = cli("run", "--help")
    assert done.status == 0
    assert done.out.startswith("Usage: ")
    assert "--params-file FILE" in done.out


def test_help_with_an_entry_point_is_about_that(wine: Path, cli: Any) -> None:
    done = cli("run", ".", "-e", "train", "--help")
    assert done.status == 0
    text = " ".join(done.out.split())  # lines are broken at the terminal's width
    assert "Fit, score and save the model" in text
    assert "Regularisation strength [float; at least 0; at most 10; default: 0.5]" in text
    assert "[str; one of cd, sgd; default: cd]" in text
    assert "from $WINE_API_KEY" in text
    assert "Other entry points (-e)" in text
    assert "End with the status 3" in text


def test_help_of_a_project_with_several_entry_points_lists_them(wine: Path, cli: Any) -> None:
    done = cli("run", ".", "-h")
    assert done.status == 0
    assert "Entry points (-e)" in done.out
    for name in ("train", "fail", "wait"):
        assert name in done.out


def test_help_of_a_misspelt_entry_point(wine: Path, cli: Any) -> None:
    done = cli("run", ".", "-e", "trian", "--help")
    assert (done.status, done.out) == (2, "")
    assert "Did you mean `train`?" in done.err


# --- misspelt


def test_a_misspelt_command(cli: Any) -> None:
    done = cli("rnu")
    assert (done.status, done.out) == (2, "")
    assert "No such command `rnu`. Did you mean `run`?" in done.err


def test_a_misspelt_option(wine: Path, cli: Any) -> None:
    done = cli("run", "--entry-pont", "train")
    assert done.status == 2
    assert "--entry-point" in done.err
    assert "--help" in done.err.splitlines()[-1]


def test_a_misspelt_entry_point(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "trian")
    assert done.status == 2
    assert "no entry point `trian`" in done.err
    assert "There are `train`, `fail`, `wait`. Did you mean `train`?" in done.err


def test_no_entry_point_where_there_are_several(wine: Path, cli: Any) -> None:
    done = cli("run")
    assert done.status == 2
    assert "Choose one with -e: `train`, `fail`, `wait`." in done.err


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ("wnie", "no folder `wnie`"),
        ("no\nwhere", "no folder `no\\nwhere`"),
    ],
)
def test_a_project_that_is_not_there(cli: Any, project: str, said: str) -> None:
    done = cli("run", project)
    assert done.status == 2
    assert said in done.err


def test_a_folder_without_a_manifest(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "mlproj.yml").write_text("")
    done = cli("run", tmp_path)
    assert done.status == 2
    assert "There is a `mlproj.yml`: rename it to mlproj.yaml" in done.err


def test_a_command_that_is_not_there(project: Any, cli: Any) -> None:
    folder = project("entry_points: {main: {command: [no-such-program]}}")
    done = cli("run", folder)
    assert done.status == 125
    assert "the command `no-such-program` is not there" in done.err
    stored = cli("runs", "--json").json[0]
    assert (stored["status"], stored["exit_status"]) == ("failed", 125)


def test_a_missing_output_fails_the_run(project: Any, cli: Any) -> None:
    folder = project("entry_points: {main: {command: [python, -c, ''], outputs: {model: model.bin}}}")
    done = cli("run", folder)
    assert done.status == 1
    assert "output model: model.bin was not written by the run" in done.err


def test_run_in_a_process_of_its_own(wine: Path, mlproj: Any) -> None:
    done: subprocess.CompletedProcess[str] = mlproj("run", "-e", "train", cwd=wine)
    assert (done.returncode, done.stdout) == (0, "trained --alpha 0.5 --solver cd\n")


# --- secrets


@pytest.mark.parametrize("way", ["variable", "file", "command line"])
def test_a_secret_is_in_no_file_and_in_nothing_that_is_printed(
    wine: Path, own_home: Path, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    secret = "s3cr3t-0f-the-winery"
    words: tuple[str, ...] = ()
    if way == "variable":
        monkeypatch.setenv("WINE_API_KEY", secret)
    elif way == "file":
        (tmp_path / "key").write_text(secret + "\n")
        words = ("-P", f"api_key=@{tmp_path / 'key'}")
    else:
        words = ("-P", f"api_key={secret}")
    (wine / "train.py").write_text("import os\nprint('key', os.environ['WINE_API_KEY'])\n")
    (wine / "model").mkdir()
    done = cli("run", "-e", "train", "--json", *words)
    assert done.status == 0
    assert "api_key=•••" in done.err
    assert f"key {secret}" in done.err  # the command's own output passes through as it is
    assert ("was given on the command line" in done.err) == (way == "command line")
    assert secret not in done.out
    for path in own_home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    assert "key •••" in cli("logs").out
    assert secret not in cli("show").out + cli("run", "-e", "train", "--dry-run", *words).out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--name", "n" * 300], "the name is longer than 250 characters"),
        (["--experiment", ""], "the experiment's name is empty"),
        (["--tag", "a\nb=c"], "holds a line break"),
        (["--tag", "a=" + "x" * 6000], "longer than 5000"),
    ],
)
def test_labels_that_no_table_could_show(project, mlproj, options: list[str], told: str) -> None:
    refused = mlproj("run", project("entry_points: {main: {command: [echo, x]}}"), *options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert told in refused.stderr


def test_an_output_whose_name_holds_a_secret_is_not_kept(
    project: Any, cli: Any, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINE_KEY", "hunter2-hunter2")
    text = (
        "entry_points:\n  main:\n    command: [python, make.py]\n"
        "    parameters: {key: {type: secret, env: WINE_KEY}}\n    outputs: {made: made/}\n"
    )
    script = (
        "import os\n"
        "for name in ('made/a.txt', f'made/{os.environ[\"WINE_KEY\"]}.txt', f'made/{os.environ[\"WINE_KEY\"]}/b.txt'):\n"
        "    os.makedirs(os.path.dirname(name), exist_ok=True)\n    open(name, 'w').close()\n"
    )
    done = cli("run", project(text, {"make.py": script}), "--json")
    assert done.status == 0
    assert [each["path"] for each in done.json["outputs"][0]["files"]] == ["made/a.txt"]
    assert "made/•••.txt is not kept: its name holds the value of a secret" in done.err
    kept = own_home / "runs" / done.json["id"]
    assert not [path for path in kept.rglob("*") if "hunter2" in path.name]
    assert cli("store", "check").status == 0
    assert cli("verify", "@last").status == 0
