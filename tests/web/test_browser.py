"""The pages in a real browser, over real runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import mlproj
from tests.web.conftest import HOSTILE, WATCHED, Made, project_in, served, shown

# WCAG 2.2 AA as axe tells it, and what it holds for good practice.
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}

LIVE = "name: live\nenvironment: {system: {}}\nentry_points: {train: {command: [python3, train.py]}}\n"


@contextmanager
def going_on(home: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run of the project in ``folder`` that goes on for the length of a ``with`` block, if it is not ended before."""
    run = subprocess.Popen(
        [sys.executable, "-m", "mlproj", "run", ".", "--name", "live"],
        cwd=folder, env={**os.environ, "MLPROJ_HOME": str(home)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield run
    finally:
        run.terminate()
        run.wait(timeout=30)


def settled(page: Any) -> None:
    """Wait until the curves that are seen are drawn."""
    page.wait_for_load_state("networkidle")
    for plot in page.locator(".plot:visible").all():
        plot.scroll_into_view_if_needed()
        plot.locator("canvas").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "address",
    [
        *("", "?q=status+%3D+finnished", "?group=params.solver&open=%3Dadam", "?trash=1", "runs/none"),
        *("runs/ID", "runs/ID/metrics", "runs/ID/log", "runs/ID/source", "runs/ID/environment", "runs/ID/resources"),
        *(
            "runs/ID/artifacts?path=table.csv",
            "runs/ID/artifacts?path=notes.md",
            "runs/HOSTILE",
            "runs/HOSTILE/artifacts",
        ),
        "compare?run=ID&run=OTHER",
    ],
)
def test_axe_finds_nothing_that_keeps_anybody_out(server: str, page: Any, made: Made, address: str, theme: str) -> None:
    page.emulate_media(color_scheme=theme)
    for word, name in (("ID", "changed"), ("OTHER", "plain"), ("HOSTILE", HOSTILE)):
        address = address.replace(word, made.id(name))
    page.goto(server + address)
    settled(page)
    results = Axe().run(page, options=RULES)
    page.faults[:] = [fault for fault in page.faults if "400" not in fault and "404" not in fault]
    assert results.violations_count == 0, results.generate_report()


def test_an_empty_store_tells_the_first_command(page: Any, tmp_path: Path) -> None:
    with shown(page, tmp_path / "none") as address:
        page.goto(address)
        assert page.get_by_role("heading", name="No runs yet").is_visible()
        assert page.get_by_text("mlproj run .").is_visible()
        assert Axe().run(page, options=RULES).violations_count == 0


def test_filtering_sorting_and_going_back(server: str, page: Any) -> None:
    page.goto(server)
    page.keyboard.press("/")
    page.keyboard.type("params.lr > 0.05")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=params.lr+%3E+0.05")
    page.locator("tr.run").nth(2).wait_for()
    assert page.locator("tr.run").count() == 3
    page.get_by_role("columnheader", name="loss").locator("a").first.click()
    page.wait_for_url("**&sort=metrics.loss")
    assert page.locator("tr.run th a").all_inner_texts() == ["fast", "changed", "plain"]
    assert page.get_by_role("columnheader", name="loss").first.get_attribute("aria-sort") == "ascending"
    page.go_back()
    page.wait_for_url("**/?q=params.lr+%3E+0.05")
    page.wait_for_function("() => document.querySelector('tr.run th a').textContent === 'changed'")


def test_a_filter_with_an_error_shows_where(server: str, page: Any) -> None:
    page.goto(server)
    page.get_by_label("Filter", exact=True).fill("status = finnished")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert "column 10" in page.get_by_role("alert").inner_text()
    # The script sees the answer a moment after it is shown.
    page.locator("#filter[aria-invalid=true]").wait_for()
    page.wait_for_function("() => document.getElementById('filter').selectionStart === 9")
    page.faults[:] = [fault for fault in page.faults if "400" not in fault]


def test_the_keyboard_alone_selects_and_compares(server: str, page: Any, made: Made) -> None:
    page.goto(f"{server}?q=has(params.lr)")
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    assert page.locator("#picked").inner_text() == "2 selected"
    page.keyboard.press("c")
    page.wait_for_url("**/compare?*")
    assert made.id("changed") in page.url
    assert made.id("fast") in page.url
    page.keyboard.press("?")
    assert page.get_by_role("heading", name="Keyboard").is_visible()


def test_columns_are_chosen_moved_and_pinned(server: str, page: Any) -> None:
    page.goto(f"{server}?q=has(params.lr)&column=params.lr&column=metrics.loss")
    page.get_by_role("button", name="Columns").click()
    page.get_by_label("Find a column").fill("solver")
    page.get_by_role("checkbox", name="params.solver", exact=True).check()
    page.get_by_label("Find a column").fill("")
    page.get_by_role("button", name="Move metrics.loss up").click()
    page.get_by_role("checkbox", name="pin params.solver").check()
    page.get_by_role("button", name="Show these").click()
    page.wait_for_url("**pin=params.solver**")
    titles = page.locator("thead th[title]").evaluate_all("cells => cells.map(cell => cell.title)")
    assert titles == ["params.solver", "metrics.loss", "params.lr"]


def test_a_run_is_tagged_deleted_and_restored(copy_of: Made, page: Any) -> None:
    with shown(page, copy_of.home) as address:
        page.goto(f"{address}?q=name+%3D+plain")
        page.get_by_role("checkbox", name="Select run plain").check()
        page.get_by_role("button", name="Tag", exact=True).click()
        page.get_by_label("Name").fill("stage")
        page.get_by_label("Value", exact=True).fill("candidate")
        page.get_by_role("button", name="Set").click()
        page.goto(f"{address}?q=tags.stage+%3D+candidate")
        page.get_by_role("checkbox", name="Select run plain").check()
        page.get_by_role("button", name="Delete").click()
        page.get_by_text("No run matches").wait_for()
        page.goto(f"{address}?trash=1")
        page.get_by_role("checkbox", name="Select run plain").check()
        page.get_by_role("button", name="Restore").click()
        page.get_by_text("The trash is empty").wait_for()


def test_a_run_is_seen_as_it_goes_on_and_is_stopped(page: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = project_in(tmp_path / "live", WATCHED, LIVE)
    with shown(page, home) as address:
        page.goto(address)
        page.get_by_text("No runs yet").wait_for()
        with going_on(home, folder):
            # The page finds the run by itself, and its metric's value changes in it.
            page.locator("tr.run .status.running").wait_for()
            page.wait_for_function("() => document.querySelector('td.number:not(:empty)') !== null")
            page.get_by_role("link", name="live").first.click()
            settled(page)
            first = page.locator("#metrics-part td.number").first.inner_text()
            page.wait_for_function(
                "first => (document.querySelector('#metrics-part td.number')?.innerText ?? first) !== first", arg=first
            )
            page.get_by_role("link", name="Log").click()
            page.locator("#log").wait_for()
            page.wait_for_function("() => /step 5/.test(document.getElementById('log').innerText)")
            last = page.locator("#log .chunk div").last.inner_text()
            page.wait_for_function("last => !document.getElementById('log').innerText.trim().endsWith(last)", arg=last)
            page.on("dialog", lambda dialog: dialog.accept())
            page.get_by_role("button", name="Stop").click()
            page.locator("#head .status.killed").wait_for()


def test_a_page_whose_server_ended_says_so_and_goes_on_when_it_is_back(page: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = project_in(tmp_path / "live", WATCHED, LIVE)
    with going_on(home, folder) as run:
        with served(home) as (address, _):
            page.goto(address)
            page.locator("tr.run .status.running").wait_for()
            page.locator("tr.run").get_by_role("link", name="live").click()
            page.locator("#head .status.running").wait_for()
            page.get_by_role("link", name="Log").click()
            page.locator("#log .chunk").first.wait_for()
            assert not page.locator("#gone").is_visible()
        page.locator("#gone").get_by_text("does not answer").wait_for()
        # It is asked more than once or twice, by the head and by the log.
        for _ in range(3):
            with page.expect_event("requestfailed"):
                pass
        run.terminate()
        run.wait(timeout=30)
        with shown(page, home, "--port", str(urlsplit(address).port)):
            page.locator("#head .status.killed").wait_for()
            page.locator("#gone").wait_for(state="hidden")
    assert page.faults
    assert all("ERR_CONNECTION_REFUSED" in fault for fault in page.faults)
    page.faults.clear()


def test_what_a_hostile_run_wrote_does_nothing(server: str, page: Any, made: Made) -> None:
    run = f"runs/{made.id(HOSTILE)}"
    views = ["", f"?experiment={HOSTILE}", run, f"{run}/metrics", f"{run}/log", f"{run}/artifacts?path=page.html"]
    views += [f"{run}/artifacts?path={name}" for name in ("picture.svg", "text.md", "table.csv", "<b>bold.txt")]
    views += [f"compare?run={made.id(HOSTILE)}&run={made.id('plain')}"]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for view in views:
        page.goto(server + view)
        settled(page)
        assert page.title().endswith(" · mlproj")
        assert page.locator("img[src=x]").count() == 0
    assert all(url.startswith(server) for url in asked)
    page.goto(f"{server}{run}/artifacts?path=page.html")
    frame = page.frame_locator("iframe")
    frame.locator("#shown").wait_for()
    assert page.title().endswith(" · mlproj")
    # The browser says of each script that it was not run; that is the only thing to be said.
    assert all("sandbox" in fault or "script" in fault.lower() for fault in page.faults)
    page.faults.clear()


def test_a_hostile_artifact_opened_by_itself_does_nothing(server: str, page: Any, made: Made) -> None:
    # A page of its own: the browser complains of each script, and of the icon that a sandbox may not have.
    alone = page.context.new_page()
    for name in ("page.html", "picture.svg"):
        alone.goto(f"{server}runs/{made.id(HOSTILE)}/artifacts/{name}?show")
        assert alone.evaluate("document.title") == ""
        assert alone.evaluate("origin") == "null"


def test_curves_are_smoothed_zoomed_and_hovered(server: str, page: Any, made: Made) -> None:
    page.goto(f"{server}runs/{made.id('plain')}/metrics")
    settled(page)
    chart = page.locator("[data-metric=loss]")
    assert "last" in chart.locator(".extremes").inner_text()
    over = chart.locator(".u-over")
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    chart.locator(".tip").wait_for()
    assert re.match(r"step 1[45]\n0\.\d+", chart.locator(".tip").inner_text())
    with page.expect_response(re.compile("since=.*until=")) as answer:
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 60, steps=4)
        page.mouse.up()
    steps = answer.value.json()["curves"][0]["steps"]
    assert 10 < steps[0] < steps[-1] < 29
    page.get_by_label("Smoothing").fill("0.9")
    page.get_by_label("Log scale").check()
    with page.expect_response(re.compile("curves")):
        page.get_by_label("Along").select_option("time")
    page.get_by_label("Find").fill("accur")
    assert not chart.is_visible()


def test_a_hundred_megabytes_of_log(copy_of: Made, page: Any) -> None:
    run_id = copy_of.id("plain")
    with (copy_of.home / "runs" / run_id / "output.log").open("wb") as stream:
        for number in range(100):
            stream.write(
                b"".join(b"%09d an ordinary line of a long log\n" % (number * 25_000 + line) for line in range(25_000))
            )
        stream.write(b"\x1b[31mthe needle\x1b[0m\nthe end\n")
    with shown(page, copy_of.home) as address:
        page.goto(f"{address}runs/{run_id}/log")
        page.wait_for_function("() => document.getElementById('log').innerText.includes('000000001')")
        page.get_by_role("button", name="End").click()
        page.wait_for_function("() => document.getElementById('log').innerText.includes('the end')")
        page.get_by_role("button", name="Beginning").click()
        page.wait_for_function("() => document.getElementById('log').innerText.includes('000000001')")
        page.get_by_label("Find").fill("NEEDLE")
        page.keyboard.press("Enter")
        page.locator("#log mark").first.wait_for()
        assert page.locator("#log .a-31 mark").inner_text() == "needle"
        # Scrolling back and forth brings more of it in, and what is far away goes out again.
        for _ in range(30):
            before = page.locator("#log .chunk").first.inner_text()[:9]
            page.evaluate("document.getElementById('log').scrollTop = 0")
            page.wait_for_function(
                "before => document.querySelector('#log .chunk').innerText.slice(0, 9) !== before", arg=before
            )
        assert page.locator("#log .chunk").count() <= 8


def test_a_line_longer_than_a_part_of_the_log(copy_of: Made, page: Any) -> None:
    run_id = copy_of.id("plain")
    (copy_of.home / "runs" / run_id / "output.log").write_bytes(b"one\n" + b"x" * 200_000 + b"\nlast\n")
    with shown(page, copy_of.home) as address:
        page.goto(f"{address}runs/{run_id}/log")
        page.locator("#log .chunk").nth(1).wait_for()
        page.wait_for_function(
            "() => { const log = document.getElementById('log'); log.scrollTop = log.scrollHeight; "
            "return log.innerText.includes('last'); }"
        )


def test_a_phone_and_a_printer_have_all_of_it(server: str, page: Any, made: Made) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for view in (
        "",
        f"runs/{made.id('plain')}",
        f"runs/{made.id('plain')}/artifacts",
        f"compare?run={made.id('plain')}&run={made.id('fast')}",
    ):
        page.goto(server + view)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
    page.emulate_media(media="print")
    page.goto(server)
    assert not page.locator(".toolbar").is_visible()
    assert page.locator("tr.run").first.is_visible()


def test_the_command_is_copied_and_the_theme_is_kept(server: str, page: Any, made: Made) -> None:
    page.goto(f"{server}runs/{made.id('fast')}")
    page.get_by_role("button", name="Copy the command").click()
    page.get_by_text("Copied").wait_for()
    assert "-P lr=0.5" in page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Light or dark").click()
    chosen = page.evaluate("document.documentElement.dataset.theme")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == chosen


def test_a_token_in_the_address_and_no_more_after(made: Made, page: Any) -> None:
    with shown(page, made.home, "--token", "open-sesame") as address:
        page.goto(address)
        assert "token" not in page.url
        page.reload()
        page.locator("tr.run").first.wait_for()


def test_a_page_weighs_little(server: str, page: Any, made: Made) -> None:
    for view in ("", f"runs/{made.id('plain')}/metrics", f"compare?run={made.id('plain')}&run={made.id('fast')}"):
        sizes: list[int] = []
        page.on("response", lambda response: sizes.append(len(response.body())) if response.ok else None)  # noqa: B023
        page.goto(server + view)
        settled(page)
        assert sum(sizes) < 300_000


def test_a_run_that_lost_its_mlproj_is_called_lost(page: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = project_in(tmp_path / "live", WATCHED, LIVE)
    with shown(page, home) as address, going_on(home, folder) as run:
        page.goto(address)
        page.locator("tr.run .status.running").wait_for()
        run.kill()
        run.wait()
        page.locator("tr.run .status.lost").wait_for()
    assert "lost" in mlproj("runs", env={"MLPROJ_HOME": str(home)}).stdout
