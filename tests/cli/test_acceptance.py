"""``mlproj run`` in CI: assertions, baselines, reports, and what GitHub Actions is told."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

MANIFEST = """\
name: wine
entry_points:
  train:
    command: [python, train.py, "{rmse}"]
    parameters: {rmse: {type: float, default: 57.6}}
    outputs: {metrics: {path: metrics.json, kind: metrics}, model: {path: model.txt, optional: true}}
"""
TRAIN = """\
import json, os, sys
rmse = float(sys.argv[1])
open("metrics.json", "w").write(json.dumps({"rmse": rmse, "r2": 1 - rmse / 100, "width": 3}))
open("model.txt", "w").write("<b>|`model`</b>")
with open(os.environ["MLPROJ_METRICS"], "a") as stream:
    for step in range(4):
        stream.write(json.dumps({"name": "loss", "value": 1 / (step + 1), "step": step}) + "\\n")
"""


@pytest.fixture
def wine(project: Any) -> Path:
    return project(MANIFEST, {"train.py": TRAIN})


class TestAssertions:
    def test_that_hold_change_nothing(self, cli: Any, wine: Path) -> None:
        done = cli(
            "run", wine, "-q", "--assert", "metrics.rmse < 60 and status = finished", "--assert", "params.rmse > 1"
        )
        assert (done.status, done.err) == (0, "")

    def test_that_fail_are_all_told_after_the_run_is_recorded(self, cli: Any, wine: Path) -> None:
        done = cli(
            "run",
            wine,
            "-q",
            "--assert",
            "metrics.rmse < 50",
            "--assert",
            "metrics.rmes < 50",
            "--assert",
            "metrics.r2 > 0",
        )
        assert done.status == 3
        assert "✗ metrics.rmse < 50: metrics.rmse is 57.6" in done.err
        assert "✗ metrics.rmes < 50: the run has no metrics.rmes. Did you mean `rmse`?" in done.err
        assert "r2" not in done.err
        assert cli("show", "@last", "--json").json["status"] == "finished"

    def test_that_make_no_sense_are_refused_before_anything_runs(self, cli: Any, wine: Path) -> None:
        done = cli("run", wine, "--assert", "metrics.rmse <")
        assert done.status == 2
        assert "column" in done.err
        assert cli("run", wine, "--assert", " ").status == 2
        assert cli("runs", "--json").json == []

    def test_do_not_hide_the_commands_own_exit_status(self, cli: Any, project: Any) -> None:
        folder = project("entry_points: {main: {command: [python, -c, 'raise SystemExit(7)']}}")
        assert cli("run", folder, "-q", "--assert", "metrics.rmse < 1").status == 7


class TestBaseline:
    def test_a_run_that_does_not_fall_behind(self, cli: Any, wine: Path) -> None:
        cli("run", wine, "-q")
        assert cli("run", wine, "-q", "-P", "rmse=50", "--baseline", "@best:rmse").status == 0

    def test_a_run_that_falls_behind_says_in_what_and_by_how_much(self, cli: Any, wine: Path) -> None:
        cli("run", wine, "-q")
        done = cli("run", wine, "-q", "-P", "rmse=58", "--baseline", "@last")
        assert done.status == 3
        assert "✗ baseline: rmse: 57.6 → 58 (+0.4, worse)" in done.err
        assert "baseline: r2" in done.err
        assert "width" not in done.err

    @pytest.mark.parametrize(("amount", "status"), [("rmse=0.5", 0), ("rmse=1%", 0), ("rmse=0.1%", 3), ("rmse=0", 3)])
    def test_within_a_tolerance_is_tolerated(self, cli: Any, wine: Path, amount: str, status: int) -> None:
        cli("run", wine, "-q")
        words = ["--baseline", "@last", "--tolerance", amount, "--tolerance", "r2=1", "--tolerance", "loss=0"]
        assert cli("run", wine, "-q", "-P", "rmse=58", *words).status == status

    def test_a_file_will_do(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        file = tmp_path / "baseline.json"
        file.write_text('{"rmse": 40, "r2": "0.1", "note": "text"}')
        done = cli("run", wine, "-q", "--baseline", file)
        assert done.status == 3
        assert "baseline: rmse: 40 → 57.6" in done.err
        file.write_text(json.dumps(cli("show", "@last", "--json").json))
        assert cli("run", wine, "-q", "--baseline", file).status == 0

    def test_names_of_a_file_are_joined_as_those_of_an_output_are(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        file = tmp_path / "baseline.json"
        file.write_text('{"rmse": "about 50", "r2": 0.1}')
        done = cli("run", wine, "-q", "--baseline", file)
        assert done.status == 3
        assert "baseline: rmse: nan → 57.6" in done.err
        file.write_text('{"test": {"rmse": 1}}')
        assert "baseline: test.rmse: the run has no such metric" in cli("run", wine, "-q", "--baseline", file).err

    @pytest.mark.parametrize(
        ("content", "told"),
        [(each, "has no metric that a run could be held against") for each in ("{}", '{"loss": null}', '{"loss": NaN}')]
        + [("[1]", "holds no metrics"), ("{", "is no run and no metrics"), (None, "cannot be read: No such file")],
    )
    def test_a_file_that_is_none_is_refused(
        self, cli: Any, wine: Path, tmp_path: Path, content: Any, told: str
    ) -> None:
        file = tmp_path / "baseline.json"
        if content is not None:
            file.write_text(content)
        done = cli("run", wine, "--baseline", file)
        assert done.status == 2
        assert told in done.err

    def test_an_empty_one_gates_nothing_and_is_refused(self, cli: Any, wine: Path) -> None:
        done = cli("run", wine, "--baseline", "")
        assert (done.status, "--baseline is empty" in done.err) == (2, True)

    def test_a_metric_that_is_missing_does_not_pass(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        (tmp_path / "b.json").write_text('{"auc": 0.9}')
        done = cli("run", wine, "-q", "--baseline", tmp_path / "b.json")
        assert done.status == 3
        assert "✗ baseline: auc: the run has no such metric" in done.err

    def test_a_run_on_a_remote_will_do(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        cli("run", wine, "-q", "-P", "rmse=50")
        cli("run", wine, "-q", "-P", "rmse=40")
        cli("remote", "add", "lab", tmp_path / "lab")
        assert cli("push", "lab").status == 0
        done = cli("run", wine, "-q", "--baseline", "lab@best:rmse")
        assert done.status == 3
        assert "baseline: rmse: 40 → 57.6" in done.err
        assert "baseline: rmse: 50 → 57.6" in cli("run", wine, "-q", "--baseline", "lab@max:rmse").err
        assert cli("run", wine, "-q", "-P", "rmse=1", "--baseline", "lab@last").status == 0
        assert "there is no run `abc` on the remote lab" in cli("run", wine, "--baseline", "lab@abc").err
        assert "there is no remote `labb`. Did you mean `lab`?" in cli("run", wine, "--baseline", "labb@last").err

    def test_by_its_place_is_a_finished_run_of_the_same_project(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        cli("run", wine, "-q", "-P", "rmse=50")
        other = tmp_path / "other"
        other.mkdir()
        for file in wine.iterdir():
            (other / file.name).write_text(file.read_text().replace("name: wine", "name: beer"))
        cli("run", other, "-q", "-P", "rmse=90")
        cli("run", other, "-q", "-P", "rmse=1")
        (wine / "train.py").write_text(TRAIN + "raise SystemExit(1)")
        cli("run", wine, "-q", "-P", "rmse=95")
        (wine / "train.py").write_text(TRAIN)
        for name in ("@last", "@best:rmse", "@max:rmse", "@last~0"):
            done = cli("run", wine, "-q", "-P", "rmse=60", "--baseline", name)
            assert done.status == 3
            assert "baseline: rmse: 50 → 60" in done.err
            assert "the baseline is run " in done.err
            assert " of wine: train, 20" in done.err
            cli("delete", "@last")
        cli("remote", "add", "lab", tmp_path / "lab")
        cli("push", "lab")
        assert "baseline: rmse: 50 → 60" in cli("run", wine, "-q", "-P", "rmse=60", "--baseline", "lab@best:rmse").err

    def test_of_a_project_that_has_not_finished_yet_is_refused_before_anything_runs(self, cli: Any, wine: Path) -> None:
        cli("run", wine, "-q")
        (wine / "mlproj.yaml").write_text(MANIFEST.replace("wine", "beer"))
        done = cli("run", wine, "--baseline", "@best:rmse")
        assert done.status == 2
        assert "there is no finished run `@best:rmse` of beer: train" in done.err
        assert len(cli("runs", "--json").json) == 1

    def test_says_of_which_change_nothing_judges(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        (tmp_path / "b.json").write_text('{"width": 4}')
        done = cli("run", wine, "-q", "--baseline", tmp_path / "b.json", "--report", tmp_path / "r.md")
        assert done.status == 0
        assert "`width` went from 4 to 3, and nothing judges that" in done.err
        assert "its name does not tell which end is better" in (tmp_path / "r.md").read_text()
        words = ["--baseline", tmp_path / "b.json", "--tolerance", "width=1"]
        assert "nothing judges" not in cli("run", wine, "-q", *words).err

    def test_tolerances_are_checked(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        (tmp_path / "b.json").write_text('{"rmse": 1}')
        assert "METRIC=AMOUNT" in cli("run", wine, "--baseline", tmp_path / "b.json", "--tolerance", "rmse").err
        assert "no metric `rmes`" in cli("run", wine, "--baseline", tmp_path / "b.json", "--tolerance", "rmes=1").err
        assert "--tolerance is for --baseline" in cli("run", wine, "--tolerance", "rmse=1").err


class TestAsJson:
    def test_checks_and_the_baseline_are_in_it(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        (tmp_path / "b.json").write_text('{"rmse": 50}')
        words = ["--assert", "metrics.rmse < 60", "--assert", "metrics.rmse < 55", "--baseline", tmp_path / "b.json"]
        done = cli("run", wine, "--json", *words)
        assert done.status == 3
        told = done.json
        assert (told["accepted"], told["status"]) == (False, "finished")
        assert [(each["name"], each["passed"]) for each in told["checks"]] == [
            ("metrics.rmse < 60", True),
            ("metrics.rmse < 55", False),
            ("baseline: rmse", False),
        ]
        assert told["checks"][1]["told"] == "metrics.rmse is 57.6"
        assert told["baseline"]["metrics"]["rmse"]["direction"] == "worse"
        assert told["baseline"]["metrics"]["rmse"]["before"] == 50
        assert "checks" not in cli("show", "@last", "--json").json

    def test_a_run_that_stands_for_this_one_is_said_to(self, cli: Any, wine: Path) -> None:
        (wine / ".gitignore").write_text("metrics.json\nmodel.txt\n")
        assert cli("run", wine, "--json", "--reuse").json["reused"] is False
        labels = ["--name", "n", "--tag", "a=b", "--experiment", "e"]
        done = cli("run", wine, "--json", "--reuse", *labels)
        assert done.json["reused"] is True
        assert "note: --name, --tag, --experiment do not apply: that run is as it was recorded" in done.err
        assert cli("run", wine, "--json").json == cli("show", "@last", "--json").json


class TestReports:
    def test_in_every_form(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        names = {each: tmp_path / each for each in ("r.md", "r.html", "metrics.txt", "r.xml")}
        cli("run", wine, "-q")
        done = cli(
            "run", wine, "-q", "-P", "rmse=50", "--baseline", "@last", "--assert", "metrics.rmse > 70",
            "--report", names["r.md"], "--report", names["r.html"], "--report", names["metrics.txt"], "--junit", names["r.xml"],
        )  # fmt: skip
        assert done.status == 3
        markdown = names["r.md"].read_text()
        assert markdown.startswith("## ❌ wine: train\n")
        assert "| rmse | 50 | 57.6 | ↓ -7.6 (better) |" in markdown
        assert "| loss | 0.25 |" in markdown
        assert "█" in markdown
        html = names["r.html"].read_text()
        assert '<path vector-effect="non-scaling-stroke" d="M' in html
        assert not re.search(r"(src|href)=", html)
        assert "<script" not in html
        assert "rmse 50.0\n" in names["metrics.txt"].read_text()
        suite = ElementTree.parse(names["r.xml"]).getroot().find("testsuite")
        assert suite is not None
        assert suite.get("failures") == "1"
        failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
        assert failed == ["metrics.rmse > 70"]

    def test_hold_no_secret_that_an_assertion_does(
        self, cli: Any, project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WINE_KEY", "hunter2-hunter2")
        text = (
            "entry_points:\n  main:\n    command: [python, -c, pass, '{a}']\n"
            "    parameters: {a: {type: str}, key: {type: secret, env: WINE_KEY}}\n"
        )
        files = [tmp_path / "r.md", tmp_path / "r.html"]
        words = [word for file in files for word in ("--report", file)]
        done = cli(
            "run", project(text), "-P", "a=pre hunter2-hunter2", "--assert", "params.a = 'pre hunter2-hunter2'",
            *words, "--junit", tmp_path / "r.xml",
        )  # fmt: skip
        assert done.status == 3
        assert "main: a=pre •••" in done.err
        for file in (*files, tmp_path / "r.xml"):
            assert "pre •••" in file.read_text()
            assert "hunter2" not in file.read_text()
        assert "hunter2" not in done.err + done.out

    def test_of_a_recorded_run(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        cli("run", wine, "-q", "--name", "first | <script>alert(1)</script> https://example.org")
        shown = cli("report", "@last").out
        assert "first \\| \\<script\\>alert(1)\\</script\\> https\\://example.org" in shown
        assert cli("report", "@last", "-o", tmp_path / "r.html").status == 0
        assert "<script>" not in (tmp_path / "r.html").read_text()

    def test_go_into_what_is_no_regular_file_as_it_is(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        (tmp_path / "kept.xml").write_text("")
        (tmp_path / "link.xml").symlink_to("kept.xml")
        try:
            cli("run", wine, "-q")
            assert cli("report", "@last", "--junit", tmp_path / "pipe").status == 0
            assert os.read(reader, 1 << 16).startswith(b"<?xml")
            assert cli("report", "@last", "--junit", tmp_path / "link.xml").status == 0
        finally:
            os.close(reader)
        assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
        assert (tmp_path / "link.xml").is_symlink()
        assert (tmp_path / "kept.xml").read_text().startswith("<?xml")

    def test_go_into_no_pipe_that_nobody_reads(self, mlproj: Any, wine: Path, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.md")
        done = mlproj("run", wine, "-q", "--report", tmp_path / "pipe.md")
        assert done.returncode == 125
        assert "cannot be written: nobody reads the pipe" in done.stderr
        assert mlproj("report", "@last", "-o", tmp_path / "pipe.md").returncode == 125

    @pytest.mark.parametrize(
        ("option", "name"),
        [("--junit", "mlproj.yaml"), ("--junit", "train.py"), ("--report", "README.md"), ("--report", "notes.txt")],
    )
    def test_never_take_the_place_of_something_else(self, cli: Any, wine: Path, option: str, name: str) -> None:
        for other in ("README.md", "notes.txt"):
            (wine / other).write_text("# Mine\n")
        before = (wine / name).read_bytes()
        done = cli("run", wine, option, wine / name)
        assert done.status == 2
        assert "is there and no report of mlproj's: it is not overwritten" in done.err
        assert (wine / name).read_bytes() == before
        cli("run", wine, "-q")
        assert cli("report", "@last", "--junit" if option == "--junit" else "-o", wine / name).status == 2

    def test_take_the_place_of_earlier_ones(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        names = ["r.md", "r.html", "r.txt"]
        words = [word for name in names for word in ("--report", tmp_path / name)] + ["--junit", tmp_path / "r.xml"]
        assert [cli("run", wine, "-q", *words).status for _ in range(2)] == [0, 0]

    def test_are_no_outputs(self, cli: Any, wine: Path) -> None:
        (wine / "mlproj.yaml").write_text(MANIFEST.replace("model.txt", "made/*.txt"))
        done = cli("run", wine, "--report", wine / "made" / "model.txt")
        assert done.status == 2
        assert "the report made/model.txt would be written over the output `model`" in done.err

    def test_are_no_part_of_the_source_of_the_next_run(self, cli: Any, wine: Path) -> None:
        words = ["run", wine, "--json", "--report", wine / "r.md", "--junit", wine / "r.xml"]
        first, second = cli(*words).json, cli(*words).json
        assert first["source"]["digest"] == second["source"]["digest"]

    def test_why_nothing_could_be_run_is_in_junits_xml(self, cli: Any, project: Any, tmp_path: Path) -> None:
        folder = project(
            "environment: {virtualenv: {dependencies: [six]}}\nentry_points: {main: {command: [python]}}\n"
        )
        done = cli("run", folder, "--locked", "--junit", tmp_path / "r.xml")
        assert done.status == 125
        error = ElementTree.parse(tmp_path / "r.xml").getroot().find(".//error")
        assert error is not None
        assert "there is no lock" in str(error.get("message"))

    def test_that_cannot_be_written_are_refused_first(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        assert "a report ends in .md, .html, .txt" in cli("run", wine, "--report", tmp_path / "r.pdf").err
        assert cli("run", wine, "--report", tmp_path / "r.pdf").status == 2
        (tmp_path / "folder.md").mkdir()
        assert "is a folder" in cli("run", wine, "--report", tmp_path / "folder.md").err
        assert cli("runs", "--json").json == []


class TestOnGitHub:
    @pytest.fixture(autouse=True)
    def _job(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))

    def test_a_manifests_errors_stand_beside_its_lines(self, cli: Any, project: Any) -> None:
        folder = project("entry_points:\n  main:\n    comand: [x]\n    command: [y, '{z}']\n")
        done = cli("run", folder)
        assert done.status == 2
        assert "::error file=project/mlproj.yaml,line=3,col=5,endColumn=11::unknown key `comand`" in done.err

    def test_so_they_do_for_check(self, cli: Any, project: Any) -> None:
        done = cli("check", project("entry_points:\n  main:\n    comand: [x]\n    command: [y]\n"))
        assert "::error file=project/mlproj.yaml,line=3,col=5,endColumn=11::unknown key `comand`" in done.err

    def test_the_jobs_summary_gets_the_report(self, cli: Any, wine: Path, tmp_path: Path) -> None:
        (tmp_path / "summary.md").write_text("before\n")
        assert cli("run", wine, "-q").status == 0
        assert (tmp_path / "summary.md").read_text().startswith("before\n## ✅ wine: train\n")

    def test_a_failed_assertion_is_an_error_of_the_job(self, cli: Any, wine: Path) -> None:
        done = cli("run", wine, "-q", "--assert", "metrics.rmse < 1")
        assert "::error title=wine%3A train is not accepted::metrics.rmse < 1: metrics.rmse is 57.6" in done.err

    def test_a_message_cannot_give_another_command(self, cli: Any, tmp_path: Path) -> None:
        done = cli("run", tmp_path / "nowhere\n::set-output name=x::y")
        assert not re.search(r"(?m)^::set-output", done.err)


def test_the_cache_key_changes_with_what_is_locked_and_asked_for(cli: Any, project: Any) -> None:
    text = "environment: {{virtualenv: {{dependencies: [{}]}}}}\nentry_points: {{main: {{command: [python, x.py]}}}}\n"
    folder = project(text.format("six"))
    first = cli("ci-cache-key", folder).out.strip()
    assert first.startswith(cli("ci-cache-key", folder, "--restore").out.strip())
    (folder / "pylock.toml").write_text('lock-version = "1.0"\n')
    locked = cli("ci-cache-key", folder).out.strip()
    (folder / "mlproj.yaml").write_text(text.format("attrs"))
    assert len({first, locked, cli("ci-cache-key", folder).out.strip()}) == 3
    assert cli("cache", "dir").out.strip() == os.environ["MLPROJ_CACHE"]
