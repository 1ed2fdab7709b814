"""Run ids: 32 hexadecimal characters whose order is the order in which the runs began (UUIDv7, RFC 9562)."""

from __future__ import annotations

import os
import time

from mlproj.files import sha256_of_text

_RANDOM_BITS = 74  # 12 in `rand_a` and 62 in `rand_b`
_STEP_BITS = 56


def next_id(newest: str | None) -> str:
    """A new run id, larger than ``newest``, the largest id in the store, also when the clock went back.

    While the clock stands at or before the time in ``newest``, its time is kept and its random part
    counted up by a random step (RFC 9562, 6.2, method 2), so two processes that start from one ``newest``
    still differ.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = _random_below(_RANDOM_BITS)
    if newest is not None:
        newest_milliseconds, newest_random = _parts(newest)
        if milliseconds <= newest_milliseconds:
            milliseconds = newest_milliseconds
            random = newest_random + 1 + _random_below(_STEP_BITS)
            if random >> _RANDOM_BITS:
                milliseconds, random = milliseconds + 1, _random_below(_RANDOM_BITS)
    return _joined(milliseconds, random)


def id_from(milliseconds: int, name: str) -> str:
    """The id of a run that began at a time and is known elsewhere by ``name``: the same each time it is asked for."""
    return _joined(max(0, milliseconds), int(sha256_of_text(name)[:32], 16) >> (128 - _RANDOM_BITS))


def is_run_id(text: str) -> bool:
    """Whether ``text`` is written as a run id is: 32 lower-case hexadecimal characters."""
    return len(text) == 32 and all(character in "0123456789abcdef" for character in text)


def milliseconds_of_id(run_id: str) -> int:
    """The time in a run id, in milliseconds since the epoch."""
    return int(run_id[:12], 16)


def _random_below(bits: int) -> int:
    # The module `secrets` does just this, and takes 3 ms to import.
    return int.from_bytes(os.urandom(10), "big") >> (80 - bits)


def _parts(run_id: str) -> tuple[int, int]:
    number = int(run_id, 16)
    return number >> 80, ((number >> 64 & 0xFFF) << 62) | (number & ((1 << 62) - 1))


def _joined(milliseconds: int, random: int) -> str:
    high, low = random >> 62, random & ((1 << 62) - 1)
    return f"{(milliseconds << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low:032x}"
