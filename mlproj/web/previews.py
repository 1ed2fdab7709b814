"""What a file of a run looks like on its page: a picture, a table, text, or only its name and size."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

from markupsafe import Markup

_MOST_TEXT = 512 * 1024
_MOST_ROWS = 200
_MOST_COLUMNS = 100
_MOST_CELL = 500
# What a browser is told of each: never of its own choice, and none that it would run.
IMAGES = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
    ".bmp": "image/bmp", ".avif": "image/avif", ".svg": "image/svg+xml",
}  # fmt: skip
SOUNDS = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".flac": "audio/flac", ".m4a": "audio/mp4"}
FILMS = {".mp4": "video/mp4", ".webm": "video/webm"}
_TABLES = {".csv": ",", ".tsv": "\t"}
_PAGES = (".html", ".htm")


@dataclass(frozen=True)
class Preview:
    """How a file is shown: ``kind`` is one of image, audio, video, table, text, markdown, html, none."""

    kind: str
    text: str = ""
    markup: Markup | None = None
    heading: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""


def shown_type(path: str) -> str | None:
    """The type that a file is shown with in place, or ``None`` for one that is only to be kept."""
    suffix = PurePosixPath(path).suffix.lower()
    return {**IMAGES, **SOUNDS, **FILMS}.get(suffix)


def preview_of(path: str, stream: IO[bytes], size: int) -> Preview:
    """What to show of an open file."""
    suffix = PurePosixPath(path).suffix.lower()
    for kind, types in (("image", IMAGES), ("audio", SOUNDS), ("video", FILMS)):
        if suffix in types:
            return Preview(kind)
    if suffix in (".parquet", ".pq"):
        return _parquet(stream)
    data = stream.read(_MOST_TEXT)
    if b"\0" in data[:8192]:
        return Preview("none", note="This is no text.")
    text = data.decode("utf-8", "replace")
    note = f"The first {_MOST_TEXT // 1024} KiB of it." if size > _MOST_TEXT else ""
    if suffix in _TABLES:
        return _table(text, _TABLES[suffix], whole=not note)
    if suffix in _PAGES:
        return Preview("html")
    if suffix in (".md", ".markdown"):
        return Preview("markdown", markup=_markdown(text), note=note)
    if suffix == ".json" and not note:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            note = "This is not valid JSON."
    return Preview("text", text=text, note=note)


def _table(text: str, delimiter: str, *, whole: bool) -> Preview:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=delimiter):
            rows.append([cell[:_MOST_CELL] for cell in row[:_MOST_COLUMNS]])
            if len(rows) > _MOST_ROWS:
                break
    except csv.Error as error:
        return Preview("text", text=text, note=f"This cannot be read as a table: {error}.")
    more = len(rows) > _MOST_ROWS or not whole
    note = f"The first {len(rows[1 : _MOST_ROWS + 1])} rows." if more else ""
    return Preview("table", heading=rows[0] if rows else [], rows=rows[1 : _MOST_ROWS + 1], note=note)


def _parquet(stream: IO[bytes]) -> Preview:
    try:
        from pyarrow import parquet
    except ImportError:
        hint = "To see Parquet files as tables: `pip install pyarrow` where mlproj is installed."
        return Preview("none", note=hint)
    try:
        opened: Any = parquet.ParquetFile(stream)
        names = [str(name) for name in opened.schema_arrow.names][:_MOST_COLUMNS]
        batch = next(opened.iter_batches(batch_size=_MOST_ROWS, columns=names), None)
        records = batch.to_pylist() if batch is not None else []
        rows = [[str(record.get(name, ""))[:_MOST_CELL] for name in names] for record in records]
        total = opened.metadata.num_rows
    except Exception as error:  # whatever a damaged file makes of the reader
        return Preview("none", note=f"This cannot be read as Parquet: {error}")
    note = f"The first {len(rows)} of {total} rows." if total > len(rows) else f"{total} rows."
    return Preview("table", heading=names, rows=rows, note=note)


def _markdown(text: str) -> Markup:
    from markdown_it import MarkdownIt

    # Without HTML of the file's own; the addresses that scripts hide in are refused by the library.
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text))  # noqa: S704  the library escapes what is HTML in it
