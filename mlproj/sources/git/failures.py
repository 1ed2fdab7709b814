"""What git says when it fails, told to people: without credentials, and with what there is to do about it."""

from __future__ import annotations

import re

from mlproj.errors import SourceError
from mlproj.sources.git.addresses import Address
from mlproj.sources.git.process import GitFailed, git_version
from mlproj.text import one_line

_UNREACHABLE = re.compile(
    r"(?i)could not resolve (host|proxy)|name or service not known|temporary failure in name resolution|"
    r"connection (refused|timed out|reset|closed)|failed to connect|couldn't connect|network is unreachable|"
    r"no route to host|operation (timed out|too slow)|timed out|early eof|the remote end hung up|empty reply|"
    r"returned error: 5\d\d|unable to look up|recv failure|send failure|network is down|nodename nor servname"
)
_OLDEST = (2, 31)  # the first that is configured by variables, by which mlproj keeps it from doing harm
_ADVICE = (
    (
        (
            r"(?i)authentication failed|could not read (username|password)|returned error: 40[13]|"
            r"terminal prompts disabled|permission denied \(|invalid credentials|access denied|askpass"
        ),
        "the server wants credentials",
        "Give them to git by a credential helper or an ssh key, or write https://USER:TOKEN@… (never recorded).",
    ),
    (
        r"(?i)host key verification failed|no matching host key|remote host identification has changed",
        "ssh does not know the server's key",
        "Connect to it once by `ssh`, compare the key that it shows, and run this again.",
    ),
    (
        (
            r"(?i)does not appear to be a git repository|not found|returned error: 404|"
            r"no such file or directory|not a git repository|not valid: is this a git repository"
        ),
        "there is no such repository, or it does not show itself without credentials",
        "Is the address right? A private repository needs credentials that git finds, or https://USER:TOKEN@….",
    ),
    (
        r"(?i)ssl certificate|certificate (verify|problem)|server certificate",
        "the server's certificate is not trusted",
        "git's `http.sslCAInfo` names the certificates to trust.",
    ),
    (
        r"(?i)fsck error|fsck-objects|index-pack failed|contains '\.git'|gitmodules(Url|Path|Name|Symlink|Parse)",
        "git refuses what it holds",
        "Its objects are damaged, or made to do harm; `git fsck` in a clone of it tells which.",
    ),
    (r"(?i)no space left on device|disk quota", "the disk is full", "`MLPROJ_CACHE` may name a folder elsewhere."),
    (
        r"(?i)dubious ownership",
        "it belongs to another user of this machine",
        "`git config --global --add safe.directory FOLDER` trusts it.",
    ),
    (
        r"(?i)smudge filter lfs failed|git-lfs filter-process",
        "files kept by Git LFS could not be had",
        "`GIT_LFS_SKIP_SMUDGE=1` runs it with their pointers in place of the content.",
    ),
    (r"(?i)transport '.*' not allowed", "its transport is not one that is fetched", None),
    (
        r"(?i)mismatched algorithms|unsupported object format|unknown object format|unknown repository extension",
        "this git does not know its object format",
        "A newer git reads SHA-256 repositories.",
    ),
)


def is_unreachable(failure: GitFailed) -> bool:
    """Whether it was the network that failed, and not the repository that refused."""
    # A server that closes the line after having refused says both.
    refused = re.search(_ADVICE[0][0], failure.said) or re.search(_ADVICE[1][0], failure.said)
    return refused is None and _UNREACHABLE.search(failure.said) is not None


def reason_of(failure: GitFailed, address: Address) -> str:
    """Git's own words, in one line, without credentials."""
    lines = [line.strip() for line in failure.said.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:", "ssh:", "remote:"))] or lines
    # What git-lfs and the check of objects found says more than that they failed.
    telling = [line for line in lines if line.startswith(("Error downloading object:", "error: object "))] or telling
    telling.sort(key=lambda line: not line.startswith(("fatal:", "ssh:", "ERROR:", "remote: ERROR")))
    said = re.sub(r"^(remote: )?(fatal|error|ERROR): ", "", telling[0]) if telling else "git gave no reason"
    return redacted(one_line(said[:500]), address)


def redacted(text: str, address: Address) -> str:
    """``text`` with no credentials of the address, nor of any other URL, in it."""
    for secret in address.secrets:
        text = text.replace(secret, "•••")
    # What the user's own `insteadOf` puts into an address is no less secret.
    return re.sub(r"(\w://)[^/@\s']*:[^/@\s']*@|(https?://)[^/@\s']*@", r"\1\2", text)


def explained(failure: GitFailed, address: Address) -> SourceError:
    """The error to raise for a git that failed with ``address``: what was wrong, and what to do."""
    reason = reason_of(failure, address)
    shown = one_line(address.url)
    version = git_version()
    if version < _OLDEST:
        oldest, found = (".".join(map(str, each)) for each in (_OLDEST, version))
        return SourceError(f"`{shown}` cannot be fetched by git {found}: git {oldest} or newer is needed ({reason})")
    if not is_unreachable(failure):
        for pattern, meaning, hint in _ADVICE:
            if re.search(pattern, failure.said):
                return SourceError(f"`{shown}` cannot be fetched: {meaning} (git: {reason})", hint=hint)
        return SourceError(f"`{shown}` cannot be fetched: {reason}")
    hint = "Is there a network? Projects that were fetched before run with --offline."
    return SourceError(f"`{shown}` cannot be reached: {reason}", hint=hint)
