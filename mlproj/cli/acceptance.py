"""Options of ``mlproj run`` for CI: what a run has to fulfil, and the reports on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from mlproj.cli.console import coloured, say, warn
from mlproj.text import one_line

NOT_ACCEPTED = 3
_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--assert",
        "assertions",
        multiple=True,
        metavar="FILTER",
        help="What the run has to fulfil, such as 'metrics.rmse < 60'; repeatable. If it does not: exit status 3.",
    ),
    click.option(
        "--baseline",
        metavar="RUN|FILE",
        help="What no metric may fall behind: 0193, @best:rmse, REMOTE@best:rmse, a file. If one does: exit status 3.",
    ),
    click.option(
        "--tolerance",
        "tolerances",
        multiple=True,
        metavar="METRIC=AMOUNT",
        help="How far a metric may fall behind the baseline: `rmse=0.5`, `rmse=1%`; repeatable.",
    ),
    click.option(
        "--report",
        "reports",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Write a report: .md, .html, or .txt with the metrics for GitLab; repeatable.",
    ),
    click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write the checks as JUnit XML."),
)


def acceptance_options(command: _Command) -> _Command:
    """The options as a decorator."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_acceptance(options: dict[str, Any]) -> Any:
    """What is asked of the run, read before it begins; ``None`` when nothing is. Raises ``UsageError``."""
    names = ("assertions", "baseline", "tolerances", "reports", "junit")
    wanted = {name: options.pop(name) for name in names}
    on_github = os.environ.get("GITHUB_ACTIONS") == "true"
    if not any(wanted.values()) and wanted["baseline"] is None and not on_github:
        return None
    from mlproj.api.acceptance import prepare_acceptance

    return prepare_acceptance(*(wanted[name] for name in names))


def meet_project(acceptance: Any, project: str, entry_point: str, secrets: Sequence[str]) -> Any:
    """What is asked of the run with the baseline that there is for its entry point, and what no report may hold.

    Raises ``UsageError``.
    """
    if acceptance is None:
        return None
    acceptance = replace(acceptance, secrets=tuple(secrets))
    if acceptance.named is None:
        return acceptance
    from mlproj.api.acceptance import with_baseline
    from mlproj.cli.options import open_store

    return with_baseline(open_store(), acceptance, project, entry_point)


def reports_asked_for(options: dict[str, Any]) -> tuple[Path, ...]:
    """The files that are to be written about the run."""
    return (*options["reports"], *([options["junit"]] if options["junit"] is not None else []))


def tell_failure(acceptance: Any, project: str, error: Any) -> None:
    """Have a CI system that waits for JUnit's XML find in it why the project could not be run."""
    if acceptance is not None and acceptance.junit is not None:
        from mlproj.api.acceptance import write_failure

        write_failure(acceptance.junit, project, error)


def judge(record: Any, acceptance: Any) -> Any:
    """Hold a run against what is asked of it."""
    from mlproj.api.acceptance import judge_acceptance
    from mlproj.cli.options import open_store

    return judge_acceptance(open_store(), record, acceptance)


def verdict_as_json(report: Any) -> dict[str, Any]:
    """What ``--json`` has of the verdict on a run, its checks, and of the baseline, where there is one."""
    checks = [{"name": each.name, "passed": each.passed, "told": each.told} for each in report.checks]
    if report.baseline is None:
        return {"accepted": report.passed, "checks": checks, "baseline": None}
    rows = {
        each.name: {key: getattr(each.row, key) for key in ("before", "now", "delta", "direction", "passed")}
        for each in report.metrics
        if each.row is not None
    }
    return {"accepted": report.passed, "checks": checks, "baseline": {"of": report.baseline.label, "metrics": rows}}


def accept(report: Any, acceptance: Any) -> int:
    """Tell of all that a run does not fulfil, and write the reports; the exit status is 3 for one that does not."""
    from mlproj.api.acceptance import write_reports
    from mlproj.reporting import github

    failed = [each for each in report.checks if not each.passed]
    for each in failed:
        say(f"{coloured('✗', sys.stderr, fg='red')} {one_line(each.name)}: {one_line(each.told)}")
        if github.is_github(os.environ):
            say(github.of_the_job(f"{report.title} is not accepted", f"{each.name}: {each.told}"))
    _tell_of_baseline(report, acceptance)
    write_reports(report, acceptance)
    if github.is_github(os.environ) and not os.environ.get("MLPROJ_RUN_ID"):
        from mlproj.reporting.markdown import to_markdown

        try:
            github.add_to_summary(to_markdown(report), os.environ)
        except OSError as error:
            warn(f"the job's summary cannot be written: {error.strerror or error}")
    return NOT_ACCEPTED if failed else 0


def _tell_of_baseline(report: Any, acceptance: Any) -> None:
    """Say which baseline it is that was not kept, and which changes nothing has judged."""
    if report.baseline is None:
        return
    rows = [each.row for each in report.metrics if each.row is not None]
    if not all(row.passed for row in rows):
        say(f"  the baseline is {one_line(report.baseline.label)}")
    for row in rows:
        if row.direction == "other" and row.name not in acceptance.slacks:
            name = one_line(row.name)
            warn(
                f"`{name}` went from {row.before:.6g} to {row.now:.6g}, and nothing judges that: the name does not say "
                f"which end is better, and no `--tolerance {name}=AMOUNT` says how far it may go"
            )
