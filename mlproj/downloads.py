"""Fetching a URL once, into a cache of files named by their content: for `path` parameters and archives of projects."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from mlproj.errors import MlprojError, UsageError
from mlproj.files import CHUNK, sha256_of_text, write_atomically
from mlproj.locks import exclusive
from mlproj.text import one_line
from mlproj.urls import secrets_of, without_credentials

SCHEMES = ("http", "https", "s3", "gs", "az", "abfs", "hf", "file", "memory")
Progress = Callable[[int, "int | None"], None]


class FetchError(MlprojError):
    """A URL that could not be fetched, or whose content is not the one declared."""


def fetch(url: str, sha256: str | None, cache: Path, progress: Progress, *, refresh: bool, offline: bool) -> Path:
    """The local file that holds the content of ``url``, fetched unless it was before.

    With ``sha256`` a file of that digest in the cache is used whatever URL it came from, and fetched content must
    have it. ``progress`` is told the bytes that have come and the total, where known. ``refresh`` asks again;
    ``offline`` takes what was fetched before, or fails.

    Raises ``FetchError``, and ``UsageError`` for a scheme that is not fetched.
    """
    shown = one_line(without_credentials(url))
    scheme = urlsplit(url).scheme.lower()
    if scheme not in SCHEMES:
        raise UsageError(f"cannot fetch `{shown}`: `{scheme}` is none of {', '.join(SCHEMES)}")
    name = _file_name(url)
    memo = cache / "urls" / f"{sha256_of_text(url)}.json"
    with exclusive(memo.with_suffix(".lock")):
        known = sha256 or (None if refresh and not offline else _remembered(memo))
        if known is not None and (kept := _kept(cache, known)) is not None:
            return kept
        if offline:
            raise FetchError(f"{shown} was not fetched before, and --offline forbids to fetch it now")
        digest, path = _download(url, shown, cache, name, progress, sha256)
        write_atomically(memo, json.dumps({"url": without_credentials(url), "sha256": digest}))
        return path


def _file_name(url: str) -> str:
    name = PurePosixPath(urlsplit(url).path).name
    return name if name not in ("", ".", "..") and "\x00" not in name and len(name) < 200 else "content"


def _remembered(memo: Path) -> str | None:
    try:
        digest = json.loads(memo.read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return digest if isinstance(digest, str) else None


def _kept(cache: Path, digest: str) -> Path | None:
    folder = cache / "files" / digest
    return next(iter(sorted(folder.iterdir())), None) if folder.is_dir() else None


def _refuse_special(url: str, shown: str) -> None:
    """Refuse a path of this machine that is no file: reading a pipe would wait for ever. Raises ``FetchError``."""
    if urlsplit(url).scheme.lower() != "file":
        return
    from fsspec.core import url_to_fs

    path = Path(url_to_fs(url)[1])
    if path.exists() and not path.is_file():
        raise FetchError(f"cannot fetch {shown}: it is no regular file")


def _download(
    url: str, shown: str, cache: Path, name: str, progress: Progress, expected: str | None
) -> tuple[str, Path]:
    import fsspec

    _refuse_special(url, shown)
    scratch_folder = cache / "files" / f".{os.getpid()}-{os.urandom(4).hex()}.part"
    scratch_folder.mkdir(parents=True, exist_ok=True)
    scratch = scratch_folder / name
    hashed = hashlib.sha256()
    try:
        with fsspec.open(url, "rb") as reader, scratch.open("wb") as writer:
            total = getattr(reader, "size", None)
            done = 0
            while chunk := reader.read(CHUNK):
                hashed.update(chunk)
                writer.write(chunk)
                done += len(chunk)
                progress(done, total if isinstance(total, int) else None)
        digest = hashed.hexdigest()
        if expected is not None and digest != expected:
            raise FetchError(f"{shown} has the SHA-256 {digest}; the manifest expects {expected}")
        scratch.chmod(0o444)
        folder = cache / "files" / digest
        if not folder.is_dir():
            scratch_folder.rename(folder)
    except (MlprojError, KeyboardInterrupt):
        raise
    except ImportError as error:
        extra = {"gs": "gs", "az": "az", "abfs": "az", "s3": "s3", "hf": "hf"}.get(urlsplit(url).scheme.lower())
        package = f"mlproj[{extra}]" if extra else "fsspec[http]"
        hint = f"Install what it needs: pip install '{package}'"
        raise FetchError(f"cannot fetch {shown}: {one_line(error)}", hint=hint) from None
    except Exception as error:  # fsspec's file systems raise whatever their client libraries do
        cause = error.__cause__ or error
        reason = f"{type(cause).__name__}: {one_line(cause)}".replace(one_line(url), shown)
        if isinstance(cause, FileNotFoundError):
            reason = "there is no such file"
        for secret in secrets_of(url):
            reason = reason.replace(secret, "•••") if len(secret) > 3 else reason
        raise FetchError(f"cannot fetch {shown}: {reason}") from None
    finally:
        scratch.unlink(missing_ok=True)
        if scratch_folder.is_dir():
            scratch_folder.rmdir()
    kept = _kept(cache, digest)
    assert kept is not None
    return digest, kept
