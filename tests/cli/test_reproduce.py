"""``mlproj reproduce``: a recorded run had again, and judged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlproj.runs.record import run_schema
from mlproj.sources.digest import MOST_KEPT_BYTES

# Writes an output and a metric from its parameter, its input and what the test has it do besides.
TRAIN = """\
import json, os, random, sys, time
from pathlib import Path
alpha = float(sys.argv[1])
data = Path("data.txt").read_text() if Path("data.txt").exists() else ""
metrics = {"rmse": alpha + len(data)}
out = {"alpha": alpha, "data": data}
EXTRA = Path("extra.py")
if EXTRA.exists():
    exec(EXTRA.read_text())
Path("out.json").write_text(json.dumps(out))
Path("metrics.json").write_text(json.dumps(metrics))
"""
MANIFEST = """\
name: wine
{top}
entry_points:
  train:
    command: [python, train.py, "{{alpha}}"]
    parameters: {{alpha: {{type: float, default: 0.5}}}}
    {more}
    outputs:
      model: {model}
      metrics: {{path: metrics.json, kind: metrics}}
"""


def manifest(model: str = "out.json", more: str = "", top: str = "") -> str:
    return MANIFEST.format(model=model, more=more, top=top)


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, message: str = "all") -> str:
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message, "--allow-empty")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def wine(project: Any) -> Callable[..., Path]:
    """A committed project whose outputs and metrics depend on what it is given."""

    def write(text: str = "", extra: str | None = None, ignored: str = "out.json\nmetrics.json\n") -> Path:
        files = {"train.py": TRAIN, ".gitignore": ignored}
        if extra is not None:
            files["extra.py"] = extra
        folder = project(text or manifest(), files)
        commit(folder)
        return folder

    return write


def ran(mlproj: Any, *words: Any, **options: Any) -> dict[str, Any]:
    done = mlproj("run", *words, "--json", **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def show(mlproj: Any, run: str = "@last") -> dict[str, Any]:
    return json.loads(mlproj("show", run, "--json").stdout)


def test_a_run_of_a_commit_comes_out_identical(mlproj: Any, wine: Any) -> None:
    folder = wine()
    recorded = ran(mlproj, folder, "-P", "alpha=0.1")
    (folder / "out.json").write_text("mine")
    done = mlproj("reproduce", recorded["id"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("identical  run ")
    assert "1 metric and 2 files compared" in done.stdout
    again = show(mlproj)
    assert again["id"] != recorded["id"]
    assert again["reproduction"] == {"of": recorded["id"], "verdict": "identical", "differences": []}
    assert again["parameters"] == {"alpha": 0.1}
    assert again["source"]["commit"] == recorded["source"]["commit"]
    jsonschema.validate(again, run_schema())
    # It ran in a tree of its own, of which nothing stays.
    assert (folder / "out.json").read_text() == "mine"
    assert not Path(again["command"]["cwd"]).exists()


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_numbers_without_end_or_value_are_given_again(mlproj: Any, project: Any, value: str) -> None:
    text = (
        "entry_points:\n  main:\n    command: [python, show.py, '{args}']\n"
        "    parameters: {x: {type: float}, xs: {type: 'list[float]'}}\n    outputs: {o: o.txt}\n"
    )
    folder = project(text, {"show.py": "import sys; open('o.txt', 'w').write(str(sys.argv))"})
    ran(mlproj, folder, "-P", f"x={value}", "-P", f"xs=1,{value}")
    done = mlproj("reproduce", "@last")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("identical")


class TestReasons:
    """What is said to be the likely reason where nothing that is recorded differs."""

    def told(self, mlproj: Any, folder: Path, *words: str, **variables: str) -> list[str]:
        ran(mlproj, folder)
        done = mlproj("reproduce", "@last", "--json", *words, env=variables)
        assert done.returncode == 1, done.stderr
        found = json.loads(done.stdout)
        return list(found.get("reasons") or found["attempts"][0]["reasons"])

    def test_another_end_is_not_taken_for_chance(self, mlproj: Any, wine: Any) -> None:
        folder = wine(extra="if os.environ.get('FULL'): raise OSError(28, 'No space left on device')\n")
        reasons = self.told(mlproj, folder, FULL="1")
        assert len(reasons) == 1
        assert reasons[0].startswith("it ended in another way, and nothing that is recorded differs: something that no")
        assert "`mlproj logs " in reasons[0]

    def test_the_folder_in_an_output(self, mlproj: Any, wine: Any) -> None:
        reasons = self.told(mlproj, wine(extra="out['at'] = os.getcwd()\n"))
        assert reasons == ["the folder that it ran in, which is another one each time, is in the output: out.json"]

    def test_the_folder_in_the_command(self, mlproj: Any, project: Any) -> None:
        text = (
            "name: wine\nentry_points:\n  main:\n    parameters: {data: {type: path, default: data.txt}}\n"
            "    command: python measure.py {data}\n"
        )
        script = (
            "import json, os, sys, zlib\n"
            "with open(os.environ['MLPROJ_METRICS'], 'a') as stream:\n"
            "    stream.write(json.dumps({'name': 'place', 'value': zlib.crc32(sys.argv[1].encode())}) + '\\n')\n"
        )
        folder = project("", {"MLproject": text, "data.txt": "1", "measure.py": script})
        (folder / "mlproj.yaml").unlink()
        reasons = self.told(mlproj, folder)
        assert reasons[0].startswith("its command names the folder that it ran in, which is another one each time")

    def test_chance_once_it_has_been_repeated_does_not_ask_for_that(self, mlproj: Any, wine: Any) -> None:
        folder = wine(extra="metrics['rmse'] = random.random()\n")
        assert "`--repeat`" in self.told(mlproj, folder)[0]
        assert "`--repeat`" not in self.told(mlproj, folder, "--repeat", "2")[0]


def test_what_was_changed_and_not_committed_comes_back_too(mlproj: Any, wine: Any) -> None:
    folder = wine()
    (folder / "extra.py").write_text("out['untracked'] = True\n")
    (folder / "train.py").write_text(TRAIN.replace('"data": data', '"data": data, "changed": 1'))
    recorded = ran(mlproj, folder)
    git(folder, "checkout", "-q", "--", "train.py")
    (folder / "extra.py").unlink()
    commit(folder, "later")
    done = mlproj("reproduce", "@last", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "identical"
    again = show(mlproj)
    assert again["source"]["dirty"]
    assert again["source"]["patch_sha256"] == recorded["source"]["patch_sha256"]


def test_a_repository_without_a_commit_is_all_in_its_patch(mlproj: Any, project: Any) -> None:
    folder = project(manifest(), {"train.py": TRAIN, ".gitignore": "out.json\nmetrics.json\n"})
    git(folder, "init", "-q")
    ran(mlproj, folder)
    shutil.rmtree(folder)
    done = mlproj("reproduce", "@last")
    assert done.returncode == 0, done.stderr + done.stdout


def test_a_small_folder_in_no_repository_is_kept_with_the_run(mlproj: Any, project: Any) -> None:
    folder = project(manifest(), {"train.py": TRAIN, "lib/run me.sh": "exit 0\n"})
    (folder / "lib" / "run me.sh").chmod(0o755)
    (folder / "lib" / "newest").symlink_to("run me.sh")
    recorded = ran(mlproj, folder)
    assert recorded["source"]["kept"]
    (folder / "train.py").write_text("raise SystemExit(1)\n")
    (folder / "model.bin").write_text("what nothing declares")
    done = mlproj("reproduce", "@last", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "identical"
    assert show(mlproj)["project"] == recorded["project"]
    shutil.rmtree(folder)
    assert mlproj("reproduce", recorded["id"]).returncode == 0
    assert mlproj("verify", recorded["id"]).returncode == 0
    home = Path(os.environ["MLPROJ_HOME"])
    (home / "runs" / recorded["id"] / "source" / "train.py").write_text(TRAIN + "# tampered with\n")
    done = mlproj("verify", recorded["id"])
    assert done.returncode == 1
    assert "source: changed" in done.stdout + done.stderr
    done = mlproj("reproduce", recorded["id"])
    assert done.returncode == 125
    assert "kept with the run are not those that ran" in done.stderr


def test_a_folder_that_holds_a_secret_is_not_kept(mlproj: Any, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINE_TOKEN", "hunter2-hunter2")
    text = manifest().replace("default: 0.5}}", "default: 0.5}, token: {type: secret, env: WINE_TOKEN}}")
    folder = project(text, {"train.py": TRAIN, "notes.txt": "it is hunter2-hunter2\n"})
    done = mlproj("run", folder)
    assert done.returncode == 0, done.stderr
    assert "not kept with the run: notes.txt holds the value of a secret" in done.stderr
    recorded = show(mlproj)
    assert not recorded["source"]["kept"]
    assert not (Path(os.environ["MLPROJ_HOME"]) / "runs" / recorded["id"] / "source").exists()


def test_a_folder_with_a_file_that_is_called_as_secrets_are_is_not_kept(mlproj: Any, project: Any) -> None:
    folder = project(manifest(), {"train.py": TRAIN, ".env": "TOKEN=hush"})
    recorded = ran(mlproj, folder)
    assert not recorded["source"]["kept"]
    assert ".env is among the project's files" in recorded["source"]["notes"][-1]
    (folder / ".mlprojignore").write_text(".env\n")
    recorded = ran(mlproj, folder)
    assert recorded["source"]["kept"]
    kept = Path(os.environ["MLPROJ_HOME"]) / "runs" / recorded["id"] / "source"
    assert not (kept / ".env").exists()


def test_a_larger_folder_in_no_repository_is_taken_while_it_is_the_same(mlproj: Any, project: Any) -> None:
    folder = project(manifest(), {"train.py": TRAIN})
    (folder / "weights.bin").write_bytes(bytes(MOST_KEPT_BYTES))
    assert not ran(mlproj, folder)["source"]["kept"]
    assert mlproj("reproduce", "@last").returncode == 0
    (folder / "train.py").write_text(TRAIN + "\n")
    done = mlproj("reproduce", "@last~1")
    assert done.returncode == 125
    assert f"the folder {folder} has changed since" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_project_from_git_is_fetched_again_at_its_commit(mlproj: Any, wine: Any, tmp_path: Path) -> None:
    folder = wine()
    git(tmp_path, "clone", "-q", "--bare", str(folder), "wine.git")
    recorded = ran(mlproj, f"file://{tmp_path}/wine.git", "-P", "alpha=2")
    (folder / "train.py").write_text("raise SystemExit(1)")
    commit(folder, "broken")
    git(folder, "push", "-q", str(tmp_path / "wine.git"), "HEAD:main")
    done = mlproj("reproduce", recorded["id"])
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "wine.git")
    done = mlproj("reproduce", recorded["id"], "--offline")
    assert done.returncode in (0, 125)
    assert "Traceback" not in done.stderr


def test_a_commit_that_is_nowhere_any_more_is_not_reproducible_here(mlproj: Any, wine: Any) -> None:
    folder = wine()
    ran(mlproj, folder)
    shutil.rmtree(folder / ".git")
    commit(folder)
    git(folder, "commit", "-q", "--amend", "-m", "rewritten")
    git(folder, "reflog", "expire", "--expire=all", "--all")
    git(folder, "gc", "-q", "--prune=now")
    done = mlproj("reproduce", "@last")
    assert done.returncode == 125
    assert "is not reproducible here" in done.stderr
    assert "(commit " in done.stderr


def test_an_archive_is_unpacked_again_if_it_is_the_same(mlproj: Any, project: Any, tmp_path: Path) -> None:
    folder = project(manifest(), {"train.py": TRAIN})
    archive = shutil.make_archive(str(tmp_path / "wine"), "gztar", folder)
    recorded = ran(mlproj, archive)
    assert mlproj("reproduce", recorded["id"]).returncode == 0
    (folder / "more.txt").write_text("x")
    shutil.make_archive(str(tmp_path / "wine"), "gztar", folder)
    done = mlproj("reproduce", recorded["id"])
    assert done.returncode == 125
    assert "is another one now" in done.stderr


class TestInputs:
    @pytest.fixture
    def folder(self, wine: Any) -> Path:
        folder = wine(manifest(more="inputs: [data.txt]"), ignored="out.json\nmetrics.json\ndata.txt\n")
        (folder / "data.txt").write_text("twelve bytes")
        return folder

    def test_that_git_does_not_have_are_brought_in(self, mlproj: Any, folder: Path) -> None:
        ran(mlproj, folder)
        assert mlproj("reproduce", "@last").returncode == 0
        assert show(mlproj)["inputs"][0]["size"] == 12

    def test_that_changed_are_named_before_anything_runs(self, mlproj: Any, folder: Path) -> None:
        recorded = ran(mlproj, folder)
        (folder / "data.txt").write_text("other bytes")
        done = mlproj("reproduce", "@last")
        assert done.returncode == 125
        assert "input data.txt has changed: it was sha256 " in done.stderr
        assert show(mlproj)["id"] == recorded["id"]

    def test_that_are_gone_are_named(self, mlproj: Any, folder: Path) -> None:
        ran(mlproj, folder)
        (folder / "data.txt").unlink()
        done = mlproj("reproduce", "@last")
        assert done.returncode == 125
        assert "input data.txt is not there any more" in done.stderr


class TestVerdicts:
    def test_within_the_tolerances_is_equivalent(self, mlproj: Any, wine: Any) -> None:
        wine_manifest = manifest(
            "{path: out.json, compare: json, rtol: 1.0e-3, ignore: [created]}",
            more="reproducibility: {metrics: {rmse: {atol: 0.01}, seconds: {ignore: true}}}",
        )
        jitter = (
            "out['jitter'] = 1 + random.random() * 1e-6\nout['created'] = time.time()\n"
            "metrics['rmse'] += random.random() * 1e-6\nmetrics['seconds'] = time.perf_counter()\n"
        )
        folder = wine(wine_manifest, jitter)
        ran(mlproj, folder)
        done = mlproj("reproduce", "@last")
        assert done.returncode == 0, done.stdout
        assert done.stdout.startswith("equivalent")
        assert "~ metric rmse: " in done.stdout
        assert "~ output model (out.json): jitter: 1.0000" in done.stdout
        assert "not compared: metric seconds" in done.stdout

    def test_beyond_them_is_different_and_says_by_how_much(self, mlproj: Any, wine: Any) -> None:
        folder = wine(extra="metrics['rmse'] += random.random()\nout['weights'] = [random.random()]\n")
        ran(mlproj, folder)
        done = mlproj("reproduce", "@last", "--json")
        assert done.returncode == 1
        told = json.loads(done.stdout)
        assert told["verdict"] == "different"
        assert {each["what"] for each in told["differences"]} == {
            "metric rmse",
            "output model (out.json)",
            "output metrics (metrics.json)",
        }
        assert "randomness without a seed" in told["reasons"][-1]
        assert show(mlproj)["reproduction"]["verdict"] == "different"

    def test_a_time_in_an_output_is_named_as_the_reason(self, mlproj: Any, wine: Any) -> None:
        folder = wine(extra="from datetime import datetime\nout['created'] = datetime.now().isoformat()\n")
        ran(mlproj, folder)
        done = mlproj("reproduce", "@last")
        assert done.returncode == 1
        assert "likely: timestamps in the output: out.json" in done.stdout

    def test_a_run_that_failed_as_it_failed_before_is_the_same(self, mlproj: Any, wine: Any) -> None:
        folder = wine(extra="sys.exit(3)\n")
        assert mlproj("run", folder).returncode == 3
        done = mlproj("reproduce", "@last")
        assert done.returncode == 0, done.stdout
        assert done.stdout.startswith("identical")

    def test_another_exit_status_is_a_difference(self, mlproj: Any, wine: Any, tmp_path: Path) -> None:
        flag = tmp_path / "flag"
        folder = wine(extra=f"sys.exit(4) if Path({str(flag)!r}).exists() else None\n")
        ran(mlproj, folder)
        flag.touch()
        done = mlproj("reproduce", "@last")
        assert done.returncode == 1
        assert "≠ exit status: 0 → 4" in done.stdout

    def test_a_curve_that_ends_the_same_is_looked_at_on_its_way(self, mlproj: Any, wine: Any, tmp_path: Path) -> None:
        flag = tmp_path / "flag"
        lines = (
            f"bump = Path({str(flag)!r}).exists()\n"
            "with open(os.environ['MLPROJ_METRICS'], 'a') as stream:\n"
            "    for step in range(5):\n"
            "        stream.write(json.dumps({'name': 'loss', 'value': 1 / (step + 1) + bump * (step == 2), 'step': step}) + chr(10))\n"
        )
        folder = wine(extra=lines)
        ran(mlproj, folder)
        assert mlproj("reproduce", "@last").returncode == 0
        flag.touch()
        done = mlproj("reproduce", "@last~1")
        assert done.returncode == 1
        assert "metric loss: ends the same, and differs on the way, first at step 2" in done.stdout

    def test_repeating_tells_what_varies(self, mlproj: Any, wine: Any) -> None:
        folder = wine(extra="metrics['noise'] = random.random()\n")
        ran(mlproj, folder)
        done = mlproj("reproduce", "@last", "--repeat", "2")
        assert done.returncode == 1
        assert "varies from run to run (2 runs)" in done.stdout
        assert done.stdout.endswith("\n  metric noise\n")
        steady = wine(extra="")
        ran(mlproj, steady)
        done = mlproj("reproduce", "@last", "--repeat", "2", "--json")
        assert json.loads(done.stdout)["variation"] == {
            "runs": 2,
            "varying": [],
            "steady": True,
            "as_recorded": True,
        }


class TestWhatIsBroughtBack:
    def test_words_after_the_dashes_and_the_deciding_variables(self, mlproj: Any, project: Any) -> None:
        body = (
            "import os, sys\nfrom pathlib import Path\n"
            "Path('out.txt').write_text(repr((sys.argv[1:], sorted({'a', 'b', 'c'}, key=hash), "
            "os.environ.get('OMP_NUM_THREADS'), os.environ['PYTHONHASHSEED'], os.environ.get('SOURCE_DATE_EPOCH'))))"
        )
        text = "entry_points: {main: {command: [python, s.py], outputs: {o: out.txt}}}\n"
        folder = project(text, {"s.py": body, ".gitignore": "out.txt"})
        commit(folder)
        done = mlproj("run", folder, "--", "--fast", "x y", env={"PYTHONHASHSEED": "7"})
        assert done.returncode == 0, done.stderr
        recorded = show(mlproj)
        assert recorded["variables"]["PYTHONHASHSEED"] == "7"
        assert recorded["variables"]["SOURCE_DATE_EPOCH"] == git(folder, "log", "-1", "--format=%ct")
        done = mlproj("reproduce", "@last", env={"OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "1"})
        assert done.returncode == 0, done.stdout
        assert show(mlproj)["variables"] == recorded["variables"]

    def test_paths_in_the_project_and_outside_of_it(self, mlproj: Any, project: Any, tmp_path: Path) -> None:
        text = (
            "entry_points: {main: {command: [python, s.py, '{inside}', '{outside}'], outputs: {o: out.txt},\n"
            "  parameters: {inside: {type: path, default: d/in.txt}, outside: {type: path}}}}\n"
        )
        body = (
            "import sys\nfrom pathlib import Path\n"
            "Path('out.txt').write_text(''.join(Path(each).read_text() for each in sys.argv[1:]))"
        )
        folder = project(text, {"s.py": body, "d/in.txt": "in", ".gitignore": "out.txt"})
        commit(folder)
        (tmp_path / "other.txt").write_text("outside")
        ran(mlproj, folder, "-P", "outside=other.txt", cwd=tmp_path)
        done = mlproj("reproduce", "@last", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert len(show(mlproj)["inputs"]) == 2
        (tmp_path / "other.txt").write_text("changed")
        done = mlproj("reproduce", "@last", cwd=folder)
        assert done.returncode == 125
        assert "other.txt has changed: it was sha256" in done.stderr
        (tmp_path / "other.txt").unlink()
        done = mlproj("reproduce", "@last", cwd=folder)
        assert done.returncode == 125
        assert "other.txt is not there any more" in done.stderr

    def test_a_folder_that_a_parameter_names_has_no_digest_and_is_told_of(
        self, mlproj: Any, project: Any, tmp_path: Path
    ) -> None:
        text = "entry_points: {main: {command: [python, -c, 'print(1)', '{data}'], parameters: {data: path}}}\n"
        folder = project(text.replace("data: path", "data: {type: path}"))
        commit(folder)
        (tmp_path / "data").mkdir()
        ran(mlproj, folder, "-P", f"data={tmp_path / 'data'}")
        done = mlproj("reproduce", "@last")
        assert done.returncode == 0, done.stderr
        assert f"no digest is kept of {tmp_path / 'data'} (parameter data): `inputs` would have one" in done.stderr

    def test_variables_that_the_manifest_names(self, mlproj: Any, project: Any) -> None:
        text = (
            'entry_points: {main: {command: [python, -c, \'import os; open("o.txt", "w").write(str(os.environ.get("KEPT")))\'],\n'
            "  outputs: {o: o.txt}, reproducibility: {variables: [KEPT]}}}\n"
        )
        folder = project(text)
        ran(mlproj, folder, env={"KEPT": "1"})
        assert show(mlproj)["variables"]["KEPT"] == "1"
        done = mlproj("reproduce", "@last", env={"KEPT": "2"})
        assert done.returncode == 0, done.stdout

    def test_a_url_with_credentials_has_to_be_given_again(self, mlproj: Any, project: Any) -> None:
        text = "entry_points: {main: {command: [python, -c, 'print(1)', '{u}'], parameters: {u: {type: uri}}}}\n"
        folder = project(text)
        ran(mlproj, folder, "-P", "u=https://me:pass-word@example.org/x")
        done = mlproj("reproduce", "@last")
        assert done.returncode == 125
        assert "the value of `u` held a secret, which is not recorded (it was `" in done.stderr
        assert ": give all of it with -P u=VALUE" in done.stderr
        done = mlproj("reproduce", "@last", "-P", "u=https://me:pass-word@example.org/x")
        assert done.returncode == 0, done.stderr

    def test_a_default_with_credentials_is_masked_when_another_value_is_given(
        self, mlproj: Any, project: Any, own_home: Path
    ) -> None:
        text = (
            "entry_points: {main: {command: [python, -c, 'print(1)', '{u}'],\n"
            "  parameters: {u: {type: uri, default: 'https://me:pass-word@example.org/x'}}}}\n"
        )
        ran(mlproj, project(text), "-P", "u=https://example.org/y")
        assert "pass-word" not in (own_home / "runs" / show(mlproj)["id"] / "run.json").read_text()

    def test_only_secrets_are_given_to_it(self, mlproj: Any, wine: Any) -> None:
        ran(mlproj, wine())
        done = mlproj("reproduce", "@last", "-P", "alpha=3")
        assert done.returncode == 2
        assert "-P alpha: only secrets, which no run records, are given to `reproduce`" in done.stderr

    def test_what_is_missing_is_json_too(self, mlproj: Any, wine: Any) -> None:
        folder = wine(manifest(more="inputs: [data.txt]"), ignored="data.txt\nout.json\nmetrics.json\n")
        (folder / "data.txt").write_text("x")
        recorded = ran(mlproj, folder)
        (folder / "data.txt").unlink()
        done = mlproj("reproduce", "@last", "--json")
        assert done.returncode == 125
        told = json.loads(done.stdout)
        assert (told["verdict"], told["recorded"]) == ("not reproducible", recorded["id"])
        assert told["missing"][0].startswith("input data.txt is not there any more")

    def test_a_secret_has_to_be_given_again(self, mlproj: Any, project: Any, tmp_path: Path) -> None:
        text = (
            "entry_points: {main: {command: [python, -c, 'import os; print(len(os.environ[\"KEY\"]))'],\n"
            "  parameters: {key: {type: secret, env: KEY}}}}\n"
        )
        folder = project(text)
        commit(folder)
        ran(mlproj, folder, env={"KEY": "s3cr3t-value"})
        done = mlproj("reproduce", "@last")
        assert done.returncode == 125
        assert "the secret `key` is not recorded: set $KEY, or give it with -P key=@FILE" in done.stderr
        assert mlproj("reproduce", "@last", env={"KEY": "s3cr3t-value"}).returncode == 0
        (tmp_path / "key").write_text("s3cr3t-value")
        assert mlproj("reproduce", "@last", "-P", f"key=@{tmp_path / 'key'}").returncode == 0

    def test_an_mlproject_with_parameters_that_it_does_not_declare(self, mlproj: Any, tmp_path: Path) -> None:
        folder = tmp_path / "old"
        folder.mkdir()
        (folder / "MLproject").write_text(
            "name: old\nentry_points:\n  main:\n    parameters: {alpha: float, data: {type: path, default: d.csv}}\n"
            '    command: "python s.py {alpha} {data}"\n'
        )
        (folder / "s.py").write_text("import sys; print(sys.argv[1:])\n")
        (folder / "d.csv").write_text("1,2\n")
        commit(folder)
        ran(mlproj, folder, "--env-manager", "local", "-P", "alpha=0.1", "-P", "extra=1")
        done = mlproj("reproduce", "@last")
        assert done.returncode == 0, done.stderr
        assert "'--extra', '1'" in done.stdout


class TestWhatIsLost:
    def test_the_patch(self, mlproj: Any, wine: Any, own_home: Path) -> None:
        folder = wine()
        (folder / "train.py").write_text(TRAIN + "# changed\n")
        run = ran(mlproj, folder)["id"]
        patch = own_home / "runs" / run / "source.patch"
        kept = patch.read_bytes()
        patch.write_bytes(kept + b"\n")
        done = mlproj("reproduce", run)
        assert done.returncode == 125
        assert "the patch of the changes since the commit is not the recorded one any more" in done.stderr
        patch.unlink()
        done = mlproj("reproduce", run)
        assert done.returncode == 125
        assert "the patch of the changes since the commit is lost" in done.stderr

    def test_a_run_that_goes_on_cannot_be_had_again_yet(self, mlproj: Any, project: Any) -> None:
        folder = project(
            "entry_points: {main: {command: [python, -c, 'import time; print(1, flush=True); time.sleep(60)']}}\n"
        )
        words = [sys.executable, "-m", "mlproj", "run", str(folder)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
            assert running.stdout is not None
            running.stdout.readline()
            done = mlproj("reproduce", "@last")
            assert done.returncode == 2
            assert "is still running" in done.stderr
            running.terminate()

    def test_no_such_run(self, mlproj: Any) -> None:
        done = mlproj("reproduce", "abcd")
        assert done.returncode == 2
        assert "there is no run `abcd`" in done.stderr


def test_killed_in_the_middle_it_leaves_a_lost_run_and_no_tree(mlproj: Any, wine: Any, own_home: Path) -> None:
    folder = wine(extra="print('begun', flush=True)\ntime.sleep(float(os.environ.get('WAIT', 0)))\n")
    recorded = ran(mlproj, folder)
    words = [sys.executable, "-m", "mlproj", "reproduce", recorded["id"]]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "WAIT": "60"}
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"begun\n"
        running.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while show(mlproj)["status"] == "running" and time.monotonic() < deadline:
        pass
    again = show(mlproj)
    assert again["status"] == "lost"
    assert again["reproduction"] == {"of": recorded["id"], "verdict": None, "differences": []}
    assert mlproj("reproduce", recorded["id"]).returncode == 0
    assert not list((own_home / "cache" / "trees").glob("*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_gives_no_verdict(mlproj: Any, wine: Any, number: signal.Signals) -> None:
    folder = wine(extra="print('begun', flush=True)\ntime.sleep(float(os.environ.get('WAIT', 0)))\n")
    recorded = ran(mlproj, folder)
    words = [sys.executable, "-m", "mlproj", "reproduce", recorded["id"], "--repeat", "3"]
    variables = {**os.environ, "WAIT": "60"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        running.send_signal(number)
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert "different" not in out
    assert len(json.loads(mlproj("runs", "--json").stdout)) == 2
    assert show(mlproj)["reproduction"]["verdict"] is None


def test_a_run_that_was_lost_is_said_to_have_been(mlproj: Any, wine: Any) -> None:
    folder = wine(extra="print('begun', flush=True)\ntime.sleep(float(os.environ.get('WAIT', 0)))\n")
    words = [sys.executable, "-m", "mlproj", "run", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "WAIT": "60"}) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.kill()
    done = mlproj("reproduce", "@last")
    assert done.returncode == 1
    assert "likely: the recorded run did not come to its end: its mlproj died without a word" in done.stdout
