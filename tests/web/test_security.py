"""Who may come in, who may change something, and that what a run wrote acts nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mlproj.runs.store import load, open_store
from mlproj.web.security import allowed_host
from tests.web.conftest import BASE, HOSTILE, Made, client_of, form_fields


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8765", "127.0.0.1:8765", "[::1]:8765", "192.168.1.7", "x.localhost"]
)
def test_hosts_that_are_answered(host: str) -> None:
    assert allowed_host(host, frozenset({"localhost"}))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "a b",
        "[::1",
        "localhost:x",
    ],
)
def test_hosts_that_are_not(host: str, client: TestClient) -> None:
    assert not allowed_host(host, frozenset({"localhost"}))
    assert client.get("/", headers={"host": host}).status_code == 421


def test_every_answer_says_what_a_page_may_do(client: TestClient, made: Made) -> None:
    for address in ("/", "/static/main.js", "/api/runs", "/nothing", f"/runs/{made.id('plain')}/artifacts/notes.md"):
        headers = client.get(address).headers
        assert "unsafe-eval" not in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "unsafe-inline" not in client.get("/").headers["content-security-policy"]


def test_a_page_has_no_script_and_no_style_of_its_own(client: TestClient, made: Made) -> None:
    for address in ("/", f"/runs/{made.id('plain')}", f"/compare?run={made.id('plain')}&run={made.id('fast')}"):
        text = client.get(address).text
        assert "<style" not in text
        assert " style=" not in text
        assert " onclick=" not in text
        assert "<script>" not in text
        assert "http://" not in text.replace("http://www.w3.org", "")


def test_a_token_is_taken_once_from_the_address_and_then_from_a_cookie(made: Made) -> None:
    client = client_of(made.home, token="open sesame")
    assert client.get("/").status_code == 401
    assert 'csrf" content' not in client.get("/").text
    assert client.get("/?token=wrong").status_code == 401
    entered = client.get("/?q=has(params.lr)&token=open+sesame")
    assert (entered.status_code, entered.headers["location"]) == (303, "/?q=has%28params.lr%29")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "sesame" not in cookie
    assert client.get("/").status_code == 200


def test_a_program_sends_the_token_as_a_header(made: Made) -> None:
    client = client_of(made.home, token="open sesame")
    assert client.get("/api/runs", headers={"authorization": "Bearer open sesame"}).status_code == 200
    assert client.get("/api/runs", headers={"authorization": "Bearer other"}).json()["error"]


def test_the_way_in_leads_to_no_other_server(made: Made) -> None:
    client = client_of(made.home, token="sesame")
    for path in ("//evil.example/?token=sesame", "/%2f%2fevil.example/?token=sesame", "/\\evil.example/?token=sesame"):
        location = client.get(f"{BASE}{path}").headers.get("location", "/")
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))


def test_tags_are_set_and_removed_from_a_page(copy_of: Made) -> None:
    client, run_id = client_of(copy_of.home), copy_of.id("plain")
    fields = form_fields(run=run_id, tag="stage", value="candidate", back=f"/runs/{run_id}")
    answer = client.post("/changes/tag", data=fields, headers={"origin": BASE, "sec-fetch-site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run_id}")
    assert load(open_store(copy_of.home), run_id).tags["stage"] == "candidate"
    client.post("/changes/untag", data=fields)
    assert "stage" not in load(open_store(copy_of.home), run_id).tags


def test_runs_are_deleted_and_restored_from_the_table(copy_of: Made) -> None:
    client = client_of(copy_of.home)
    fields = form_fields(run=[copy_of.id("plain"), copy_of.id("fast")], back="/")
    assert client.post("/changes/delete", data=fields).status_code == 303
    assert client.get("/api/runs?trash=true").json()["total"] == 2
    assert "in the trash" in client.get(f"/runs/{copy_of.id('plain')}").text
    assert client.post("/changes/restore", data=fields).status_code == 303
    assert client.get("/api/runs?trash=true").json()["total"] == 0


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"csrf": ""}, {}),
        ({"csrf": "0" * 64}, {}),
        ({}, {"origin": "http://evil.example"}),
        ({}, {"origin": "null"}),
        ({}, {"sec-fetch-site": "cross-site"}),
        ({}, {"sec-fetch-site": "same-site"}),
        ({}, {"origin": "http://127.0.0.1:9999"}),
    ],
)
def test_a_change_that_another_page_asks_for_is_refused(
    copy_of: Made, fields: dict[str, str], headers: dict[str, str]
) -> None:
    client, run_id = client_of(copy_of.home), copy_of.id("plain")
    answer = client.post("/changes/delete", data={**form_fields(run=run_id), **fields}, headers=headers)
    assert answer.status_code == 403
    headers = {**headers, "content-type": "text/plain"}
    assert client.post(f"/api/runs/{run_id}/delete", content=b"{}", headers=headers).status_code == 403
    assert load(open_store(copy_of.home), run_id).deleted_at is None


def test_a_change_leads_back_to_this_server_only(copy_of: Made) -> None:
    client = client_of(copy_of.home)
    for back in (
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=1",
    ):
        fields = form_fields(run=copy_of.id("plain"), tag="a", value="b", back=back)
        assert client.post("/changes/tag", data=fields).headers["location"] == "/"


def test_read_only_changes_nothing(copy_of: Made) -> None:
    client = client_of(copy_of.home, read_only=True)
    assert client.post("/changes/delete", data=form_fields(run=copy_of.id("plain"))).status_code == 403
    answer = client.post(f"/api/runs/{copy_of.id('plain')}/delete", json={})
    assert answer.json()["error"] == "This server was started with `--read-only`."
    text = client.get(f"/runs/{copy_of.id('plain')}").text
    assert 'method="post"' not in text
    assert "read-only" in text


@pytest.mark.parametrize(
    "path",
    [
        *("../run.json", "..%2frun.json", "%2e%2e/run.json", "plots/../../run.json", "/etc/passwd", "%2fetc%2fpasswd"),
        *(
            "passwd.txt",
            "folder/passwd",
            "notes.md/",
            "./notes.md",
            "plots",
            "",
            "a%00b",
            "..\\run.json",
            "%c0%ae%c0%ae/run.json",
        ),
    ],
)
def test_nothing_outside_of_the_artifacts_is_read(client: TestClient, made: Made, path: str) -> None:
    for name in (HOSTILE, "plain"):
        answer = client.get(f"{BASE}/runs/{made.id(name)}/artifacts/{path}?show")
        assert "root:" not in answer.text
        assert '"schema_version"' not in answer.text
        assert client.get(f"/runs/{made.id(name)}/artifacts", params={"path": path}).status_code in (200, 404)
    assert b"root:" not in client.get(f"/runs/{made.id(HOSTILE)}/artifacts.zip").content


def test_an_artifact_is_served_so_that_it_does_nothing(client: TestClient, made: Made) -> None:
    run = f"/runs/{made.id(HOSTILE)}/artifacts"
    for name, kind in (("page.html", "text/html; charset=utf-8"), ("picture.svg", "image/svg+xml")):
        kept, shown = client.get(f"{run}/{name}"), client.get(f"{run}/{name}?show")
        assert kept.headers["content-type"] == "application/octet-stream"
        assert kept.headers["content-disposition"].startswith("attachment")
        assert shown.headers["content-type"] == kind
        assert shown.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    markdown = client.get(f"{run}?path=text.md").text
    assert "<script>document" not in markdown
    assert 'href="javascript:' not in markdown
    assert 'src="http' not in markdown


def test_hostile_names_are_text_on_every_page(client: TestClient, made: Made) -> None:
    run_id = made.id(HOSTILE)
    addresses = ["/", f"/?group=experiment&open=%3D{HOSTILE}", f"/compare?run={run_id}&run={made.id('plain')}"]
    addresses += [f"/runs/{run_id}{tab}" for tab in ("", "/metrics", "/log", "/source", "/environment", "/artifacts")]
    for address in addresses:
        text = client.get(address).text
        assert "<img src=x" not in text
        assert "<script>document" not in text
        assert "\u202e" not in text


def test_a_large_form_is_refused(client: TestClient) -> None:
    assert client.post("/changes/tag", data=form_fields(tag="x" * (2 << 20))).status_code == 413


def test_a_fault_of_ours_shows_no_traceback(tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlproj.web.table_page._guarded", lambda *_: 1 / 0)
    client = client_of(made.home)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "This is a fault of mlproj." in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in (made.home / "ui-crash.txt").read_text()
