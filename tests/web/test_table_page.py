"""The page with the table of runs: what stands in it, and that its address says all of it."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from mlproj.web.state import state_of
from tests.web.conftest import Made, client_of


def runs_in(text: str) -> list[str]:
    """The names in the table's rows."""
    return re.findall(r'<th scope="row"><a href="/runs/[0-9a-f]{32}">([^<]*)</a>', text)


def test_a_store_that_is_not_there_yet_tells_the_first_command(tmp_path: Path) -> None:
    answer = client_of(tmp_path / "none").get("/")
    assert answer.status_code == 200
    assert "No runs yet" in answer.text
    assert "mlproj run ." in answer.text
    assert not (tmp_path / "none").exists()


def test_the_newest_run_comes_first(client: TestClient) -> None:
    assert runs_in(client.get("/").text)[1:] == ["changed", "fast", "plain"]


def test_a_filter_in_the_language_of_the_command_line(client: TestClient) -> None:
    assert runs_in(client.get("/", params={"q": "params.lr > 0.2 and name != 'changed'"}).text) == ["fast"]


def test_a_filter_that_cannot_be_read_shows_the_column(client: TestClient) -> None:
    answer = client.get("/", params={"q": "status = finnished"})
    assert answer.status_code == 400
    assert "column 10: `finnished` is no status" in answer.text
    assert 'data-column="10"' in answer.text
    assert "Did you mean `finished`?" in answer.text


def test_a_filter_that_nothing_answers_names_what_is_near(client: TestClient) -> None:
    answer = client.get("/", params={"q": "metrics.los < 1"})
    assert "No run matches" in answer.text
    assert "Did you mean `loss`?" in answer.text


def test_sorting_by_a_metric_and_by_a_parameter(client: TestClient) -> None:
    named = "name in ('plain', 'fast', 'changed')"
    assert runs_in(client.get("/", params={"q": named, "sort": "-metrics.loss"}).text) == ["plain", "changed", "fast"]
    assert runs_in(client.get("/", params={"q": named, "sort": "params.lr"}).text) == ["plain", "changed", "fast"]
    # Without a filter the order's index is walked: the runs without one come last.
    assert runs_in(client.get("/", params={"sort": "params.lr"}).text)[:3] == ["plain", "changed", "fast"]


def test_columns_are_chosen_pinned_and_ordered(client: TestClient) -> None:
    text = client.get("/?column=params.lr&column=curve.loss&column=metrics.loss&pin=metrics.loss&q=has(params.lr)").text
    assert re.findall(r'<th scope="col"[^>]*title="([^"]+)"', text) == ["metrics.loss", "params.lr", "curve.loss"]
    assert '<path d="M' in text


def test_columns_in_which_all_have_the_same_are_hidden(client: TestClient) -> None:
    chosen = "column=project&column=params.lr&column=params.layers&q=has(params.lr)"
    assert 'title="project"' in client.get(f"/?{chosen}").text
    hidden = client.get(f"/?{chosen}&constant=hide").text
    assert 'title="project"><a' not in hidden
    assert 'title="params.lr"' in hidden
    assert "1 constant column hidden" in hidden


def test_groups_with_the_mean_of_their_metrics(client: TestClient) -> None:
    text = client.get("/?group=params.solver&open=%3Dadam&column=metrics.loss&q=has(params.lr)").text
    assert re.findall(r'aria-expanded="(true|false)">\S+ (\w+)', text) == [("false", "sgd"), ("true", "adam")]
    assert runs_in(text) == ["changed"]
    assert 'title="mean of 2; from' in text


def test_an_experiment_and_the_trash(client: TestClient, made: Made) -> None:
    assert runs_in(client.get("/?experiment=tuning").text) == ["changed", "fast"]
    assert "The trash is empty" in client.get("/?trash=1").text


def test_a_page_that_has_the_same_already_gets_nothing(client: TestClient) -> None:
    version = re.search(r'data-version="(\w+)"', client.get("/").text)
    assert version is not None
    assert client.get("/", headers={"X-Seen": version[1]}).status_code == 204
    assert client.get("/?sort=name", headers={"X-Seen": version[1]}).status_code == 200


def test_an_address_and_the_state_that_it_says_are_the_same() -> None:
    address = "/?q=metrics.loss+%3C+1&sort=-metrics.loss&experiment=tuning&column=metrics.a%2Cb&pin=metrics.a%2Cb&group=status&page=3"
    assert state_of(QueryParams(address[2:])).address == address


def test_what_an_address_cannot_say_is_left_out(client: TestClient) -> None:
    assert state_of(QueryParams("page=-7&column=nonsense&group=metrics.loss&page=x")).address == "/"
    for address in ("/?page=99999999999999999999", "/?page=1000000", "/?sort=nonsense", "/?group=curve.x", "/?q=%00"):
        assert client.get(address).status_code in (200, 400)
