from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from mlproj.runs.artifacts import Collected, OutputRequest, collect, signatures


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    folder = tmp_path / "store" / "runs" / "1" / "artifacts"
    folder.mkdir(parents=True)
    return folder


def write(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def kept(collected: Collected) -> dict[str, list[str]]:
    return {output.name: [each.path for each in output.files] for output in collected.outputs}


def test_files_folders_and_globs_are_kept_under_their_paths(project: Path, artifacts: Path) -> None:
    write(project / "metrics.json", "{}")
    write(project / "model" / "deep" / "weights.bin", "weights")
    write(project / "plots" / "a.png")
    write(project / "plots" / "b.png")
    write(project / "plots" / "notes.txt")
    requests = [
        OutputRequest("metrics", "metrics.json", kind="metrics"),
        OutputRequest("model", "model/"),
        OutputRequest("plots", "plots/*.png"),
        OutputRequest("logs", "logs/**", optional=True),
    ]
    collected = collect(requests, project, artifacts, before={})
    assert kept(collected) == {
        "metrics": ["metrics.json"],
        "model": ["model/deep/weights.bin"],
        "plots": ["plots/a.png", "plots/b.png"],
    }
    assert (collected.problems, collected.notes) == ([], [])
    weights = collected.outputs[1].files[0]
    assert (weights.size, weights.sha256) == (7, hashlib.sha256(b"weights").hexdigest())
    assert (artifacts / weights.path).read_text() == "weights"


def test_the_next_run_does_not_write_into_what_this_one_kept(project: Path, artifacts: Path) -> None:
    model = write(project / "model.bin", "first")
    collect([OutputRequest("model", "model.bin")], project, artifacts, before={})
    with model.open("r+") as stream:
        stream.write("secnd")
    assert (artifacts / "model.bin").read_text() == "first"


def test_a_missing_output_is_a_problem_unless_it_is_optional(project: Path, artifacts: Path) -> None:
    requests = [
        OutputRequest("model", "model/"),
        OutputRequest("plots", "*.png"),
        OutputRequest("report", "report.html", optional=True),
    ]
    collected = collect(requests, project, artifacts, before={})
    assert collected.problems == [
        "output model: model/ was not written by the run",
        "output plots: *.png was not written by the run",
    ]
    assert collected.outputs == []


def test_nothing_outside_the_project_is_read(project: Path, artifacts: Path, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "key")
    write(tmp_path / "secrets" / "key", "key")
    write(project / "out" / "good.txt")
    (project / "out" / "evil.txt").symlink_to(secret)
    (project / "out" / "evil").symlink_to(tmp_path / "secrets")
    (project / "whole").symlink_to(tmp_path / "secrets")
    requests = [
        OutputRequest("out", "out"),
        OutputRequest("glob", "out/**/*"),
        OutputRequest("whole", "whole"),
        OutputRequest("below", "whole/key"),
        OutputRequest("up", "../secret.txt"),
        OutputRequest("absolute", str(secret)),
        OutputRequest("uplob", "../*.txt"),
    ]
    collected = collect(requests, project, artifacts, before={})
    assert kept(collected) == {"out": ["out/good.txt"], "glob": ["out/good.txt"]}
    assert len(collected.problems) == 5
    assert "output out: out/evil.txt leads outside the project and was not read" in collected.notes
    assert "key" not in "".join(path.read_text() for path in artifacts.rglob("*") if path.is_file())


def test_links_within_the_project_are_kept_as_what_they_lead_to(project: Path, artifacts: Path) -> None:
    write(project / "runs" / "3" / "model.bin", "third")
    (project / "latest").symlink_to("runs/3")
    (project / "runs" / "3" / "circle").symlink_to("../..")
    (project / "runs" / "3" / "nowhere").symlink_to("gone")
    collected = collect([OutputRequest("latest", "latest")], project, artifacts, before={})
    assert "latest/model.bin" in kept(collected)["latest"]
    assert (artifacts / "latest" / "model.bin").read_text() == "third"
    assert not (artifacts / "latest" / "model.bin").is_symlink()
    assert any("circle" in note and "circle and was not followed" in note for note in collected.notes)
    assert "output latest: latest/nowhere is a link that leads nowhere" in collected.notes


def test_special_files_are_never_opened(project: Path, artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "out").mkdir()
    os.mkfifo(project / "out" / "pipe")
    monkeypatch.chdir(project / "out")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        collected = collect([OutputRequest("out", "out")], project, artifacts, before={})
    assert [note.split(": ")[1] for note in collected.notes] == [
        "out/pipe is no regular file and was not read",
        "out/socket is no regular file and was not read",
    ]


def test_two_outputs_that_share_a_file_keep_it_once(project: Path, artifacts: Path) -> None:
    write(project / "out" / "a.json")
    requests = [OutputRequest("all", "out"), OutputRequest("json", "out/*.json")]
    collected = collect(requests, project, artifacts, before={})
    assert kept(collected) == {"all": ["out/a.json"], "json": ["out/a.json"]}
    assert [path.name for path in artifacts.rglob("*.json")] == ["a.json"]


def test_what_the_entry_point_put_there_itself_is_recorded_and_never_overwritten(
    project: Path, artifacts: Path
) -> None:
    write(artifacts / "model.bin", "logged")
    write(project / "model.bin", "written")
    collected = collect([OutputRequest("model", "model.bin")], project, artifacts, before={})
    assert kept(collected) == {"model": ["model~2.bin"], "": ["model.bin"]}
    assert (artifacts / "model.bin").read_text() == "logged"
    assert (artifacts / "model~2.bin").read_text() == "written"


def test_an_output_that_the_run_did_not_write_is_missing(project: Path, artifacts: Path) -> None:
    requests = [OutputRequest("model", "model.bin"), OutputRequest("maybe", "maybe.bin", optional=True)]
    write(project / "model.bin")
    write(project / "maybe.bin")
    collected = collect(requests, project, artifacts, before=signatures(requests, project))
    assert kept(collected) == {}
    assert collected.problems == ["output model: model.bin was there before the run, which did not write it"]
    assert collected.notes == ["output maybe: maybe.bin was there before the run, which did not write it"]


@pytest.mark.parametrize("how", ["again", "as a copy with its old time", "renamed into place"])
def test_an_output_written_again_with_the_same_content_is_the_runs_own(
    project: Path, artifacts: Path, tmp_path: Path, how: str
) -> None:
    requests = [OutputRequest("model", "model.bin")]
    before_it = write(project / "model.bin").stat()
    before = signatures(requests, project)
    if how == "again":
        write(project / "model.bin")
    elif how == "renamed into place":
        write(tmp_path / "new.bin").rename(project / "model.bin")
    else:
        (project / "model.bin").unlink()
        os.utime(write(project / "model.bin"), ns=(before_it.st_atime_ns, before_it.st_mtime_ns))
    assert kept(collect(requests, project, artifacts, before=before)) == {"model": ["model.bin"]}


def test_old_files_among_new_ones_are_kept_and_told(project: Path, artifacts: Path) -> None:
    requests = [OutputRequest("model", "model/")]
    write(project / "model" / "old.bin")
    before = signatures(requests, project)
    write(project / "model" / "new.bin")
    collected = collect(requests, project, artifacts, before=before)
    assert kept(collected) == {"model": ["model/new.bin", "model/old.bin"]}
    assert collected.notes == ["output model: model/old.bin was there before the run and is unchanged"]


def test_a_store_within_the_project_does_not_collect_itself(project: Path) -> None:
    artifacts = project / ".mlproj" / "runs" / "1" / "artifacts"
    artifacts.mkdir(parents=True)
    write(project / ".mlproj" / "mlproj.db")
    write(project / "a.txt")
    collected = collect([OutputRequest("all", ".")], project, artifacts, before={}, excluded=[project / ".mlproj"])
    assert kept(collected) == {"all": ["a.txt"]}


def test_odd_file_names_are_kept(project: Path, artifacts: Path) -> None:
    names = ["-rf", "a\nb", "[x].txt", "\x1b[31m", os.fsdecode(b"caf\xe9"), "*.png"]
    for name in names:
        write(project / "out" / name)
    collected = collect(
        [OutputRequest("out", "out"), OutputRequest("one", "out/[x].txt")], project, artifacts, before={}
    )
    assert sorted(each.path.removeprefix("out/") for each in collected.outputs[0].files) == sorted(names)
    assert kept(collected)["one"] == ["out/[x].txt"]


def test_a_full_disk_is_a_problem_and_no_crash(project: Path, small_disk: Path) -> None:
    (project / "big.bin").write_bytes(b"x" * (8 << 20))
    collected = collect([OutputRequest("big", "big.bin")], project, small_disk / "artifacts", before={})
    assert collected.problems == ["output big: big.bin was not kept: No space left on device"]
    assert list((small_disk / "artifacts").iterdir()) == []
