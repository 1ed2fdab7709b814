"""Sending runs to a remote: only the objects that it lacks, and the run's manifest when all of them are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from mlproj.errors import MlprojError, SourceError
from mlproj.files import human_size, sha256_of_bytes
from mlproj.runs.record import RunRecord
from mlproj.sharing.contents import Contents, SharedFile, shared_record
from mlproj.sharing.manifests import (
    Manifest,
    NewerManifestError,
    RemoteFile,
    listing_of,
    manifest_of,
    parse_listing,
    parse_manifest,
    record_sha256,
)
from mlproj.sharing.opening import Storage
from mlproj.sharing.storage import (
    KnownObjects,
    manifest_ids,
    read_manifests,
    read_object,
    send_manifest,
    send_object,
    send_objects,
)
from mlproj.text import one_line, plural


@dataclass(frozen=True)
class Pushed:
    """What became of a run: ``sent`` is the number of objects that the remote lacked, ``bytes`` their size."""

    id: str
    what: Literal["new", "changed", "same"]
    sent: int = 0
    bytes: int = 0
    notices: tuple[str, ...] = ()


class Push:
    """Runs on their way to one remote, of which what is there is asked once.

    ``anew`` sends what is there already as well, in place of what may be damaged.
    """

    def __init__(self, storage: Storage, told: Callable[[str], None], *, anew: bool = False) -> None:
        self.storage, self.told, self.anew = storage, told, anew
        self.there = set(manifest_ids(storage))
        self.objects = KnownObjects(storage)

    def send(self, record: RunRecord, contents: Callable[[], AbstractContextManager[Contents]]) -> Pushed:
        """Send one run; ``contents`` is only asked when the remote has not got it as it is. Raises RemoteError."""
        known = self._known(record.id) if record.id in self.there else None
        is_there = known is not None and known.record_sha256 == record_sha256(shared_record(record))
        if is_there and not self.anew:
            return Pushed(record.id, "same")
        with contents() as shared:
            files: list[SharedFile | RemoteFile] = [*shared.files, *(self._kept(known, shared) if known else [])]
            listing = listing_of(files)
            sent = self._send_objects(record, shared.files, listing)
            send_manifest(self.storage, record.id, manifest_of(shared.record, files, listing))
        self.there.add(record.id)
        what: Literal["new", "changed"] = "new" if known is None else "changed"
        return Pushed(record.id, what, len(sent), sum(sent.values()), shared.notices)

    def _known(self, run_id: str) -> Manifest | None:
        content = read_manifests(self.storage, [run_id]).get(run_id)
        try:
            return None if content is None else parse_manifest(content, run_id)
        except NewerManifestError as error:
            if self.anew:
                return None
            remote = one_line(self.storage.remote.name)
            raise MlprojError(f"on the remote {remote} a newer mlproj wrote it", hint=error.hint) from None
        except SourceError:
            return None  # a damaged one is written anew

    def _send_objects(self, record: RunRecord, files: Sequence[SharedFile], listing: bytes) -> dict[str, int]:
        list_digest = sha256_of_bytes(listing)
        origins = {each.sha256: each.origin for each in files if not each.target}
        wanted = {each.sha256: each.size for each in files if not each.target} | {list_digest: len(listing)}
        missing = list(wanted) if self.anew else self.objects.missing(wanted)
        sizes = {digest: wanted[digest] for digest in missing}
        if missing:
            self.told(f"{record.id[:12]}: {plural(len(missing), 'file')}, {human_size(sum(sizes.values()))}")
        send_objects(self.storage, {digest: origins[digest] for digest in missing if digest in origins})
        if list_digest in sizes and list_digest not in origins:
            send_object(self.storage, list_digest, listing)
        self.objects.add(sizes)
        return sizes

    def _kept(self, known: Manifest, shared: Contents) -> list[RemoteFile]:
        """Files that the remote has of a run and this store has no more, such as a source that is gone."""
        listing = read_object(self.storage, known.files_sha256)
        if listing is None or sha256_of_bytes(listing) != known.files_sha256:
            return []
        folders = {each.path.split("/")[0] for each in shared.files}
        files = [each for each in parse_listing(listing, shared.record) if each.path not in shared.secret]
        kept = [each for each in files if each.path.split("/")[0] not in folders]
        gone = set(self.objects.missing({each.sha256: each.size for each in kept if not each.target}))
        return [each for each in kept if each.target or each.sha256 not in gone]
