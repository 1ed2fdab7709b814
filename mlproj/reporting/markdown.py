"""A report as Markdown, as GitHub and GitLab render it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mlproj.files import human_size
from mlproj.reporting.report import Report, figure
from mlproj.runs.metric_history import sparkline
from mlproj.text import duration, one_line

# What formats, what links by itself (`https://…`, `www.…`, `@somebody`, `#12`), and HTML.
_ACTIVE = re.compile(r"[\\`*_{}\[\]<>#!|~@&]|:(?=//)|(?<=www)\.")
_MOST_FILES = 50


def to_markdown(report: Report) -> str:
    """The whole report. What came from the run can neither format it nor link anywhere."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    record = report.record
    mark = "✅" if report.passed else "❌"
    took = f" in {duration(record.duration_s)}" if record.duration_s is not None else ""
    how = record.status if record.status == "finished" else f"{record.status} (exit status {record.exit_status})"
    yield f"## {mark} {_plain(report.title)}"
    yield ""
    yield f"Run `{record.id[:12]}` {how}{took}. {_plain(record.name)}".rstrip()
    if record.error:
        yield f"\n> {_plain(record.error)}"
    if report.checks:
        rows = [["✅" if each.passed else "❌", _code(each.name), _plain(each.told)] for each in report.checks]
        yield from _table("Checks", ["", "check", "found"], rows)
    if report.metrics:
        yield from _metrics(report)
    if record.parameters:
        rows = [[_plain(name), _code(value)] for name, value in record.parameters.items()]
        yield from _table("Parameters", ["parameter", "value"], rows)
    yield from _table("What ran", ["", ""], [[name, value] for name, value in _facts(report)])
    if report.files:
        rows = [
            [_plain(name), _code(path), human_size(size), _code(digest[:12])]
            for name, path, size, digest in report.files[:_MOST_FILES]
        ]
        yield from _table("Artifacts", ["output", "file", "size", "SHA-256"], rows)
        if len(report.files) > _MOST_FILES:
            yield f"\n… and {len(report.files) - _MOST_FILES} more files."


def _metrics(report: Report) -> Iterator[str]:
    headings, rows = ["metric", "value"], []
    if report.baseline is not None:
        headings += ["baseline", "change"]
    headings += ["curve"] if any(each.curve for each in report.metrics) else []
    for each in report.metrics:
        row = [_plain(each.name), figure(each.value)]
        if report.baseline is not None:
            before = each.row.before if each.row else None
            row += [figure(before), each.change]
        rows.append(row + ([sparkline(each.curve)] if "curve" in headings else []))
    yield from _table("Metrics", headings, rows)
    if report.baseline is not None:
        yield f"\nBaseline: {_plain(report.baseline.label)}. Which end of a metric is better is told by its name."


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    record = report.record
    environment = record.environment
    yield "command", _code(report.command)
    yield "source", _code(report.source)
    if record.source.remote:
        yield "from", _plain(record.source.remote)
    python = f", Python {environment.python}" if environment.python else ""
    yield "environment", f"{environment.kind}{python}, {len(environment.packages)} packages"
    if environment.lock_sha256:
        yield "lock", _code(f"sha256 {environment.lock_sha256}")
    if environment.image:
        yield "image", _code(environment.image)
    yield (
        "machine",
        _plain(", ".join(each for each in (record.platform, record.machine.cpu, *record.machine.gpus) if each)),
    )
    yield "started", record.started_at
    for each in record.inputs:
        yield "input", f"{_code(each.path)} sha256 {_code((each.sha256 or '')[:12])}"


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"\n### {title}\n"
    yield f"| {' | '.join(headings)} |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _plain(text: object) -> str:
    return _ACTIVE.sub(r"\\\g<0>", one_line(text))


def _code(value: object) -> str:
    """A code span, which a backtick in it cannot end, nor a bar in it a table's cell (GitHub's spec, 4.10 and 6.1)."""
    text = one_line(value).replace("|", "\\|")
    if not text.strip():
        return ""
    fence = "`" * (1 + max((len(each) for each in re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
