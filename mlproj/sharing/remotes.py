"""Where runs are shared: remotes by their names, in ``remotes.toml`` in the store's folder, as git has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlproj import locks
from mlproj.errors import StoreError, UsageError
from mlproj.files import write_atomically
from mlproj.runs.database import explained
from mlproj.text import did_you_mean, one_line
from mlproj.urls import secrets_of, without_credentials

# Scheme → the extra of mlproj that brings what it needs, if it needs something.
SCHEMES: dict[str, str | None] = {"file": None, "s3": "s3", "gs": "gs", "az": "az", "abfs": "az", "sftp": "sftp"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CONFIG = "remotes.toml"
# Those with buckets, which Azure calls containers.
OBJECT_STORAGE = frozenset(("s3", "gs", "az", "abfs"))
_AZURE = "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or `az login`"
# Scheme → what says who the user is there.
SIGN_IN = {
    "s3": "AWS_PROFILE, or AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
    "az": _AZURE,
    "abfs": _AZURE,
    "sftp": "ssh's agent, or a key in ~/.ssh",
}


@dataclass(frozen=True)
class Remote:
    """A place that several stores share runs by: a folder, or what fsspec reaches by a URL."""

    name: str
    url: str


def remotes_of(store: Path) -> dict[str, Remote]:
    """The remotes of a store, by their names. Raises StoreError when their file cannot be read."""
    from mlproj.toml import parse_toml

    path = store / _CONFIG
    if not path.exists():
        return {}
    try:
        with explained(store):
            listed = parse_toml(path.read_text(encoding="utf-8")).get("remotes", {})
        return {name: Remote(name, str(each["url"])) for name, each in listed.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        hint = "Mend it, or remove it and add the remotes anew."
        raise StoreError(f"{one_line(path)} is damaged: {one_line(error)}", hint=hint) from None


def add_remote(store: Path, name: str, url: str) -> Remote:
    """Note a remote. Raises UsageError for a name that is taken or impossible, and for a URL that cannot be one."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"`{one_line(name)}` cannot be a remote's name", hint="Letters, digits, `.`, `_` and `-` can: `lab`."
        )
    remote = Remote(name, checked_url(url))
    with explained(store):
        store.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(store / "remotes.lock"):
            known = remotes_of(store)
            if name in known:
                hint = f"`mlproj remote remove {name}` first, or choose another name."
                raise UsageError(f"there is a remote `{name}` already: {one_line(known[name].url)}", hint=hint)
            _write(store, {**known, name: remote})
    return remote


def remove_remote(store: Path, name: str) -> None:
    """Forget a remote; what is on it stays. Raises UsageError when there is none of the name."""
    with explained(store), locks.exclusive(store / "remotes.lock"):
        known = remotes_of(store)
        _found(known, name)
        _write(store, {each: remote for each, remote in known.items() if each != name})


def remote_named(store: Path, name: str) -> Remote:
    """The remote of a name, or of a URL or a folder given in its place. Raises UsageError when there is none."""
    known = remotes_of(store)
    if name not in known and ("://" in name or name.startswith(("/", "./", "../", "~"))):
        url = checked_url(name)
        return Remote(one_line(url), url)
    return _found(known, name)


def _found(known: dict[str, Remote], name: str) -> Remote:
    if name in known:
        return known[name]
    names = ", ".join(f"`{each}`" for each in known) or "none yet: `mlproj remote add NAME URL`"
    raise UsageError(
        f"there is no remote `{one_line(name)}`.{did_you_mean(name, known)}", hint=f"The remotes are {names}."
    )


def _write(store: Path, remotes: dict[str, Remote]) -> None:
    from mlproj.toml import dump_toml

    document = {"remotes": {name: {"url": remotes[name].url} for name in sorted(remotes)}}
    write_atomically(store / _CONFIG, dump_toml(document))


def checked_url(url: str) -> str:
    """The URL of a remote, a folder made absolute. Raises UsageError for what cannot be one, or holds credentials."""
    if any(character in url for character in "\x00\n\r") or not url.strip():
        raise UsageError(f"`{one_line(url)}` is no address of a remote")
    if "://" not in url:
        try:
            folder = Path(url).expanduser().absolute()
        except (OSError, RuntimeError):
            hint = "Give the folder's whole path: it is reckoned from the current folder or a home that is not there."
            raise UsageError(f"`{one_line(url)}` is no folder that can be found", hint=hint) from None
        # `..` cannot be taken out by its text alone where a link is on the way.
        return str(folder.resolve() if ".." in folder.parts else folder)
    try:
        parts = urlsplit(url)
        scheme, credentials = parts.scheme.lower(), parts.password or secrets_of(url)
    except ValueError:
        raise UsageError(f"`{one_line(url)}` is no URL") from None
    shown = one_line(without_credentials(url))
    if scheme not in SCHEMES:
        hint = f"A remote is a folder, or a URL of one of these: {', '.join(f'{each}://' for each in SCHEMES)}."
        raise UsageError(f"`{shown}` cannot be a remote: `{one_line(scheme)}` is not known", hint=hint)
    # With ssh the name of a user is where one goes, not who one is.
    if credentials and (scheme != "sftp" or parts.password):
        who = SIGN_IN.get(scheme, "the user of this machine")
        hint = f"Who you are is said by {who}, or by fsspec's configuration."
        raise UsageError(f"the address {shown} holds credentials, which are not kept", hint=hint)
    if parts.query or parts.fragment:
        raise UsageError(f"the address {shown} has more behind its path, which a remote's cannot")
    if scheme == "file":
        return str(Path(parts.path).absolute())
    if not parts.netloc:
        raise UsageError(f"`{shown}` names no {'machine' if scheme == 'sftp' else 'bucket'}")
    return url.rstrip("/")
