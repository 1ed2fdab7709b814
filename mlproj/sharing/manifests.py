"""The manifest of a run on a remote: its record, and the list of its files, which is an object itself.

``{"version": 1, "record_sha256": …, "files": {"sha256": …, "size": …, "count": …, "bytes": …}, "record": {…}}``. Every
byte of a run is under a digest in it, the record too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlproj.errors import SourceError
from mlproj.files import dump_json, sha256_of_bytes
from mlproj.runs.record import RunRecord, to_json
from mlproj.sharing.arriving import checked_record, is_of_run
from mlproj.sharing.contents import SharedFile, record_bytes
from mlproj.text import one_line

VERSION = 1
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a run on a remote; a link has a target and no object."""

    path: str
    size: int
    sha256: str
    executable: bool = False
    target: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a manifest says of a run."""

    record: RunRecord
    record_sha256: str
    files_sha256: str
    files_size: int
    files: int
    bytes: int


class NewerManifestError(SourceError):
    """A manifest of a later form than this mlproj knows."""


def record_sha256(record: RunRecord) -> str:
    """The digest of a record as it is shared."""
    return sha256_of_bytes(record_bytes(record))


def listing_of(files: Sequence[SharedFile | RemoteFile]) -> bytes:
    """The list of a run's files, as the object that it is on the remote."""
    rows = []
    for each in sorted(files, key=lambda each: each.path):
        row: dict[str, Any] = {"path": each.path, "size": each.size, "sha256": each.sha256}
        row |= {"executable": True} if each.executable else {}
        rows.append(row | ({"target": each.target} if each.target else {}))
    return dump_json(rows).encode()


def manifest_of(record: RunRecord, files: Sequence[SharedFile | RemoteFile], listing: bytes) -> bytes:
    """The manifest of a run."""
    told = {
        "sha256": sha256_of_bytes(listing),
        "size": len(listing),
        "count": len(files),
        "bytes": sum(each.size for each in files),
    }
    mapping = {"version": VERSION, "record_sha256": record_sha256(record), "files": told, "record": to_json(record)}
    return dump_json(mapping).encode("utf-8", "backslashreplace")


def parse_manifest(content: bytes, run_id: str) -> Manifest:
    """The manifest in what came from a remote.

    Raises NewerManifestError for one that this mlproj cannot read, SourceError when it is damaged, or could do harm.
    """
    try:
        mapping = json.loads(content)
        if int(mapping["version"]) > VERSION:
            raise NewerManifestError("a newer mlproj wrote it", hint="Upgrade mlproj.")
        told, digest = mapping["files"], mapping["record_sha256"]
        record = checked_record(json.dumps(mapping["record"]).encode())
        numbers = [int(told[name]) for name in ("size", "count", "bytes")]
        files_sha256 = _checked_digest(told["sha256"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise SourceError("its manifest is damaged") from None
    if record_sha256(record) != digest or record.id != run_id:
        raise SourceError("its manifest is damaged: the record is not the one of its SHA-256")
    return Manifest(record, digest, files_sha256, *numbers)


def parse_listing(content: bytes, record: RunRecord) -> list[RemoteFile]:
    """The files of a run in their list, whose digest was checked. Raises SourceError for a name that no run has."""
    try:
        files = [_file(each) for each in json.loads(content)]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise SourceError("the list of its files is damaged") from None
    for each in files:
        if not is_of_run(each.path, record):
            raise SourceError(f"`{one_line(each.path)}` is no file of a run")
    return files


def _file(row: Mapping[str, Any]) -> RemoteFile:
    target = row.get("target", "")
    if not isinstance(row["path"], str) or not isinstance(target, str):
        raise ValueError
    digest = _checked_digest(row["sha256"])
    return RemoteFile(row["path"], int(row["size"]), digest, bool(row.get("executable")), target)


def _checked_digest(value: Any) -> str:
    if not isinstance(value, str) or _DIGEST.fullmatch(value) is None:
        raise ValueError
    return value
