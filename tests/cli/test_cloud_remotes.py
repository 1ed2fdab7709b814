"""`push`, `pull` and `runs --remote` with gs:// and az://, on servers of their protocols."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gs_server import FORBIDDEN


@pytest.fixture(params=["gs", "az"])
def cloud(request: pytest.FixtureRequest) -> Any:
    """An empty bucket of each kind."""
    return request.getfixturevalue({"gs": "google_bucket", "az": "container"}[request.param])


def test_a_damaged_object_is_refused(trained: list[str], cli: Any, elsewhere: Any, cloud: Any) -> None:
    cli("push", cloud.url, "better")
    record = cli("show", "better", "--json").json
    digest = next(each["sha256"] for output in record["outputs"] for each in output["files"])
    cloud.write(f"runs/objects/{digest[:2]}/{digest[2:]}", b"alpha=9.9")
    elsewhere()
    refused = cli("pull", cloud.url)
    assert (refused.status, "`artifacts/model/weights.txt` is damaged" in refused.err) == (125, True), refused.err
    assert cli("runs", "--json").json == []


def test_a_killed_push_is_gone_on_with(
    parts: Callable[..., str],
    cli: Any,
    start: Any,
    cloud: Any,
    faults_before: Any,
    kill_when_stalled: Any,
    elsewhere: Any,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = parts(100, 20_000)
    faults = faults_before(cloud.address, stall_after=1_000_000)
    cloud.go_by(faults.address)
    kill_when_stalled(start("push", cloud.url), faults)
    cloud.go_by(cloud.address)
    assert cloud.keys("runs/objects/")
    assert cloud.keys("runs/runs/") == []
    elsewhere()
    assert cli("runs", "--remote", cloud.url, "--json").json == []
    monkeypatch.setenv("MLPROJ_HOME", str(own_home))
    sent = int(cli("push", cloud.url).out.split(": ")[1].split()[0])
    assert 0 < sent < len(cloud.keys("runs/objects/"))
    home = elsewhere()
    assert cli("pull", cloud.url).status == 0
    assert len(list(home.glob(f"runs/{run_id}/artifacts/parts/*"))) == 100


def test_a_large_file(parts: Callable[..., str], cli: Any, elsewhere: Any, cloud: Any) -> None:
    """Larger than the libraries send in one piece."""
    run_id = parts(1, 60_000_000)
    assert cli("push", cloud.url).status == 0
    home = elsewhere()
    assert cli("pull", cloud.url).status == 0
    assert (home / f"runs/{run_id}/artifacts/parts/0.bin").stat().st_size == 60_000_000


@pytest.mark.parametrize("command", [("push",), ("pull",), ("runs", "--remote")])
def test_a_bucket_that_is_not_there(trained: list[str], cli: Any, cloud: Any, command: tuple[str, ...]) -> None:
    failed = cli(*command, cloud.url.replace(cloud.name, "nobody-has-this"))
    assert (failed.status, "the bucket `nobody-has-this` does not exist" in failed.err) == (125, True), failed.err


def test_somebody_whom_the_server_does_not_know(trained: list[str], cli: Any, cloud: Any) -> None:
    secret = cloud.sign_in_wrongly()
    for command in (("push",), ("runs", "--remote")):
        failed = cli(*command, cloud.url)
        assert (failed.status, "Who you are is said by" in failed.err) == (125, True), failed.err
        assert secret not in failed.err + failed.out
        assert "Traceback" not in failed.err
    assert cloud.keys() == []


def test_a_bucket_of_somebody_else(trained: list[str], mlproj: Any, google_bucket: Any) -> None:
    failed = mlproj("push", f"gs://{FORBIDDEN}/runs")
    assert (failed.returncode, "tester@lab.iam.gserviceaccount.com does not have" in failed.stderr) == (125, True)
    assert "what you may do there, by its owner" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("scheme", "library"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs"), ("sftp", "paramiko")]
)
def test_a_library_that_is_not_installed(
    trained: list[str], mlproj: Any, tmp_path: Path, scheme: str, library: str
) -> None:
    (tmp_path / f"{library}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{library}'\")\n")
    failed = mlproj("push", f"{scheme}://somewhere/runs", env={"PYTHONPATH": str(tmp_path)})
    assert (failed.returncode, f"pip install 'mlproj[{scheme}]'" in failed.stderr) == (125, True), failed.stderr
