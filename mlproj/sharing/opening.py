"""Opening a remote by fsspec, and saying in a line what its storage answers when it does not do what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.errors import MlprojError
from mlproj.sharing.remotes import OBJECT_STORAGE, SCHEMES, SIGN_IN, Remote
from mlproj.text import brief, one_line

_CONNECTIONS = 32
_LONGEST_REASON = 500
# As Python, botocore, google-auth, azure-core, paramiko and (of what it cannot make sense of) adlfs call it. None of
# them is imported for it.
_REFUSALS = frozenset(
    ("PermissionError", "NoCredentialsError", "GoogleAuthError", "ClientAuthenticationError", "AuthenticationException")
    + ("ValueError",)
)


class RemoteError(MlprojError):
    """A remote could not be reached, read or written, or what is on it is damaged."""


@dataclass(frozen=True)
class Storage:
    """An open remote: fsspec's file system, and the folder on it."""

    remote: Remote
    filesystem: Any
    root: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine."""
        return "file" in self.filesystem.protocol


def open_storage(remote: Remote) -> Storage:
    """Open a remote. Raises RemoteError when what its kind needs is not installed or configured."""
    scheme = scheme_of(remote)
    try:
        with asked(remote):
            filesystem, root = _opened(remote.url, scheme)
    except ImportError as error:
        extra = SCHEMES.get(scheme)
        hint = f"Install what it needs: pip install 'mlproj[{extra}]'" if extra else None
        raise RemoteError(f"cannot open {one_line(remote.url)}: {one_line(error)}", hint=hint) from None
    if scheme == "sftp":
        _check_host_key(remote, filesystem)
    return Storage(remote, filesystem, root.rstrip("/"))


def scheme_of(remote: Remote) -> str:
    """The scheme of a remote's URL; ``file`` for a folder's path."""
    return remote.url.partition("://")[0].lower() if "://" in remote.url else "file"


def _opened(url: str, scheme: str) -> tuple[Any, str]:
    options = _options(scheme)
    if scheme == "gs":
        # The class that gcsfs has registered asks Google by gRPC of which kind the bucket is, even where another server
        # stands in for it; it asks anew for every object where it may not know, and tells each time.
        import logging

        from gcsfs.core import GCSFileSystem

        # It logs what it raises, with a traceback, which would be printed where nothing takes the log.
        logging.getLogger("gcsfs").addHandler(logging.NullHandler())
        filesystem = GCSFileSystem(**options)
        # Later it would ask half a minute long, again and again, with what is refused.
        filesystem.credentials.maybe_refresh()
        return filesystem, url.partition("://")[2]
    from fsspec.core import url_to_fs

    filesystem, root = url_to_fs(url, **options)
    return filesystem, root


def _options(scheme: str) -> dict[str, Any]:
    if scheme == "file":
        return {}
    # What others do there meanwhile has to be seen. That of sftp keeps no listings, and hands what it does not know on.
    options: dict[str, Any] = {"skip_instance_cache": True}
    options |= {} if scheme == "sftp" else {"use_listings_cache": False}
    if scheme == "s3":
        from fsspec.config import conf

        # botocore's own are 10, which many small files wait for; what the user configured stays.
        configured = conf.get("s3", {}).get("config_kwargs", {})
        options["config_kwargs"] = {"max_pool_connections": _CONNECTIONS, **configured}
    return options


def _check_host_key(remote: Remote, filesystem: Any) -> None:
    """Refuse a machine that ``ssh`` would not know: fsspec takes any for the one that is meant.

    Nothing has been sent by then but what a public key proves.
    """
    import paramiko

    host, port = filesystem.host, int(filesystem.ssh_kwargs.get("port") or 22)
    name = host if port == 22 else f"[{host}]:{port}"
    known = paramiko.HostKeys()
    for path in (Path("/etc/ssh/ssh_known_hosts"), Path("~/.ssh/known_hosts").expanduser()):
        with suppress(OSError):
            known.load(str(path))
    with asked(remote):
        key = filesystem.client.get_transport().get_remote_server_key()
    if not known.check(name, key):
        filesystem.client.close()
        hint = f"`ssh-keyscan -p {port} {one_line(host)}` prints the line; compare it with what its owner says."
        raise RemoteError(f"the key of {one_line(name)} ({key.get_name()}) is not in ~/.ssh/known_hosts", hint=hint)


def require_bucket(storage: Storage) -> None:
    """Refuse a bucket that is not there: in a listing it looks like one with nothing in it. Raises RemoteError."""
    if scheme_of(storage.remote) not in OBJECT_STORAGE:
        return
    bucket = storage.root.partition("/")[0]
    with asked(storage.remote):
        try:
            storage.filesystem.ls(bucket, detail=False)
        except FileNotFoundError:
            hint = "Make it with the storage's own tools, or mend the remote's address: mlproj makes none."
            shown = one_line(storage.remote.name)
            raise RemoteError(
                f"the remote {shown}: the bucket `{one_line(bucket)}` does not exist", hint=hint
            ) from None


def require_folder(storage: Storage) -> None:
    """Refuse a folder, of this machine or by sftp, that is not there: it is mistyped, or not mounted.

    Raises RemoteError.
    """
    if scheme_of(storage.remote) in OBJECT_STORAGE:
        return
    with asked(storage.remote):
        is_there = storage.filesystem.isdir(storage.root or "/")
    if not is_there:
        hint = "Mend its address, or have the disk mounted; `mlproj push` makes the folder."
        raise RemoteError(f"there is no folder {one_line(storage.remote.url)}", hint=hint)


@contextmanager
def asked(remote: Remote) -> Iterator[None]:
    """Say what went wrong with a remote in one line: file systems raise whatever their libraries do."""
    try:
        yield
    except (MlprojError, ImportError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise RemoteError(f"the remote {one_line(remote.name)}: {_reason(error)}", hint=_hint(remote, error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"there is no {one_line(error.filename)}"
    # Behind the first lines Azure's have the whole answer, in XML, or all ways to sign in that were tried.
    said = str(error).strip().partition("\nRequestId:")[0].partition("\nAttempted credentials:")[0]
    reason = brief(" ".join(said.split()), _LONGEST_REASON) or type(error).__name__
    return reason if isinstance(error, (OSError, RuntimeError)) else f"{type(error).__name__}: {reason}"


def _hint(remote: Remote, error: Exception) -> str:
    """What to do: sign in where the storage does not know who asks, or lets them do nothing; else try again."""
    scheme = scheme_of(remote)
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    kinds = {each.__name__ for each in type(error).__mro__}
    # gcsfs has no kind of error for 403.
    refused = status in (401, 403) or not kinds.isdisjoint(_REFUSALS) or str(error).startswith("Forbidden: ")
    if refused and scheme in SIGN_IN:
        return f"Who you are is said by {SIGN_IN[scheme]}; what you may do there, by its owner."
    if isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError)):
        return "What is at the address is no remote: mend it, or name another."
    return "Nothing half-sent counts: the same command goes on where this one ended."
