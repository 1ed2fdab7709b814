"""The artifact proxy: what is sent arrives whole or not at all, and no name leads out of the run's artifacts."""

from __future__ import annotations

import os
import resource
import socket
from typing import Any

import pytest

from tests.tracking.conftest import Joined

PROXY = "api/2.0/mlflow-artifacts"


def at(run: Joined, path: str) -> str:
    return f"{PROXY}/artifacts/0/{run.id}/artifacts/{path}"


def test_sending_listing_fetching_and_removing(run: Joined) -> None:
    for path in ("a.txt", "sub/b.txt", "sub/deep/c%20d.bin", "na%C3%AFve.txt"):
        assert run.http("PUT", at(run, path), path.encode()).status == 200
    assert (run.artifacts / "sub" / "deep" / "c d.bin").read_bytes() == b"sub/deep/c%20d.bin"
    top = run.get("artifacts/list", run_id=run.id)["files"]
    assert top == [
        {"path": "a.txt", "is_dir": False, "file_size": 5},
        {"path": "naïve.txt", "is_dir": False, "file_size": 14},
        {"path": "sub", "is_dir": True},
    ]
    below = run.get("artifacts/list", run_id=run.id, path="sub")["files"]
    assert [each["path"] for each in below] == ["sub/b.txt", "sub/deep"]
    by_proxy = run.http("GET", f"{PROXY}/artifacts?path=0/{run.id}/artifacts/sub").json["files"]
    assert [each["path"] for each in by_proxy] == ["b.txt", "deep"]
    fetched = run.http("GET", at(run, "sub/b.txt"))
    assert fetched.body == b"sub/b.txt"
    assert (fetched.headers["content-disposition"], fetched.headers["x-content-type-options"]) == (
        "attachment",
        "nosniff",
    )
    assert run.http("DELETE", at(run, "sub")).status == 200
    assert not (run.artifacts / "sub").exists()
    assert run.get("artifacts/list", run_id=run.id, path="sub")["files"] == []


def test_a_slash_too_many_is_none(run: Joined) -> None:
    assert run.http("PUT", at(run, "%2fetc//passwd"), b"x").status == 200
    assert (run.artifacts / "etc" / "passwd").read_bytes() == b"x"


def test_a_file_that_is_sent_again_replaces_the_first(run: Joined) -> None:
    run.http("PUT", at(run, "a"), b"one")
    run.http("PUT", at(run, "a"), b"two")
    assert (run.artifacts / "a").read_bytes() == b"two"


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "%2e%2e/x",
        "a/%2E%2E/%2e%2e/x",
        "a%00b",
        "..",
        ".",
        "a/./b",
        "",
        "x/" * 3000 + "y",
    ],
)
def test_no_name_leads_out(run: Joined, path: str) -> None:
    before = sorted(each.name for each in run.live.files.folder.parent.parent.rglob("*") if each.is_file())
    assert run.http("PUT", at(run, path), b"evil").status == 400
    after = sorted(each.name for each in run.live.files.folder.parent.parent.rglob("*") if each.is_file())
    assert after == before
    assert run.http("GET", at(run, path)).status in (400, 404)


@pytest.mark.parametrize("path", ["", "0", "0/x/artifacts/a", f"0/{'0' * 32}/artifacts/a", "0/models/m-1/artifacts/a"])
def test_no_other_place_is_written_to(run: Joined, path: str) -> None:
    assert run.http("PUT", f"{PROXY}/artifacts/{path}", b"evil").status in (400, 404, 405)


def test_links_are_not_followed(run: Joined, tmp_path: Any) -> None:
    (tmp_path / "secret").write_text("secret")
    run.artifacts.mkdir(exist_ok=True)
    (run.artifacts / "link").symlink_to(tmp_path / "secret")
    (run.artifacts / "folder").symlink_to(tmp_path)
    os.mkfifo(run.artifacts / "pipe")
    for path in ("link", "folder/secret", "pipe"):
        assert run.http("GET", at(run, path)).status == 404
    assert run.http("PUT", at(run, "folder/new"), b"x").status == 404
    assert not (tmp_path / "new").exists()
    # A file takes a link's place, and not that of what it leads to.
    assert run.http("PUT", at(run, "link"), b"x").status == 200
    assert (tmp_path / "secret").read_text() == "secret"
    assert [each["path"] for each in run.get("artifacts/list", run_id=run.id)["files"]] == ["link", "pipe"]
    assert run.http("DELETE", at(run, "folder")).status == 200
    assert (tmp_path / "secret").exists()


def test_a_client_that_dies_in_the_middle_leaves_nothing(run: Joined) -> None:
    run.http("PUT", at(run, "kept"), b"whole")
    with socket.create_connection(("127.0.0.1", run.gateway.port)) as connection:
        head = f"PUT /{run.gateway.token}/{at(run, 'kept')} HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 500_000)
    # Whoever comes next is answered after that has been seen to.
    assert run.http("GET", at(run, "kept")).body == b"whole"
    record = run.close()
    assert sorted(each.name for each in run.artifacts.iterdir()) == ["kept"]
    assert not run.live.files.uploads.exists()
    assert record.outputs == []


def test_a_large_file_takes_no_memory(run: Joined) -> None:
    size = 256 << 20

    def chunks() -> Any:
        for _ in range(size >> 20):
            yield b"\0" * (1 << 20)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert run.http("PUT", at(run, "large"), chunks(), {"content-length": str(size)}).status == 200
    assert (run.artifacts / "large").stat().st_size == size
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 << 10, "kilobytes"


class TestParts:
    def begin(self, run: Joined, count: int) -> dict[str, Any]:
        body = f'{{"path": "/home/x/big.bin", "num_parts": {count}}}'
        reply = run.http("POST", f"{PROXY}/mpu/create/0/{run.id}/artifacts/sub", body)
        assert reply.status == 200, reply.body
        return dict(reply.json)

    def put(self, run: Joined, url: str, data: bytes) -> str:
        path = url.partition(run.gateway.token + "/")[2]
        reply = run.http("PUT", path, data)
        assert reply.status == 200, reply.body
        return reply.headers["etag"]

    def complete(self, run: Joined, upload_id: str, numbers: list[int]) -> int:
        parts = ", ".join(f'{{"part_number": {number}, "etag": "e"}}' for number in numbers)
        body = f'{{"path": "big.bin", "upload_id": "{upload_id}", "parts": [{parts}]}}'
        return run.http("POST", f"{PROXY}/mpu/complete/0/{run.id}/artifacts/sub", body).status

    def test_they_are_put_together_in_order(self, run: Joined) -> None:
        begun = self.begin(run, 3)
        assert [each["part_number"] for each in begun["credentials"]] == [1, 2, 3]
        for number in (3, 1, 2, 1):
            assert self.put(run, begun["credentials"][number - 1]["url"], f"part {number};".encode())
        assert self.complete(run, begun["upload_id"], [1, 2, 3]) == 200
        assert (run.artifacts / "sub" / "big.bin").read_bytes() == b"part 1;part 2;part 3;"
        assert list(run.live.files.uploads.iterdir()) == []

    def test_one_that_is_missing_is_no_file(self, run: Joined) -> None:
        begun = self.begin(run, 2)
        self.put(run, begun["credentials"][0]["url"], b"x")
        assert self.complete(run, begun["upload_id"], [1, 2]) == 400
        assert self.complete(run, begun["upload_id"], [2]) == 400
        assert not (run.artifacts / "sub").exists()
        self.put(run, begun["credentials"][1]["url"], b"y")
        assert self.complete(run, begun["upload_id"], [1, 2]) == 200
        assert (run.artifacts / "sub" / "big.bin").read_bytes() == b"xy"

    def test_giving_up(self, run: Joined) -> None:
        begun = self.begin(run, 2)
        self.put(run, begun["credentials"][0]["url"], b"x")
        body = f'{{"path": "big.bin", "upload_id": "{begun["upload_id"]}"}}'
        assert run.http("POST", f"{PROXY}/mpu/abort/0/{run.id}/artifacts/sub", body).status == 200
        assert list(run.live.files.uploads.iterdir()) == []

    @pytest.mark.parametrize("upload", ["x", "../..-a", "{own}-..", "{own}-zzz"])
    def test_no_upload_is_anywhere_else(self, run: Joined, upload: str) -> None:
        assert self.complete(run, upload.format(own=run.id), [1]) in (400, 404)

    def test_too_many(self, run: Joined) -> None:
        body = '{"path": "x", "num_parts": 10001}'
        assert run.http("POST", f"{PROXY}/mpu/create/0/{run.id}/artifacts/sub", body).status == 400


class TestWhoMayCome:
    def test_strangers_get_errors_in_mlflows_form_and_nobody_hears_of_it(
        self, run: Joined, capfd: pytest.CaptureFixture[str]
    ) -> None:
        run.run()
        token, run.gateway.token = run.gateway.token, "%C3%A9"
        assert run.ask("GET", "runs/get", run_id=run.id).error[0] == "PERMISSION_DENIED"
        run.gateway.token = token
        assert run.http("GET", at(run, "a%0Ab")).error[0] in ("ENDPOINT_NOT_FOUND", "RESOURCE_DOES_NOT_EXIST")
        assert run.http("PATCH", at(run, "a")).json["error_code"] == "ENDPOINT_NOT_FOUND"
        body = b'{"run_id": "' + run.id.encode() + b'", "key": "k\\ud800\\u0000", "value": "x"}'
        assert run.http("POST", "api/2.0/mlflow/runs/set-tag", body).error[0] == "INVALID_PARAMETER_VALUE"
        with socket.create_connection(("127.0.0.1", run.gateway.port)) as connection:
            connection.sendall(b"no http at all\r\n\r\n")
            assert b"400" in connection.recv(100)
        upgrade = {"connection": "upgrade", "upgrade": "websocket"}
        run.http("GET", "health", headers=upgrade)
        run.close()
        assert capfd.readouterr() == ("", "")

    def test_not_without_the_token(self, run: Joined) -> None:
        assert run.run()["run_id"] == run.id
        run.gateway.token = "0" * 32
        assert run.ask("GET", "runs/get", run_id=run.id).error[0] == "PERMISSION_DENIED"

    def test_not_by_another_name(self, run: Joined) -> None:
        for host, status in (("evil.example:80", 403), ("127.0.0.1:1", 200), ("localhost:5", 200), ("localhost", 403)):
            reply = run.http("GET", f"api/2.0/mlflow/runs/get?run_id={run.id}", headers={"host": host})
            assert reply.status == status, host

    def test_nothing_listens_after_the_end(self, run: Joined) -> None:
        run.run()
        run.close()
        with pytest.raises(ConnectionRefusedError):
            run.http("GET", "health")
