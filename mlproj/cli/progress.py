"""What a person sees of a run while it goes on: what is fetched and built, notices, the first line and the last."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from mlproj.cli.console import coloured, say, warn
from mlproj.text import duration, one_line, plural

if TYPE_CHECKING:
    from mlproj.api.request import Listener
    from mlproj.runs.record import RunRecord

_MOST_METRICS = 4
_MARKS = {"finished": ("✓", "green"), "failed": ("✗", "red"), "killed": ("✗", "yellow")}


class RunDisplay:
    """The lines around a run, on stderr: a spinner on a terminal, plain lines elsewhere, nothing when quiet."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self.label = ""
        self.phrases: list[str] = []
        self.since = 0.0
        self.live: Any = None
        self.fetching = ""
        self.said: set[str] = set()

    def listener(self) -> Listener:
        """The listener to hand to the API."""
        from mlproj.api.request import Listener

        if self.quiet:
            return Listener()
        return Listener(
            partial(self.progress, "environment"),
            self.notice,
            self.starting,
            self.fetched,
            partial(self.progress, "source"),
            self.sending,
        )

    def progress(self, label: str, phrase: str) -> None:
        """Show a phrase of the progress of what ``label`` names."""
        if label != self.label:
            self._end_phrases()
            self.label = label
        self.since = self.since or time.monotonic()
        # How far something has come takes the place of how far it had.
        if self.phrases and phrase.endswith("%") and self.phrases[-1].endswith("%"):
            self.phrases.pop()
        self.phrases.append(phrase)
        if not sys.stderr.isatty():
            if not phrase.endswith("%"):
                say(f"  {label}  {one_line(phrase)}")
            return
        self._spin(self._said_so_far())

    def sending(self, step: str) -> None:
        """Show what a tracking server is being sent; on a terminal only."""
        if sys.stderr.isatty():
            self._spin(f"tracking  {one_line(step)}")

    def _said_so_far(self) -> str:
        return f"{self.label}  " + " … ".join(one_line(each) for each in self.phrases[-3:])

    def _end_phrases(self) -> None:
        """On a terminal, leave a line of what was going on, and how long it took."""
        self.close()
        if self.phrases and sys.stderr.isatty():
            say(f"  {self._said_so_far()} ({duration(time.monotonic() - self.since)})")
        self.phrases, self.since = [], 0.0

    def fetched(self, what: str, done: int, total: int | None) -> None:
        """Show how much of a URL has come; on a terminal only."""
        if not sys.stderr.isatty():
            return
        if self.fetching != what:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            self.close()
            text = TextColumn("fetching {task.description}", markup=False)
            console = Console(stderr=True)
            self.live = Progress(text, BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console)
            self.live.add_task(what)
            self.live.start()
            self.fetching = what
        self.live.update(self.live.task_ids[0], completed=done, total=total)

    def _spin(self, text: str) -> None:
        if self.fetching:
            self.close()
        if self.live is None:
            from rich.console import Console
            from rich.status import Status

            self.live = Status("", console=Console(stderr=True), spinner="dots")
            self.live.start()
        from rich.text import Text

        self.live.update(Text(text))

    def notice(self, text: str) -> None:
        """Show something that the user should know."""
        self.close()
        self.said.add(text)
        warn(text)

    def starting(self, text: str) -> None:
        """Show that the command starts."""
        self._end_phrases()
        say(f"  {text}")

    def close(self) -> None:
        """End the spinner, if there is one."""
        if self.live is not None:
            self.live.stop()
            self.live = None
            self.fetching = ""

    def ended(self, record: RunRecord) -> None:
        """Show how the run ended."""
        mark, colour = _MARKS.get(record.status, ("?", "white"))
        how = f"{mark} {record.status}"
        if record.status != "finished":
            how += f" (exit status {record.exit_status})"
        parts = [f"{coloured(how, sys.stderr, fg=colour)} in {duration(record.duration_s or 0)}"]
        parts.append(f"run {self._short(record.id)}")
        if record.metrics:
            shown = [f"{one_line(name)}={value:.6g}" for name, value in list(record.metrics.items())[:_MOST_METRICS]]
            more = " …" if len(record.metrics) > _MOST_METRICS else ""
            parts.append(f"metrics: {' '.join(shown)}{more}")
        outputs = [f"{one_line(each.name or 'logged')} ({plural(len(each.files), 'file')})" for each in record.outputs]
        if outputs:
            parts.append("outputs: " + ", ".join(outputs))
        if record.error:
            warn(record.error)
        for notice in record.notices:
            if notice not in self.said:
                warn(notice)
        say("   ".join(parts))
        if record.tracking is not None and record.tracking.run_id:
            from mlproj.tracking.remote.address import page_of

            say(f"  also {page_of(record.tracking)}")
        if self.verbose:
            say(f"  environment {record.environment.kind} {record.environment.key}  {record.environment.interpreter}")

    @staticmethod
    def _short(run_id: str) -> str:
        from mlproj.errors import MlprojError
        from mlproj.locations import store_folder
        from mlproj.runs.store import open_store_for_reading, shown_id

        try:
            return shown_id(open_store_for_reading(store_folder()), run_id)
        except MlprojError:
            return run_id
