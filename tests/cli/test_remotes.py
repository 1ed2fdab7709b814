"""`mlproj remote`, `push`, `pull` and `runs --remote`: on a folder, and on servers of each protocol, S3's most."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Elsewhere = Callable[[], Path]


def test_remotes_have_names(cli: Any, tmp_path: Path, own_home: Path) -> None:
    assert cli("remote", "list").out == "no remotes yet: `mlproj remote add NAME URL`\n"
    assert cli("remote", "add", "lab", "s3://lab-runs/wine/").out == "lab is s3://lab-runs/wine\n"
    assert cli("remote", "add", "disk", tmp_path / "a" / ".." / "runs").out == f"disk is {tmp_path / 'runs'}\n"
    assert cli("remote", "list", "--json").json == [
        {"name": "disk", "url": str(tmp_path / "runs")},
        {"name": "lab", "url": "s3://lab-runs/wine"},
    ]
    refused = cli("remote", "add", "lab", "s3://other")
    assert (refused.status, "there is a remote `lab` already: s3://lab-runs/wine" in refused.err) == (2, True)
    assert cli("remote", "remove", "lab").out == "lab is forgotten\n"
    refused = cli("push", "dsk")
    assert (refused.status, "there is no remote `dsk`. Did you mean `disk`?" in refused.err) == (2, True)
    (own_home / "remotes.toml").write_text("[remotes\n")
    refused = cli("remote", "list")
    assert (refused.status, "remotes.toml is damaged" in refused.err) == (125, True)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:hunter2@bucket/runs", "holds credentials, which are not kept"),
        ("s3://hunter2@bucket/runs", "holds credentials, which are not kept"),
        ("sftp://ada:hunter2@host/runs", "holds credentials, which are not kept"),
        ("az://container/runs?sig=hunter2", "holds credentials, which are not kept"),
        ("s3://bucket/runs?a=b", "has more behind its path"),
        ("ftp://host/runs", "`ftp` is not known"),
        ("memory://runs", "`memory` is not known"),
        ("s3:///runs", "names no bucket"),
        ("", "is no address"),
    ],
)
def test_addresses_that_no_remote_has(cli: Any, own_home: Path, url: str, said: str) -> None:
    refused = cli("remote", "add", "lab", url)
    assert (refused.status, said in refused.err) == (2, True), refused.err
    assert "hunter2" not in refused.err
    assert not (own_home / "remotes.toml").exists()


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", "..", "é"])
def test_names_that_no_remote_has(cli: Any, name: str) -> None:
    assert cli("remote", "add", "--", name, "s3://bucket").status == 2


def test_a_remote_in_a_folder_that_is_gone(
    cli: Any, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    refused = cli("remote", "add", "lab", "./runs")
    assert (refused.status, "`./runs` is no folder that can be found" in refused.err) == (2, True)
    assert cli("remote", "add", "lab", "~nobody-of-this-name/runs").status == 2
    assert cli("remote", "add", "lab", tmp_path / "runs").status == 0


def test_remotes_are_added_at_once(start: Any, cli: Any) -> None:
    processes = [start("remote", "add", f"r{number}", f"s3://bucket/{number}") for number in range(6)]
    assert [process.wait(60) for process in processes] == [0] * 6
    assert len(cli("remote", "list", "--json").json) == 6


@pytest.fixture(params=["folder", "s3", "gs", "az", "sftp"])
def remote(request: pytest.FixtureRequest, cli: Any, tmp_path: Path) -> str:
    """The URL of an empty remote, of each kind."""
    if request.param == "folder":
        return str(tmp_path / "remote")
    if request.param == "sftp":
        return f"{request.getfixturevalue('sftp_server')}{tmp_path}/remote"
    return str(request.getfixturevalue({"s3": "bucket", "gs": "google_bucket", "az": "container"}[request.param]).url)


def test_there_and_back(trained: list[str], cli: Any, elsewhere: Elsewhere, remote: str, tmp_path: Path) -> None:
    crates = tmp_path / "a.crate.zip", tmp_path / "b.crate.zip"
    cli("export", "better", "-o", crates[0])
    cli("remote", "add", "lab", remote)
    done = cli("push", "lab", "--json")
    assert [(each["id"], each["what"]) for each in done.json] == [(trained[0], "new"), (trained[1], "new")], done.err
    assert cli("push", "lab").out == "lab: 0 runs pushed, 2 as before\n"
    home = elsewhere()
    cli("remote", "add", "lab", remote)
    listed = cli("runs", "--remote", "lab")
    assert listed.out.splitlines()[0].split() == [
        *("id", "name", "project", "entry_point", "status", "started_at", "duration_s", "alpha", "features", "rmse"),
        *("size", "here"),
    ]
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == [trained[1][:12], trained[0][:12]]
    done = cli("pull", "lab", "better")
    assert (done.status, done.out) == (0, f"{trained[1][:12]} pulled\nlab: 1 run pulled, 0 as before\n"), done.err
    assert cli("pull", "lab").out.splitlines()[-1] == "lab: 1 run pulled, 1 as before"
    assert cli("store", "check").out == "the store is sound\n"
    assert cli("show", "better", "--json").json["imported"]["origin"] == remote
    cli("export", "better", "-o", crates[1])
    assert crates[0].read_bytes() == crates[1].read_bytes()
    assert [each.name for each in home.glob("runs/.new-*")] == []
    everything = cli("runs", "--remote", "lab", "--json")
    assert [each["id"] for each in everything.json] == [trained[1], trained[0]]


def test_only_what_is_missing_is_sent(trained: list[str], cli: Any, bucket: Any) -> None:
    first = cli("push", bucket.url, trained[0])
    # The source, the lock and such are the same: the list, the log, the metrics, the model and the resources are not.
    second = cli("push", bucket.url, "better")
    assert int(second.out.split(": ")[1].split()[0]) < int(first.out.split(": ")[1].split()[0])
    cli("tag", "better", "stage=final")
    assert cli("push", bucket.url, "better").out.splitlines()[0] == f"{trained[1][:12]} pushed: 0 files, 0 B"
    assert cli("runs", "--remote", bucket.url, "--json").json[0]["tags"]["stage"] == "final"


@pytest.fixture
def gone_here(trained: list[str], wine: Path, cli: Any, tmp_path: Path, own_home: Path) -> Path:
    """A remote with the run `better`, whose source is not to be had any more from here."""
    remote = tmp_path / "remote"
    cli("push", remote, "better")
    (wine / "train.py").write_text("# another\n")
    shutil.rmtree(own_home / "runs" / trained[1] / "source")
    return remote


def test_a_source_that_is_gone_stays_on_the_remote(gone_here: Path, cli: Any, elsewhere: Any) -> None:
    remote = gone_here
    cli("tag", "better", "stage=final")
    assert "without its source" in cli("push", remote, "better").err
    home = elsewhere()
    cli("pull", remote)
    assert next(home.glob("runs/*/source/train.py")).read_text().startswith("import json")


def test_a_secret_that_was_sent_is_not_kept_there(
    project: Any, cli: Any, elsewhere: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    manifest = """
        environment: {system: {}}
        entry_points:
          main:
            command: [python, -c, "import os; open('key.txt', 'w').write(os.environ['KEY'])"]
            parameters: {key: {type: secret, env: KEY}}
            outputs: {key: key.txt}
        """
    remote = tmp_path / "remote"
    monkeypatch.setenv("KEY", "hunter2hunter2")
    assert cli("run", project(manifest), "-q").status == 0
    monkeypatch.delenv("KEY")  # what no variable has cannot be looked for
    done = cli("push", remote)
    assert "left out" not in done.err
    assert "not searched for the values of its secret key, which no variable here has: $KEY\n" in done.err
    assert "no variable here has: $KEY\n" in cli("export", "-o", tmp_path / "run.crate.zip").err
    monkeypatch.setenv("KEY", "hunter2hunter2")
    cli("tag", "@last", "stage=final")
    done = cli("push", remote)
    assert "left out, as they hold secrets: artifacts/key.txt" in done.err
    assert "not searched" not in done.err
    home = elsewhere()
    assert cli("pull", remote).status == 0
    assert list(home.glob("runs/*/artifacts/*")) == []


def test_names_on_a_remote(trained: list[str], cli: Any, elsewhere: Elsewhere, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()
    assert cli("runs", "--remote", remote).out.startswith("no runs on ")
    cli("push", remote, *trained)
    elsewhere()
    refused = cli("pull", remote, "worse")
    assert (refused.status, f"there is no run `worse` on the remote {remote}" in refused.err) == (2, True)
    refused = cli("pull", remote, "0")
    assert (refused.status, "more than one run is `0`" in refused.err) == (2, True)
    assert len(cli("runs", "--remote", remote, "--limit", "1", "--json").json) == 1


def test_the_runs_on_a_remote_are_searched_as_those_of_a_store(
    trained: list[str], cli: Any, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    cli("push", remote, *trained)
    elsewhere()
    cli("pull", remote, "better")

    def found(*words: str) -> list[str]:
        return [each["id"] for each in cli("runs", "--remote", remote, "--json", *words).json]

    assert found("--filter", "params.alpha > 0.2 and status = finished") == [trained[1]]
    assert found("--filter", "tags.stage = 'candidate' or status = failed") == [trained[2], trained[1]]
    assert found("--order-by", "metrics.rmse", "--limit", "2") == trained[:2]
    columns = cli("runs", "--remote", remote, "--columns", "name,here,metrics.rmse", "--filter", "status = finished")
    assert [line.split() for line in columns.out.splitlines()] == [
        ["name", "here", "rmse"],
        ["better", "yes", "0.3"],
        ["no", "0.1"],
    ]
    csv = cli("runs", "--remote", remote, "--csv", "--columns", "name,status,here", "--filter", "metrics.rmse > 0.2")
    assert csv.out == "name,status,here\nbetter,finished,yes\n"
    none = cli("runs", "--remote", remote, "--filter", "metrics.rsme < 1")
    assert none.out == f"no runs that match on {remote}\n"
    assert "No run has `metrics.rsme`. Did you mean `rmse`?" in none.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--filter", "status ="), "column 9"),
        (("--order-by", "metrics"), "metrics"),
        (("--columns", "curve.rmse"), "a remote's list has no curves"),
        (("--columns", "hear"), "Did you mean `here`?"),
        (("--trash",), "--trash does not go with --remote"),
        (("--watch",), "--watch does not go with --remote"),
    ],
)
def test_what_cannot_be_asked_of_a_remote(
    trained: list[str], cli: Any, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    cli("push", tmp_path / "remote", "better")
    refused = cli("runs", "--remote", tmp_path / "remote", *words)
    assert (refused.status, said in refused.err) == (2, True), refused.err


def test_another_run_of_the_same_id(trained: list[str], cli: Any, elsewhere: Elsewhere, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    cli("push", remote)
    cli("tag", trained[0], "mine=yes")
    done = cli("pull", remote)
    assert (done.status, "is here already, and is not the same" in done.err) == (2, True)
    assert cli("tag", trained[0]).out == "mine=yes\n"


def test_a_run_that_came_without_artifacts_gets_them(
    trained: list[str], cli: Any, elsewhere: Any, bucket: Any, tmp_path: Path
) -> None:
    cli("push", bucket.url, "better")
    cli("export", "better", "--no-artifacts", "-o", tmp_path / "bare.crate.zip")
    home = elsewhere()
    cli("import", tmp_path / "bare.crate.zip")
    shutil.rmtree(next(home.glob("runs/*/source")))
    done = cli("pull", bucket.url, "better")
    assert done.out.splitlines() == [
        f"{trained[1][:12]} was here already, and got files that it lacked",
        f"{bucket.url}: 1 run pulled, 0 as before",
    ]
    assert next(home.glob("runs/*/artifacts/model/weights.txt")).read_text() == "alpha=0.3"
    assert next(home.glob("runs/*/source/train.py")).exists()
    assert cli("verify", "better", "--json").json[0]["not_brought"] == []
    assert cli("pull", bucket.url).out == f"{bucket.url}: 0 runs pulled, 1 as before\n"
    assert sorted(each.name for each in (home / "runs").iterdir()) == [trained[1]]


def test_a_run_that_lost_an_artifact_gets_it_back(trained: list[str], cli: Any, bucket: Any, own_home: Path) -> None:
    cli("push", bucket.url, "better")
    model = next(own_home.glob(f"runs/{trained[1]}/artifacts/model/weights.txt"))
    model.unlink()
    assert cli("verify", "better").status == 1
    assert cli("pull", bucket.url, "better").status == 0
    assert model.read_text() == "alpha=0.3"
    assert cli("verify", "better").status == 0


def test_of_a_run_that_is_here_only_what_it_lacks_is_fetched(
    parts: Any, cli: Any, bucket: Any, faulty: Any, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = parts(10, 200_000)
    cli("push", bucket.url)
    (own_home / f"runs/{run_id}/artifacts/parts/3.bin").unlink()
    passing = faulty()
    monkeypatch.setenv("AWS_ENDPOINT_URL", passing.address)
    assert cli("pull", bucket.url).status == 0
    assert 200_000 < passing.passed < 300_000
    assert cli("verify", run_id[:12]).status == 0


def test_what_was_damaged_does_not_complete_a_run(trained: list[str], cli: Any, bucket: Any, own_home: Path) -> None:
    cli("push", bucket.url, "better")
    digest = digest_of(cli("show", "better", "--json").json, "model/weights.txt")
    bucket.write(f"runs/objects/{digest[:2]}/{digest[2:]}", b"alpha=9.9")
    model = next(own_home.glob(f"runs/{trained[1]}/artifacts/model/weights.txt"))
    model.unlink()
    refused = cli("pull", bucket.url, "better")
    assert (refused.status, "`artifacts/model/weights.txt` is damaged" in refused.err) == (125, True)
    assert not model.exists()


def objects_of(remote: Path) -> dict[str, Path]:
    return {each.parent.name + each.name: each for each in remote.glob("objects/*/*")}


def digest_of(record: dict[str, Any], name: str) -> str:
    return next(each["sha256"] for output in record["outputs"] for each in output["files"] if each["path"] == name)


def test_a_damaged_object_is_refused_and_mended(
    trained: list[str], cli: Any, elsewhere: Any, bucket: Any, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("push", bucket.url, "better")
    digest = digest_of(cli("show", "better", "--json").json, "model/weights.txt")
    bucket.write(f"runs/objects/{digest[:2]}/{digest[2:]}", b"alpha=9.9")
    home = elsewhere()
    refused = cli("pull", bucket.url)
    assert refused.status == 125
    assert "`artifacts/model/weights.txt` is damaged" in refused.err
    assert "mlproj push --force" in refused.err
    assert cli("runs", "--json").json == []
    monkeypatch.setenv("MLPROJ_HOME", str(own_home))
    assert cli("push", bucket.url, "better").out.endswith("0 runs pushed, 1 as before\n")
    assert cli("push", "--force", bucket.url, "better").status == 0
    monkeypatch.setenv("MLPROJ_HOME", str(home))
    assert cli("pull", bucket.url).status == 0


def test_objects_that_are_gone_are_told_and_sent_anew(
    trained: list[str],
    cli: Any,
    elsewhere: Any,
    remote: str,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    remove_objects: Callable[[str], None],
) -> None:
    cli("push", remote, "better")
    remove_objects(remote)
    home = elsewhere()
    refused = cli("pull", remote)
    assert (refused.status, "`the list of its files` is not there any more" in refused.err) == (125, True), refused.err
    assert f"`mlproj push --force {remote} {trained[1][:12]}`, from a store that has it, mends it." in refused.err
    monkeypatch.setenv("MLPROJ_HOME", str(own_home))
    done = cli("push", "--force", remote, "better")
    assert (done.status, f"{trained[1][:12]} pushed" in done.out) == (0, True), done.err
    monkeypatch.setenv("MLPROJ_HOME", str(home))
    assert cli("pull", remote).status == 0
    assert cli("verify", "better").status == 0


@pytest.fixture
def remove_objects() -> Callable[[str], None]:
    """Remove all objects of a remote, as a lifecycle rule or somebody who tidies up does."""

    def remove(url: str) -> None:
        from mlproj.sharing.opening import open_storage
        from mlproj.sharing.remotes import Remote

        storage = open_storage(Remote("lab", url))
        storage.filesystem.rm(f"{storage.root}/objects", recursive=True)

    return remove


def test_an_object_that_is_gone_is_named(trained: list[str], cli: Any, elsewhere: Any, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    cli("push", remote, "better")
    objects_of(remote)[digest_of(cli("show", "better", "--json").json, "model/weights.txt")].unlink()
    elsewhere()
    refused = cli("pull", remote)
    assert "`artifacts/model/weights.txt` is not there any more\n" in refused.err
    assert "mlproj push --force" in refused.err


def test_what_the_remote_has_no_more_is_not_kept_on_it(
    gone_here: Path, trained: list[str], cli: Any, elsewhere: Any
) -> None:
    remote = gone_here
    source = json.loads(objects_of(remote)[listing_of(remote, trained[1])].read_text())
    digest = next(each["sha256"] for each in source if each["path"] == "source/train.py")
    objects_of(remote)[digest].unlink()
    assert cli("push", "--force", remote, "better").status == 0
    elsewhere()
    assert cli("pull", remote).status == 0


def listing_of(remote: Path, run_id: str) -> str:
    return str(json.loads((remote / "runs" / f"{run_id}.json").read_text())["files"]["sha256"])


@pytest.mark.parametrize("command", [("pull",), ("runs", "--remote")])
def test_a_folder_that_is_not_there(cli: Any, tmp_path: Path, command: tuple[str, ...]) -> None:
    refused = cli(*command, tmp_path / "remtoe")
    assert (refused.status, f"there is no folder {tmp_path / 'remtoe'}\n" in refused.err) == (125, True), refused.err


def test_a_remote_that_fails_is_told_once(trained: list[str], cli: Any, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()
    (remote / "objects").write_text("no folder")
    failed = cli("push", remote, *trained)
    assert (failed.status, failed.err.count("error: ")) == (125, 1), failed.err
    assert "; 2 runs after it were not tried\nWhat is at the address is no remote" in failed.err


@pytest.mark.parametrize("what", ["record", "files", "missing", "nothing"])
def test_a_damaged_manifest_is_refused(trained: list[str], cli: Any, elsewhere: Any, tmp_path: Path, what: str) -> None:
    remote = tmp_path / "remote"
    cli("push", remote, "better")
    path = remote / "runs" / f"{trained[1]}.json"
    manifest = json.loads(path.read_text())
    if what == "record":
        manifest["record"]["metrics"]["rmse"] = 0.0
    listing = objects_of(remote)[manifest["files"]["sha256"]]
    if what == "files":
        listing.write_text("[]")
    if what == "missing":
        listing.unlink()
    path.write_text("{}" if what == "nothing" else json.dumps(manifest))
    elsewhere()
    refused = cli("pull", remote)
    assert (refused.status, trained[1][:12] in refused.err) == (125, True)
    assert cli("runs", "--json").json == []


def test_a_manifest_of_a_newer_mlproj(
    trained: list[str], cli: Any, elsewhere: Any, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = tmp_path / "remote"
    cli("push", remote, "better")
    path = remote / "runs" / f"{trained[1]}.json"
    newer = json.dumps({"version": 2, "of-another-form": True})
    path.write_text(newer)
    elsewhere()
    refused = cli("pull", remote)
    assert (refused.status, "a newer mlproj wrote it" in refused.err) == (125, True), refused.err
    assert ("Upgrade mlproj." in refused.err, "--force" in refused.err) == (True, False)
    monkeypatch.setenv("MLPROJ_HOME", str(own_home))
    refused = cli("push", remote, "better")
    assert (refused.status, "a newer mlproj wrote it" in refused.err) == (125, True), refused.err
    assert path.read_text() == newer
    assert cli("push", "--force", remote, "better").status == 0


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "artifacts/../../outside",
        "/etc/outside",
        "params.json",
        "run.json",
        "artifacts/a\\b",
        "tracking/x",
        "source/.git/config",
        "source/lib/.GIT",
    ],
)
def test_a_hostile_manifest_writes_nowhere(
    trained: list[str], cli: Any, elsewhere: Any, tmp_path: Path, path: str
) -> None:
    import hashlib

    remote = tmp_path / "remote"
    cli("push", remote, "better")
    manifest_path = remote / "runs" / f"{trained[1]}.json"
    manifest = json.loads(manifest_path.read_text())
    rows = json.loads(objects_of(remote)[manifest["files"]["sha256"]].read_text())
    listing = json.dumps([*rows, {**rows[0], "path": path}]).encode()
    digest = hashlib.sha256(listing).hexdigest()
    place = remote / "objects" / digest[:2] / digest[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(listing)
    manifest["files"]["sha256"] = digest
    manifest_path.write_text(json.dumps(manifest))
    home = elsewhere()
    refused = cli("pull", remote)
    assert (refused.status, "is refused" in refused.err) == (125, True), refused.err
    assert list(tmp_path.rglob("outside")) == []
    assert [each.name for each in (home / "runs").iterdir() if not each.name.startswith(".new-")] == []


def test_connections_that_break_off(
    parts: Any, cli: Any, elsewhere: Any, bucket: Any, faulty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = parts(40, 30_000)
    sending = faulty(cuts=4)
    monkeypatch.setenv("AWS_ENDPOINT_URL", sending.address)
    assert cli("push", bucket.url).status == 0
    assert sending.cut == 4
    elsewhere()
    fetching = faulty(cuts=4)
    monkeypatch.setenv("AWS_ENDPOINT_URL", fetching.address)
    done = cli("pull", bucket.url)
    assert (done.status, fetching.cut) == (0, 4), done.err
    assert cli("show", run_id[:12], "--json").json["id"] == run_id
    assert cli("store", "check").status == 0


def test_a_killed_push_leaves_nothing_on_this_machine(
    parts: Any, cli: Any, start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts(2, 50_000_000)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    process = start("push", tmp_path / "remote")
    while not any(tmp_path.glob("remote/objects/*/.*.part")):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_killed_push_is_gone_on_with(
    parts: Any,
    cli: Any,
    start: Any,
    bucket: Any,
    s3_server: str,
    faulty: Any,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: Any,
    own_home: Path,
    kill_when_stalled: Any,
) -> None:
    run_id = parts(200, 20_000)
    faults = faulty(stall_after=2_500_000)
    monkeypatch.setenv("AWS_ENDPOINT_URL", faults.address)
    kill_when_stalled(start("push", bucket.url), faults)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    assert 0 < len(bucket.keys("runs/objects/")) < 200
    assert bucket.keys("runs/runs/") == []
    elsewhere()
    assert cli("runs", "--remote", bucket.url, "--json").json == []
    monkeypatch.setenv("MLPROJ_HOME", str(own_home))
    done = cli("push", bucket.url)
    sent = int(done.out.split(": ")[1].split()[0])
    # Since it was killed the server may have taken what was still on its way.
    assert 0 < sent < len(bucket.keys("runs/objects/"))
    assert bucket.keys("runs/runs/") == [f"runs/runs/{run_id}.json"]


def test_a_killed_pull_is_gone_on_with(
    parts: Any,
    cli: Any,
    start: Any,
    bucket: Any,
    s3_server: str,
    faulty: Any,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: Any,
    kill_when_stalled: Any,
) -> None:
    run_id = parts(200, 20_000)
    cli("push", bucket.url)
    home = elsewhere()
    faults = faulty(stall_after=2_500_000)
    monkeypatch.setenv("AWS_ENDPOINT_URL", faults.address)
    kill_when_stalled(start("pull", bucket.url), faults)
    assert cli("runs", "--json").json == []
    again = faulty()
    monkeypatch.setenv("AWS_ENDPOINT_URL", again.address)
    assert cli("pull", bucket.url).status == 0
    assert again.passed < 3_500_000
    assert [each["id"] for each in cli("runs", "--json").json] == [run_id]
    assert len(list(home.glob(f"runs/{run_id}/artifacts/parts/*"))) == 200
    assert sorted(each.name for each in (home / "runs").iterdir()) == [run_id]


@pytest.mark.parametrize("ending", ["finished", "killed"])
def test_two_pull_at_once(parts: Any, cli: Any, start: Any, bucket: Any, elsewhere: Any, ending: str) -> None:
    run_id = parts(200, 20_000)
    cli("push", bucket.url)
    home = elsewhere()
    first = start("pull", bucket.url)
    while not any(home.glob("runs/.new-*/objects")):
        assert first.poll() is None, first.communicate()
    first.send_signal(signal.SIGSTOP)
    second = start("pull", bucket.url)
    assert second.stderr.readline() == f"note: waiting for another mlproj that fetches run {run_id[:12]}\n"
    first.send_signal(signal.SIGKILL if ending == "killed" else signal.SIGCONT)
    said = second.communicate(timeout=60)
    last = "1 run pulled, 0 as before\n" if ending == "killed" else "0 runs pulled, 1 as before\n"
    assert (second.returncode, said[0].endswith(last)) == (0, True), said
    assert first.wait(60) == (-signal.SIGKILL if ending == "killed" else 0)
    assert [each.name for each in (home / "runs").iterdir()] == [run_id]
    assert cli("verify", run_id).status == 0


def test_a_killed_push_to_a_folder_leaves_no_half_object(
    parts: Any, cli: Any, start: Any, tmp_path: Path, elsewhere: Any
) -> None:
    parts(2, 100_000_000)
    remote = tmp_path / "remote"
    process = start("push", remote)
    while not any(remote.glob("objects/*/.*.part")):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not list(remote.glob("runs/*"))
    left = next(remote.glob("objects/*/.*.part"))
    fresh, old = left.with_name(".of-another-machine.part"), left.with_name(".of-long-ago.part")
    fresh.write_text("on its way")
    old.touch()
    os.utime(old, (0, 0))
    assert cli("push", remote).status == 0
    assert list(remote.glob("objects/*/.*.part")) == [fresh]
    elsewhere()
    assert cli("pull", remote).status == 0


def test_two_push_at_once(
    parts: Any,
    cli: Any,
    start: Any,
    remote: str,
    elsewhere: Any,
    own_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = parts(100, 5_000)
    twin = elsewhere()
    shutil.rmtree(twin)
    shutil.copytree(own_home, twin)
    first = start("push", remote)
    monkeypatch.setenv("MLPROJ_HOME", str(own_home))
    second = start("push", remote)
    for process in (first, second):
        said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    home = elsewhere()
    assert cli("pull", remote).status == 0
    assert len(list(home.glob(f"runs/{run_id}/artifacts/parts/*"))) == 100
    assert cli("store", "check").status == 0


def test_a_server_that_is_gone(trained: list[str], cli: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    failed = cli("push", bucket.url)
    assert (failed.status, "Could not connect" in failed.err) == (125, True)
    assert "hidden-from-records" not in failed.err


def test_a_bucket_that_is_not_there(trained: list[str], cli: Any, bucket: Any) -> None:
    failed = cli("push", "s3://nobody-has-this/runs")
    assert (failed.status, "the bucket `nobody-has-this` does not exist" in failed.err) == (125, True), failed.err


def test_a_machine_that_ssh_does_not_know(trained: list[str], cli: Any, sftp_server: str, tmp_path: Path) -> None:
    (tmp_path / "user/.ssh/known_hosts").unlink()
    refused = cli("push", f"{sftp_server}{tmp_path}/remote")
    assert (refused.status, "is not in ~/.ssh/known_hosts" in refused.err) == (125, True)
    assert not (tmp_path / "remote").exists()
