"""The pages of one run, and runs side by side."""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from mlproj.runs.changes import add_logged, change_record
from mlproj.runs.layout import live_files
from mlproj.runs.record import RunRecord, SourceRecord, TrackingRecord
from mlproj.runs.samples import Sample, sample_line
from mlproj.runs.store import open_store
from mlproj.web.run_facts import command_again, commit_address
from tests.web.conftest import Made, client_of


def test_an_overview_tells_what_was_run_and_what_came_of_it(client: TestClient, made: Made) -> None:
    text = client.get(f"/runs/{made.id('fast')}").text
    assert "<h1>fast</h1>" in text
    assert "<code>[8, 8]</code>" in text
    assert "list[int]" in text
    assert "data.csv" in text
    assert "metrics" in text


def test_parameters_that_are_not_as_the_manifest_has_them_are_marked(client: TestClient, made: Made) -> None:
    assert set(made.runs["fast"].defaults) == {"lr", "layers"}
    assert client.get(f"/runs/{made.id('fast')}").text.count('class="changed"') == 2
    assert made.runs["plain"].defaults == {}


def test_the_command_to_run_it_again_has_its_values(made: Made) -> None:
    run = made.runs["fast"]
    again = command_again(run)
    assert again is not None
    assert again.endswith(f"mlproj run {run.source.path} --name fast -P lr=0.5 -P 'layers=[8, 8]' --experiment tuning")


def test_a_secret_is_on_no_page(client: TestClient, made: Made) -> None:
    for tab in ("", "/metrics", "/log", "/source", "/environment", "/artifacts", "/resources"):
        assert "sesame" not in client.get(f"/runs/{made.id('plain')}{tab}").text


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@github.com:someone/digits.git", "https://github.com/someone/digits/commit/"),
        ("https://github.com/someone/digits", "https://github.com/someone/digits/commit/"),
        ("ssh://git@gitlab.com:22/group/sub/digits.git", "https://gitlab.com/group/sub/digits/-/commit/"),
        ("https://gitlab.example.org/a/b.git", "https://gitlab.example.org/a/b/-/commit/"),
        ("git@bitbucket.org:a/b.git", "https://bitbucket.org/a/b/commits/"),
        ("https://codeberg.org/a/b", "https://codeberg.org/a/b/commit/"),
        ("https://example.org/a/b", None),
        ("https://github.com/../b", None),
        ("https://github.com/a/b?x=javascript:alert(1)", "https://github.com/a/b/commit/"),
        ("https://github.com/a/<b>", None),
        ("javascript:alert(1)//github.com/a/b", None),
        ("/srv/git/digits.git", None),
    ],
)
def test_a_commit_is_linked_to_its_forge(remote: str, address: str | None) -> None:
    source = SourceRecord(kind="git", commit="1f3c9a2b" * 5, remote=remote)
    assert commit_address(source) == (None if address is None else address + "1f3c9a2b" * 5)
    assert commit_address(replace(source, commit="main")) is None


def test_the_patch_of_a_changed_tree(client: TestClient, made: Made) -> None:
    text = client.get(f"/runs/{made.id('changed')}/source").text
    assert '<span class="add">+print(&#39;changed&#39;)</span>' in text
    assert "https://github.com/someone/digits/commit/" in text
    assert "The tree was as it is in the commit." in client.get(f"/runs/{made.id('plain')}/source").text


def test_artifacts_are_shown_by_what_they_are(client: TestClient, made: Made) -> None:
    def shown(path: str) -> str:
        return client.get(f"/runs/{made.id('plain')}/artifacts", params={"path": path}).text

    assert "<td>second</td>" in shown("table.csv")
    assert "<h1>Notes</h1>" in shown("notes.md")
    assert "<em>fine</em>" in shown("notes.md")
    assert "<img" in shown("plots/curve.svg")
    assert "&#34;lr&#34;: 0.1" in shown("config.json")
    assert "This is no text." in shown("model/weights.bin")


def test_all_artifacts_as_a_zip(client: TestClient, made: Made) -> None:
    answer = client.get(f"/runs/{made.id('plain')}/artifacts.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {"notes.md", "plots/curve.svg", "model/weights.bin"} <= set(archive.namelist())
    below = client.get(f"/runs/{made.id('plain')}/artifacts.zip?path=plots")
    with zipfile.ZipFile(io.BytesIO(below.content)) as archive:
        assert archive.namelist() == ["plots/curve.svg"]


def test_a_range_of_an_artifact(client: TestClient, made: Made) -> None:
    address = f"/runs/{made.id('plain')}/artifacts/table.csv"
    assert client.get(address, headers={"range": "bytes=0-3"}).text == "name"
    assert client.get(address, headers={"range": "bytes=-2"}).text == "2\n"
    assert client.get(address, headers={"range": "bytes=900-"}).status_code == 416
    assert client.get(address).headers["content-disposition"].startswith("attachment")


def test_an_artifact_whose_name_is_no_utf_8(copy_of: Made) -> None:
    folder = live_files(copy_of.home, copy_of.id("plain")).artifacts
    (folder / os.fsdecode(b"a\xffb.txt")).write_text("odd")
    client, run = client_of(copy_of.home), f"/runs/{copy_of.id('plain')}"
    assert '?path=a%FFb.txt"' in client.get(f"{run}/artifacts").text
    assert "<pre>odd</pre>" in client.get(f"{run}/artifacts?path=a%FFb.txt").text
    assert client.get(f"/api{run}/artifacts").status_code == 200
    with zipfile.ZipFile(io.BytesIO(client.get(f"{run}/artifacts.zip").content)) as archive:
        assert archive.testzip() is None


def test_going_to_a_run_by_what_it_is_called(client: TestClient, made: Made) -> None:
    assert client.get("/go?run=plain").headers["location"] == f"/runs/{made.id('plain')}"
    assert client.get("/go?run=@best:accuracy").status_code == 303
    missing = client.get("/go?run=plainn")
    assert missing.status_code == 404
    assert "Did you mean `plain`?" in missing.text


def test_what_is_not_there_is_an_error_of_ours(client: TestClient, made: Made) -> None:
    for address in ("/runs/none", f"/runs/{'0' * 32}", f"/runs/{made.id('plain')}/nothing", "/nothing"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert "Not found" in answer.text
    assert client.get(f"/runs/{made.id('plain')}/artifacts?path=none").status_code == 404


def test_runs_side_by_side(client: TestClient, made: Made) -> None:
    text = client.get("/compare", params={"run": [made.id("plain"), made.id("changed")]}).text
    assert "2 of 3 differ" in text
    assert '<span class="add">+changed</span>' in text
    assert client.get("/compare", params={"run": made.id("plain")}).status_code == 400


def test_resources_over_time(copy_of: Made) -> None:
    run_id = copy_of.id("plain")
    samples = [Sample(1000 * index, 50.0 + index, 10_000_000) for index in range(5000)]
    live_files(copy_of.home, run_id).samples.write_bytes(b"".join(map(sample_line, samples)) + b'{"torn')
    client = client_of(copy_of.home)
    assert 'id="resources"' in client.get(f"/runs/{run_id}/resources").text
    given = client.get(f"/api/runs/{run_id}/resources").json()["samples"]
    assert len(given) == 1000
    assert given[0]["cpu_percent"] == 50.0


def test_a_damaged_record_is_said_and_nothing_more(copy_of: Made) -> None:
    run_id = copy_of.id("plain")
    live_files(copy_of.home, run_id).record.write_text("{")
    answer = client_of(copy_of.home).get(f"/runs/{run_id}")
    assert answer.status_code == 503
    assert "is damaged" in answer.text
    assert "Traceback" not in answer.text


def test_a_run_without_a_command_line_has_no_command() -> None:
    assert command_again(RunRecord(id="0" * 32)) is None


def test_the_record_can_be_kept(client: TestClient, made: Made) -> None:
    answer = client.get(f"/runs/{made.id('plain')}/own/run.json")
    assert json.loads(answer.text)["name"] == "plain"
    assert client.get(f"/runs/{made.id('plain')}/own/alive.lock").status_code == 404


def test_a_run_that_is_on_a_server_too_leads_there(copy_of: Made) -> None:
    home, run_id = copy_of.home, copy_of.id("plain")
    tracking = TrackingRecord("http://mlflow.example:5000", "7", "abc", sent=False)
    change_record(open_store(home), run_id, lambda record: replace(record, tracking=tracking))
    text = client_of(home).get(f"/runs/{run_id}").text
    assert 'href="http://mlflow.example:5000/#/experiments/7/runs/abc"' in text
    assert "not all of it is there" in text
    hostile = TrackingRecord("javascript:alert(1)", "7", "abc", sent=True)
    change_record(open_store(home), run_id, lambda record: replace(record, tracking=hostile))
    assert 'href="javascript' not in client_of(home).get(f"/runs/{run_id}").text


def test_names_with_unseen_characters_are_asked_for_as_they_are(copy_of: Made) -> None:
    name = "\x1b[31mred\u202e"
    add_logged(open_store(copy_of.home), copy_of.id("plain"), [{"points": [[name, 1.0, 0, 1], [name, 2.0, 1, 2]]}])
    text = client_of(copy_of.home).get(f"/runs/{copy_of.id('plain')}/metrics").text
    assert f'data-metric="{name}"' in text
    assert f">{name}" not in text


def test_a_line_that_is_longer_than_a_window_comes_in_pieces(copy_of: Made) -> None:
    run_id = copy_of.id("plain")
    log = live_files(copy_of.home, run_id).log
    log.write_bytes(b"one\ntwo\n" + b"x" * 200_000 + b"\nlast\n")
    client, at, text = client_of(copy_of.home), 0, ""
    while True:
        window = client.get(f"/api/runs/{run_id}/log", params={"from": at}).json()
        text += "".join("".join(piece for piece, _ in line) for line in window["lines"])
        if window["end"] == window["size"]:
            break
        assert window["end"] > at
        at = window["end"]
    assert text == "onetwo" + "x" * 200_000 + "last"
