"""What a run has to fulfil to be accepted in CI, assertions and a baseline, and the reports on it."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlproj.errors import MlprojError, UsageError
from mlproj.execution.masking import mask_text
from mlproj.reporting.files import check_target, write_report
from mlproj.reporting.report import Check, Report, figure, report_on
from mlproj.runs.assertions import check_assertion, found_instead, holds
from mlproj.runs.baseline import Baseline, BaselineRow, Slack, beside_baseline, parse_slack
from mlproj.runs.find import better_end, find_to_compare
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store
from mlproj.text import one_line
from mlproj.tracking.metrics_outputs import as_number

FORMATS = (".md", ".html", ".txt")
_LARGEST_BASELINE = 64 << 20


@dataclass(frozen=True)
class Acceptance:
    """What is asked of a run, read and found to make sense before it begins.

    ``named`` is how the baseline was asked for, and ``baseline`` what was found (``with_baseline``). ``reports`` are
    files to be written, each in the form that its ending names; ``junit`` is JUnit's XML. ``secrets`` are what none of
    them may hold.
    """

    assertions: Sequence[str] = ()
    named: str | None = None
    baseline: Baseline | None = None
    slacks: Mapping[str, Slack] = field(default_factory=dict)
    reports: Sequence[Path] = ()
    junit: Path | None = None
    secrets: Sequence[str] = field(default=(), repr=False)


def prepare_acceptance(
    assertions: Sequence[str],
    baseline: str | None,
    tolerances: Sequence[str],
    reports: Sequence[Path] = (),
    junit: Path | None = None,
) -> Acceptance:
    """Read what is asked of a run. Raises ``UsageError`` for what makes no sense, or cannot be written."""
    for text in assertions:
        check_assertion(text)
    slacks = dict(map(parse_slack, tolerances))
    if len(slacks) < len(tolerances):
        raise UsageError("--tolerance is given twice for one metric")
    if slacks and baseline is None:
        raise UsageError("--tolerance is for --baseline, which is not given")
    for path in reports:
        if path.suffix.lower() not in FORMATS:
            raise UsageError(
                f"--report {one_line(path)}: a report ends in {', '.join(FORMATS)}",
                hint="`.txt` has the metrics alone, as GitLab reads them.",
            )
    for path in (*reports, *([junit] if junit is not None else [])):
        check_target(path)
    if baseline is not None and not baseline.strip():
        raise UsageError("--baseline is empty", hint="It is a run, such as @best:rmse, or a file with one.")
    return Acceptance(assertions, baseline, None, slacks, reports, junit)


def with_baseline(store: Store, acceptance: Acceptance, project: str, entry_point: str) -> Acceptance:
    """What is asked of a run of a project's entry point with its baseline found, before there is the new run.

    Raises ``UsageError`` for one that cannot be found, or that no run could be held against.
    """
    if acceptance.named is None:
        return acceptance
    found = load_baseline(store, acceptance.named, (project, entry_point))
    if not any(math.isfinite(value) for value in found.metrics.values()):
        raise UsageError(f"the baseline {one_line(found.label)} has no metric that a run could be held against")
    if unknown := [name for name in acceptance.slacks if name not in found.metrics]:
        listed = ", ".join(f"`{one_line(name)}`" for name in found.metrics) or "none"
        raise UsageError(f"--tolerance: the baseline has no metric `{one_line(unknown[0])}`; there are {listed}")
    return replace(acceptance, baseline=found)


def load_baseline(store: Store, text: str, of: tuple[str, str]) -> Baseline:
    """The baseline that ``text`` names: a stored run, a run on a remote (``lab@best:rmse``), or a file.

    ``@best:``, ``@last`` and their kin mean finished runs ``of`` a project and entry point. A file holds a run's
    record, a crate, or metrics as JSON. Raises ``UsageError`` when there is none.
    """
    path = Path(text)
    if path.suffix.lower() in (".json", ".zip") or path.is_file():
        found = dict(_flat(_metrics_in(path), ""))
        numbers = {name: number for name, value in found.items() if (number := as_number(value)) is not None}
        return Baseline(text, numbers, frozenset(found.keys() - numbers.keys()))
    remote, at, which = text.partition("@")
    record = _on_remote(store, remote, which, of) if at and remote else find_to_compare(store, text, *of)
    label = f"run {record.id[:12]} of {record.project}: {record.entry_point}, {record.started_at[:10]}"
    return Baseline(label, record.metrics)


def _on_remote(store: Store, name: str, which: str, of: tuple[str, str]) -> RunRecord:
    from mlproj.api.sharing import runs_on
    from mlproj.sharing.remotes import remote_named

    runs = [run.manifest.record for run in runs_on(remote_named(store.folder, name)) if run.manifest is not None]
    finished = [each for each in runs if each.status == "finished" and (each.project, each.entry_point) == of]
    how, colon, metric = which.partition(":")
    if colon and how in ("best", "min", "max"):
        end = better_end(metric) if how == "best" else how
        known = [record for record in finished if math.isfinite(record.metrics.get(metric, math.nan))]
        known.sort(key=lambda record: record.metrics[metric], reverse=end == "max")
    else:
        known = finished if which == "last" else [each for each in runs if which and each.id.startswith(which)]
    if known:
        return known[0]
    sought = f"run `{one_line(which)}`"
    if colon or which == "last":
        sought = f"finished {sought} of {one_line(of[0])}: {one_line(of[1])}"
    raise UsageError(
        f"there is no {sought} on the remote {one_line(name)}",
        hint=f"`{one_line(name)}@last`, `@best:METRIC`, or the beginning of an id: `mlproj runs --remote` lists them.",
    )


def _metrics_in(path: Path) -> dict[str, Any]:
    shown = one_line(path)
    try:
        if path.stat().st_size > _LARGEST_BASELINE:
            raise UsageError(f"the baseline {shown} is larger than {_LARGEST_BASELINE >> 20} MiB")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("run.json") as stream:
                content: Any = json.loads(stream.read(_LARGEST_BASELINE))
        else:
            content = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"the baseline {shown} cannot be read: {one_line(error.strerror or error)}") from None
    except (ValueError, KeyError, zipfile.BadZipFile, RecursionError) as error:
        raise UsageError(f"the baseline {shown} is no run and no metrics: {one_line(error)}") from None
    metrics = content.get("metrics", content) if isinstance(content, dict) else None
    if not isinstance(metrics, dict):
        raise UsageError(
            f"the baseline {shown} holds no metrics",
            hint='It is a run as `mlproj show --json` prints it, or `{"rmse": 57.6}`.',
        )
    return metrics


def _flat(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    """The values of a metrics file as a run's output of the kind ``metrics`` has them: nested names joined by dots."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def judge_acceptance(store: Store, record: RunRecord, acceptance: Acceptance) -> Report:
    """Hold a run that has ended against what is asked of it. Raises StoreError."""

    def mask(text: str) -> str:
        return mask_text(text, tuple(acceptance.secrets))

    checks = [_asserted(store, record, text) for text in acceptance.assertions]
    rows: list[BaselineRow] = []
    if acceptance.baseline is not None:
        rows = beside_baseline(record.metrics, acceptance.baseline, acceptance.slacks)
        checks += [_beside(row) for row in rows if row.before is not None]
    checks = [replace(each, name=mask(each.name), told=mask(each.told)) for each in checks]
    return report_on(store, record, checks, acceptance.baseline, rows)


def _asserted(store: Store, record: RunRecord, text: str) -> Check:
    return Check(text, holds(store, record, text), found_instead(store, record, text))


def _beside(row: BaselineRow) -> Check:
    name = f"baseline: {row.name}"
    if row.now is None:
        return Check(name, passed=False, told="the run has no such metric")
    told = f"{figure(row.before)} → {figure(row.now)}"
    judged = "its name does not tell which end is better" if row.direction == "other" else row.direction
    told += f" ({row.delta:+.3g}, {judged})" if row.delta else ""
    return Check(name, row.passed, told)


def write_failure(junit: Path, project: str, error: MlprojError) -> None:
    """Write as JUnit's XML why a project could not be run. Raises ``MlprojError``."""
    from mlproj.reporting.junit import junit_of_failure

    write_report(junit, junit_of_failure(project, str(error)))


def write_reports(report: Report, acceptance: Acceptance) -> None:
    """Write the reports that were asked for, each whole or not at all. Raises ``MlprojError``."""
    from mlproj.reporting.html import to_html
    from mlproj.reporting.junit import to_junit
    from mlproj.reporting.markdown import to_markdown
    from mlproj.reporting.metrics_text import to_metrics_text

    forms = {".md": to_markdown, ".html": to_html, ".txt": to_metrics_text}
    for path in acceptance.reports:
        write_report(path, forms[path.suffix.lower()](report))
    if acceptance.junit is not None:
        write_report(acceptance.junit, to_junit(report))
