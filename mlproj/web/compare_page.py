"""The page with runs side by side."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mlproj.runs.compare import Comparison, Row, compare
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, files_of, shown_id
from mlproj.web.errors import PageError
from mlproj.web.logs import log_window
from mlproj.web.pages import page
from mlproj.web.patches import Line, difference
from mlproj.web.run_page import own_text, record_of
from mlproj.web.stores import Site, reading

_MOST = 50
_LOG_BYTES = 256 * 1024
_PATCH_BYTES = 1024 * 1024
_VALUES = ("parameters", "metrics", "tags")
_REST = ("run", "source", "environment", "packages", "inputs", "outputs")


def compare_page(site: Site, request: Request) -> Response:
    """From 2 to 50 runs side by side; ``one`` and ``other`` in the address are the two whose texts are compared."""
    ids = list(dict.fromkeys(request.query_params.getlist("run")))
    if not 2 <= len(ids) <= _MOST:
        raise PageError(400, f"From 2 to {_MOST} runs can be compared.", "Select them in the table, and press c.")
    with reading(site) as store:
        records = [record_of(store, run_id) for run_id in ids]
        assert store is not None
        compared = compare(records)
        pair = [_chosen(records, request.query_params.get(name), place) for name, place in (("one", 0), ("other", -1))]
        return page(
            site,
            "compare.html",
            title=f"{len(records)} runs",
            records=records,
            shorts=[shown_id(store, record.id) for record in records],
            values=_sections(compared, _VALUES),
            rest=_sections(compared, _REST),
            drawn=[row.name for row in compared.metrics],
            pair=pair,
            differences=_differences(store, pair[0], pair[1]),
            data=_data(compared, records),
        )


def _sections(compared: Comparison, names: tuple[str, ...]) -> list[tuple[str, list[Row], int]]:
    """Sections with their rows, and how many of them differ."""
    sections = [(name, getattr(compared, name)) for name in names]
    return [(name, rows, sum(not row.same for row in rows)) for name, rows in sections if rows]


def _chosen(records: list[RunRecord], run_id: str | None, place: int) -> RunRecord:
    return next((record for record in records if record.id == run_id), records[place])


def _differences(store: Store, one: RunRecord, other: RunRecord) -> list[tuple[str, list[Line]]]:
    """What differs between the texts of two runs: the changes to their sources, their locks, their logs."""

    def texts(record: RunRecord) -> list[list[str]]:
        files = files_of(store, record.id)
        window = log_window(files.log, 0, _LOG_BYTES)
        return [
            (own_text(files, record.source.patch, _PATCH_BYTES) or "").splitlines(),
            (own_text(files, record.environment.lock, _PATCH_BYTES) or "").splitlines(),
            ["".join(text for text, _ in line) for line in window.lines],
        ]

    names = (one.name or one.id[:12], other.name or other.id[:12])
    titles = ("Patches of the source", "Locks of the environment", "Logs")
    return [
        (title, difference(mine, its, names)) for title, mine, its in zip(titles, texts(one), texts(other), strict=True)
    ]


def _data(compared: Comparison, records: list[RunRecord]) -> dict[str, object]:
    """The numbers of all runs, for what the page draws of them."""
    keys: dict[str, list[float | None]] = {}
    for section in ("parameters", "metrics"):
        for row in getattr(compared, section):
            numbers = [_number(value) for value in row.values]
            if sum(number is not None for number in numbers) > 1:
                keys[f"{'params' if section == 'parameters' else section}.{row.name}"] = numbers
    return {"runs": [{"id": record.id, "name": record.name or record.id[:12]} for record in records], "keys": keys}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) == float("inf"):
        return None
    return float(value)
