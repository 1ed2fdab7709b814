"""Points in time as the record writes them: ISO 8601 in UTC with milliseconds,
``2026-11-21T11:17:09.123Z``.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone


def time_text(seconds: float) -> str:
    """Seconds since the epoch as the record's text."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_of(text: str) -> float:
    """Seconds since the epoch of any ISO 8601 text; one without a zone is UTC. Raises ValueError."""
    # Python 3.10 knows neither the `Z` nor fractions of other than 3 or 6 digits.
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


def now_ms() -> int:
    """Now, in milliseconds since the epoch."""
    return int(time.time() * 1000)


def now_text() -> str:
    """This moment as the record's text."""
    return time_text(time.time())


def age_text(text: str, now: float) -> str:
    """How long before ``now`` (seconds since the epoch) ``text`` was, as people say it: ``5 min ago``."""
    try:
        seconds = now - seconds_of(text)
    except ValueError:
        return ""
    if seconds < -60:
        return "in the future"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"
