"""The steps of something long, as a person sees them go by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlproj.text import one_line


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Show the steps of something long, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

    with Status("", console=Console(stderr=True), spinner="dots") as status:
        yield lambda step: status.update(Text(one_line(step)))
