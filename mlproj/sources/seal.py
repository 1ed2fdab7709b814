"""The seal of a pack: the list of its files' digests in its folder ``.mlpack``, and the signature of that list.

``mlproj pack`` writes it (``mlproj.packaging``), and an archive that has one is compared with it as it is unpacked.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlproj.errors import MlprojError, SourceError, UsageError
from mlproj.files import sha256_of_file
from mlproj.text import one_line

FOLDER = ".mlpack"
ABOUT = f"{FOLDER}/pack.json"
SUMS = f"{FOLDER}/SHA256SUMS"
SIGNATURE = f"{SUMS}.sig"
ENDING = ".mlpack.tar.zst"
FORMAT = 1
# What a signature is for, so that one made for a git commit, say, is none of a pack (ssh-keygen(1), PROTOCOL.sshsig).
_NAMESPACE = "mlpack"
# As sha256sum writes it: the digest, a blank, a blank or an asterisk, the name.
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_MOST_TOLD = 10


def sums_text(digests: Mapping[str, str]) -> bytes:
    """The list of digests in sha256sum's format, by name: what ``sha256sum --check`` reads.

    The names have to be such as archives may have: without line breaks and backslashes, which that format escapes.
    """
    lines = (f"{digests[name]}  {name}\n" for name in sorted(digests))
    return "".join(lines).encode("utf-8", "surrogateescape")


def is_sealed(folder: Path) -> bool:
    """Whether a folder that an archive was unpacked to has a list of digests."""
    return (folder / SUMS).is_file()


def has_signature(folder: Path) -> bool:
    """Whether an unpacked pack has something in the place of a signature: ``check_seal`` says whether it is good."""
    return (folder / SIGNATURE).is_file()


def check_seal(folder: Path, allowed_signers: Path | None) -> str | None:
    """Compare an unpacked pack with its list of digests; gives who signed it, where ``allowed_signers`` is given.

    ``allowed_signers`` is a file in ssh's format (ssh-keygen(1), ALLOWED SIGNERS): without it no signature is needed,
    and none is looked at.

    Raises ``SourceError`` naming every file that is changed, missing or added, and for a signature that is missing or
    by nobody who may sign.
    """
    if not is_sealed(folder) or (folder / SUMS).is_symlink() or (folder / FOLDER).is_symlink():
        raise SourceError(f"it has no list of digests ({SUMS}), so it is no pack", hint=_GET_AGAIN)
    listed = (folder / SUMS).read_bytes()
    signer = None if allowed_signers is None else _signer(folder, listed, allowed_signers)
    digests = _read_sums(listed)
    about = _read_about(folder, digests)
    problems = [f"{what}: {one_line(name)}" for what, name in sorted(_differences(folder, digests, about))]
    if problems:
        more = [f"… and {len(problems) - _MOST_TOLD} more"] if len(problems) > _MOST_TOLD else []
        told = "\n".join(f"  {each}" for each in [*problems[:_MOST_TOLD], *more])
        raise SourceError(f"it is not what was packed:\n{told}", hint=_GET_AGAIN)
    return signer


_GET_AGAIN = "Get the pack again from who made it; nothing of it was run."


def about_pack(folder: Path) -> dict[str, Any]:
    """What an unpacked pack, which was checked, says of itself (``pack.json``)."""
    about: dict[str, Any] = json.loads((folder / ABOUT).read_bytes())
    return about


def _read_sums(content: bytes) -> dict[str, str]:
    digests: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").split("\n")[:-1], 1):
        found = _LINE.fullmatch(line)
        if found is None or found[2] in digests:
            raise SourceError(f"its {SUMS} cannot be read: line {number} is `{one_line(line[:100])}`", hint=_GET_AGAIN)
        digests[found[2]] = found[1]
    return digests


def _read_about(folder: Path, digests: Mapping[str, str]) -> dict[str, Any]:
    """``pack.json``, whose digest is compared before it is read."""
    path = folder / ABOUT
    if ABOUT not in digests or path.is_symlink() or not path.is_file() or sha256_of_file(path) != digests[ABOUT]:
        raise SourceError(f"it is not what was packed:\n  changed: {ABOUT}", hint=_GET_AGAIN)
    try:
        about = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SourceError(f"its {ABOUT} cannot be read: {one_line(error)}", hint=_GET_AGAIN) from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        said = one_line(about.get("format")) if isinstance(about, dict) else "none"
        raise SourceError(f"it is a pack of the format {said}; this mlproj reads {FORMAT}", hint="A newer one may.")
    links, executables = about.get("links"), about.get("executables")
    if not (
        isinstance(links, dict)
        and isinstance(executables, list)
        and all(isinstance(each, str) for each in (*links.values(), *executables))
    ):
        raise SourceError(f"its {ABOUT} does not say which files are links and programs", hint=_GET_AGAIN)
    return about


def _differences(folder: Path, digests: Mapping[str, str], about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    links, executables = about["links"], set(about["executables"])
    left = {*digests, *links}
    for name, status in _files(folder):
        path = folder / name
        if name in (SUMS, SIGNATURE) and stat.S_ISREG(status.st_mode):
            continue
        if name not in left:
            yield "added", name
            continue
        left.discard(name)
        if stat.S_ISLNK(status.st_mode):
            same = name in links and os.fspath(path.readlink()) == links[name]
        else:
            is_executable = bool(status.st_mode & stat.S_IXUSR)
            same = name in digests and is_executable == (name in executables) and sha256_of_file(path) == digests[name]
        if not same:
            yield "changed", name
    for name in left:
        yield "missing", name


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    pending = [""]
    while pending:
        inside = pending.pop()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(name)
                else:
                    yield name, entry.stat(follow_symlinks=False)


def sign(content: bytes, key: Path) -> bytes:
    """The signature of ``content`` by an ssh key: a private one, or a public one whose other half an agent has.

    Raises ``UsageError`` when ssh cannot sign with it.
    """
    if not key.is_file():
        raise UsageError(f"there is no key `{one_line(key)}` to sign with")
    done = _ssh_keygen(["-Y", "sign", "-n", _NAMESPACE, "-f", str(key.absolute())], content)
    if done.returncode != 0 or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise UsageError(f"`{one_line(key)}` does not sign: {_said(done)}", hint="It takes a key as ssh uses it.")
    return done.stdout


def _signer(folder: Path, content: bytes, allowed: Path) -> str:
    path = folder / SIGNATURE
    if not allowed.is_file():
        raise SourceError(f"there is no file `{one_line(allowed)}` of who may sign packs")
    if path.is_symlink() or not path.is_file():
        hint = "`mlproj pack --sign KEY` signs one; without --allowed-signers none is needed."
        raise SourceError(f"it is not signed, and `{one_line(allowed)}` says who may sign packs", hint=hint)
    files = ["-s", str(path), "-f", str(allowed.absolute())]
    found = _ssh_keygen(["-Y", "find-principals", *files], b"")
    said = _said(found)
    for principal in found.stdout.decode("utf-8", "replace").splitlines() if found.returncode == 0 else ():
        done = _ssh_keygen(["-Y", "verify", "-n", _NAMESPACE, "-I", principal, *files], content)
        if done.returncode == 0:
            return principal
        said = _said(done)
    hint = "Somebody else signed it, or it was changed since. Nothing of it was run."
    raise SourceError(f"its signature is by nobody whom `{one_line(allowed)}` names: {said}", hint=hint)


def _ssh_keygen(arguments: Iterable[str], content: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *arguments], input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise MlprojError(
            "signatures are made and checked by ssh-keygen, which is not installed", hint="It comes with OpenSSH."
        ) from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace").strip().splitlines()
    return one_line(lines[-1].strip()) if lines else f"ssh-keygen ended with {done.returncode}"
