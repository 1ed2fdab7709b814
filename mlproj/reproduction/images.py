"""Images compared by their pixels, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mlproj.reproduction.arrays import differing, distances, within
from mlproj.reproduction.differences import Step, UnreadableError
from mlproj.reproduction.rules import OutputRule
from mlproj.text import one_line, plural

# What Pillow shows with 8 bits of red, green, blue and alpha without a loss. Any other is compared as it is stored.
_AS_RGBA = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA"))
_BITS_PER_SAMPLE = 258  # TIFF 6.0, section 4


def images_differ(recorded: Path, again: Path, rule: OutputRule) -> Iterator[Step]:
    """What differs between the pixels of two images, in all of their frames. Raises ``UnreadableError``."""
    from PIL import Image

    with ExitStack() as opened:
        try:
            images = [opened.enter_context(Image.open(path)) for path in (recorded, again)]
            counts = [getattr(image, "n_frames", 1) for image in images]
            if counts[0] != counts[1]:
                yield Step(f"{plural(counts[0], 'frame')} → {counts[1]}", allowed=False)
            for number in range(min(counts)):
                frames = [_frame(image, number) for image in images]
                label = f"frame {number + 1}: " if max(counts) > 1 else ""
                yield from _frames_differ(label, frames[0], frames[1], rule)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise UnreadableError(f"it is no image: {one_line(error)}") from None


def _frame(image: Any, number: int) -> tuple[str, Any]:
    """The mode of a frame and its pixels, a row of channels for each."""
    import numpy

    image.seek(number)
    image.load()
    _refuse_lost_bits(image)
    if image.mode in _AS_RGBA:
        return "RGBA", numpy.asarray(image.convert("RGBA"))
    pixels = numpy.asarray(image)
    return image.mode, pixels if pixels.ndim == 3 else pixels[..., None]


def _refuse_lost_bits(image: Any) -> None:
    """Raise ``UnreadableError`` for colours of more than 8 bits, of which Pillow reads the upper 8 alone."""
    if image.mode not in ("LA", "RGB", "RGBA"):
        return
    depths = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    if image.format == "PNG":
        with Path(image.filename).open("rb") as stream:
            depths = (stream.read(25)[24],)  # IHDR's bit depth (PNG specification, 11.2.1)
    if any(depth > 8 for depth in depths):
        raise UnreadableError("its colours have more than 8 bits, which Pillow does not read")


def _frames_differ(label: str, recorded: tuple[str, Any], again: tuple[str, Any], rule: OutputRule) -> Iterator[Step]:
    (mode, one), (other_mode, other) = recorded, again
    if mode != other_mode or one.dtype != other.dtype:
        yield Step(f"{label}the mode {mode} → {other_mode}", allowed=False)
    elif one.shape != other.shape:
        told = f"{one.shape[1]}×{one.shape[0]} → {other.shape[1]}×{other.shape[0]} pixels"
        yield Step(f"{label}{told}", allowed=False)
    else:
        distance, same = distances(one, other)
        count = int((~same).any(axis=-1).sum())
        if count:
            largest = f"{distance[~same].max():.10g}{' of 255' if mode == 'RGBA' else ''}"
            told = f"{differing(count, one.shape[0] * one.shape[1], 'pixel')}, by up to {largest}"
            yield Step(f"{label}{told}", bool(within(one, distance, same, rule.tolerance).all()))
