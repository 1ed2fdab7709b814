"""NumPy's arrays compared: those of two files, and two in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlproj.reproduction.differences import Step, UnreadableError
from mlproj.reproduction.rules import OutputRule, Tolerance
from mlproj.text import one_line, plural


def arrays_differ(recorded: Path, again: Path, rule: OutputRule) -> Iterator[Step]:
    """What differs between two `.npy` or `.npz` files. Raises ``UnreadableError``."""
    both = [_arrays(path, rule.ignored) for path in (recorded, again)]
    for name in {**both[0], **both[1]}:
        shown = one_line(name)
        if name not in both[1] or name not in both[0]:
            yield Step(f"{shown} is {'missing' if name in both[0] else 'new'}", allowed=False)
        else:
            yield from _differ(shown, both[0][name], both[1][name], rule.tolerance)


def _arrays(path: Path, ignored: tuple[str, ...]) -> dict[str, Any]:
    import zipfile

    import numpy

    try:
        # Never a pickle: an output is data, and one that was imported may be anybody's.
        loaded = numpy.load(path, allow_pickle=False)
        if isinstance(loaded, numpy.ndarray):
            return {"the array": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files if name not in ignored}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UnreadableError(f"it is no array of NumPy's: {one_line(error)}") from None


def _differ(name: str, recorded: Any, again: Any, tolerance: Tolerance) -> Iterator[Step]:
    import numpy

    if recorded.shape != again.shape or recorded.dtype != again.dtype:
        told = f"{recorded.dtype}{list(recorded.shape)} → {again.dtype}{list(again.shape)}"
        yield Step(f"{name}: {told}", allowed=False)
        return
    if recorded.tobytes() == again.tobytes():
        return
    if not numpy.issubdtype(recorded.dtype, numpy.number):
        count = int((recorded != again).sum()) if recorded.dtype.names is None else 1
        yield Step(f"{name}: {differing(count, None, 'value')}", allowed=False)
        return
    distance, same = distances(recorded, again)
    count = int((~same).sum())
    if not count:
        yield Step(f"{name}: the same values in other bits (a sign of zero, a NaN)", allowed=True)
        return
    largest = float(numpy.nanmax(numpy.where(same, 0, distance))) if not numpy.isnan(distance[~same]).all() else None
    by = f", by up to {largest:.3g}" if largest is not None else ""
    allowed = bool(within(recorded, distance, same, tolerance).all())
    yield Step(f"{name}: {differing(count, int(recorded.size), 'value')}{by}", allowed)


def differing(count: int, total: int | None, noun: str) -> str:
    """How many differ: ``1 value differs``, ``2 of 3 values differ``."""
    of = plural(count, noun) if total is None else f"{count} of {plural(total, noun)}"
    return f"{of} {'differs' if count == 1 else 'differ'}"


def distances(recorded: Any, again: Any) -> tuple[Any, Any]:
    """How far the numbers of two arrays of one type are apart, and which are the same: every NaN is; exact ones for
    integers of any size.
    """
    import numpy

    if numpy.issubdtype(recorded.dtype, numpy.integer):
        # Modulo 2^64 the larger one less the smaller one is what it is, whatever their signs.
        one, other = recorded.astype(numpy.uint64), again.astype(numpy.uint64)
        return numpy.where(recorded > again, one - other, other - one), recorded == again
    wide = numpy.result_type(recorded.dtype, numpy.float64)
    one, other = recorded.astype(wide), again.astype(wide)
    with numpy.errstate(all="ignore"):
        return numpy.abs(other - one), (one == other) | (numpy.isnan(one) & numpy.isnan(other))


def within(recorded: Any, distance: Any, same: Any, tolerance: Tolerance) -> Any:
    """Which of the distances a tolerance allows."""
    import numpy

    with numpy.errstate(all="ignore"):
        return same | (
            distance
            <= tolerance.atol
            + tolerance.rtol * numpy.abs(recorded.astype(numpy.result_type(recorded.dtype, numpy.float64)))
        )
