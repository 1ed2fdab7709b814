"""Writing a pack: a project's files, locks and what is vendored, sealed, as one tar.zst that appears whole or not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from mlproj.errors import UsageError
from mlproj.files import dump_json
from mlproj.locks import try_claim, try_exclusive
from mlproj.packaging.behind import Behind
from mlproj.packaging.entries import Entry, open_tar, write_entries
from mlproj.sources.seal import ABOUT, ENDING, FORMAT, SIGNATURE, SUMS, sign, sums_text
from mlproj.sources.snapshot import Snapshot
from mlproj.text import one_line
from mlproj.version import __version__

# As the zstd program's own default; another one gives other bytes.
LEVEL = 3
_ENDINGS = (".tar.zst", ".tzst")


@dataclass(frozen=True)
class Pack:
    """What a pack is to hold besides the digests: its project, where that is from, its files."""

    project: str
    version: str | None
    snapshot: Snapshot
    entries: Sequence[Entry]
    vendored: Mapping[str, Any] = field(default_factory=dict)

    @property
    def default_name(self) -> str:
        """The name of its file: ``wine-1.2.mlpack.tar.zst``, by its commit or digest where it has no version."""
        identity = self.snapshot.commit or self.snapshot.digest or "0"
        dirty = "-dirty" if self.snapshot.dirty else ""
        return f"{_in_a_name(self.project)}-{_in_a_name(self.version or identity[:12] + dirty)}{ENDING}"


@dataclass(frozen=True)
class Written:
    """A pack that was written: where, its size in bytes, and how many files of the project are in it."""

    path: Path
    size: int
    files: int


def _in_a_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.") or "project"


def write_pack(
    pack: Pack, output: Path | None, key: Path | None, report: Callable[[str], None], *, threads: int = 0
) -> Written:
    """Write a pack to ``output``, a file or a folder to name one in; signed by ``key`` where that is given.

    With the same entries, and the same zstd library, it has the same bytes, however many ``threads`` compress it (0:
    one for each processor). A file of that name is replaced when the new one is whole.

    Raises ``UsageError`` for a place where none can be written, and where there is something else than a file.
    """
    path = _place(pack, output)
    with _part_of(path) as (part, stream):
        count = _write(pack, stream, key, report, threads or os.cpu_count() or 1)
        stream.flush()
        os.fsync(stream.fileno())
        part.replace(path)
    return Written(path, path.stat().st_size, count)


def _place(pack: Pack, output: Path | None) -> Path:
    path = Path(pack.default_name) if output is None else output
    if path.is_dir():
        path = path / pack.default_name
    if not path.name.endswith(_ENDINGS):
        hint = f"Call it `{one_line(path.name)}{ENDING}`."
        raise UsageError(f"a pack is a tar.zst, and `{one_line(path.name)}` is not called so", hint=hint)
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder `{one_line(path.parent)}` to write the pack in")
    if path.is_symlink():
        hint = f"Write to what it leads to: `-o {one_line(path.resolve())}`."
        raise UsageError(f"`{one_line(path)}` is a link, which a pack would replace", hint=hint)
    if path.exists() and not path.is_file():
        raise UsageError(f"`{one_line(path)}` is there and no file, so that no pack replaces it")
    return path.parent.resolve() / path.name


@contextmanager
def _part_of(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A file beside ``path`` to write to, which is gone in the end; those of writers that died are removed first."""
    sweep_parts(path)
    part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        held = try_claim(part)
    except OSError as error:
        raise UsageError(f"no pack can be written in `{one_line(path.parent)}`: {error.strerror}") from None
    assert held is not None  # nobody else knows its name
    try:
        with part.open("r+b") as stream:
            yield part, stream
    finally:
        part.unlink(missing_ok=True)
        held.release()


def sweep_parts(path: Path) -> None:
    """Remove what killed processes left of packs of this name."""
    with suppress(OSError):
        for part in path.parent.iterdir():
            if re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part", part.name):
                held = try_exclusive(part)
                if held is not None:
                    part.unlink(missing_ok=True)
                    held.release()


def _write(pack: Pack, stream: IO[bytes], key: Path | None, report: Callable[[str], None], threads: int) -> int:
    import zstandard

    total, done, told = sum(entry.size for entry in pack.entries) or 1, 0, -1

    def progress(size: int) -> None:
        nonlocal done, told
        done += size
        if (percent := done * 100 // total) != told:
            told = percent
            report(f"packing {percent}%")

    # With threads the bytes are those of any number of them, but not those of none at all.
    compressor = zstandard.ZstdCompressor(level=LEVEL, threads=threads, write_checksum=True)
    with (
        compressor.stream_writer(stream, closefd=False) as zstd,
        Behind(zstd.write) as behind,
        open_tar(cast("IO[bytes]", behind)) as tar,
    ):
        # A lone surrogate stands for a byte that is not UTF-8, of a file's name; in JSON its escape gives it back.
        about = Entry(ABOUT, content=dump_json(_about(pack)).encode("utf-8", "backslashreplace"))
        entries = sorted(pack.entries, key=lambda entry: os.fsencode(entry.name))
        digests = write_entries(tar, [*entries, about], progress)
        sums = sums_text(digests)
        last = [Entry(SUMS, content=sums)]
        if key is not None:
            last.append(Entry(SIGNATURE, content=sign(sums, key)))
        write_entries(tar, last, progress)
    return len(pack.entries)


def _about(pack: Pack) -> dict[str, Any]:
    snapshot = pack.snapshot
    remote = snapshot.remote
    if remote is not None and (remote.startswith(("/", ".", "file:")) or snapshot.kind == "archive"):
        remote = None  # a place on the machine that it was packed on
    return {
        "format": FORMAT,
        "mlproj": __version__,
        "project": pack.project,
        "version": pack.version,
        "source": {
            "kind": snapshot.kind,
            "commit": snapshot.commit,
            "dirty": snapshot.dirty,
            "digest": snapshot.digest,
            "remote": remote,
            "subdirectory": snapshot.subdirectory,
        },
        "vendored": dict(pack.vendored),
        "links": {entry.name: entry.target for entry in pack.entries if entry.target is not None},
        "executables": [entry.name for entry in pack.entries if entry.executable],
    }
