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
_SSH_HINT = "Is the address right, and a key that the server knows among those that ssh offers (`ssh-add -l`)?"
_SSH_PROSE = re.compile(
    r"Could not read from remote repository|Please make sure you have|and the repository exists|^[@*]|^(Warning|hint):|"
    r"^Cloning into|^debug"
)
_LFS = re.compile(r"(?i)smudge filter lfs failed|git-lfs filter-process|Error downloading object:")
_OLDEST = (2, 31)  # the first that is configured by variables, by which mlproj keeps it from doing harm
_CREDENTIALS_WANTED = (
    r"(?i)authentication failed|could not read (username|password)|returned error: 40[13]|"
    r"terminal prompts disabled|permission denied \(|invalid credentials|access denied|askpass"
)
_KEY_UNKNOWN = r"(?i)host key verification failed|no matching host key|remote host identification has changed"
_ADVICE = (
    (
        (
            r"(?i)no space left on device|disk quota|unable to write (file|new index|sha1|loose object)|"
            r"sha1 file '.*' write error"
        ),
        "its files could not be written: the disk is full, or takes none",
        "`MLPROJ_CACHE` may name a folder elsewhere.",
    ),
    (
        r"(?i)bad config (line|file|variable)|bad (numeric|boolean) config|unable to (access|parse) '[^']*gitconfig",
        "git's own configuration cannot be read",
        "`git config --list --show-origin` tells more; nothing can be fetched until it is mended.",
    ),
    (
        _CREDENTIALS_WANTED,
        "the server wants credentials",
        "Give them to git by a credential helper or an ssh key, or write https://USER:TOKEN@… (never recorded).",
    ),
    (
        _KEY_UNKNOWN,
        "ssh does not know the server's key",
        "Connect to it once by `ssh`, compare the key that it shows, and run this again.",
    ),
    (
        r"(?i)(smudge|clean) filter .* failed|external filter",
        "a filter that git is configured to use failed",
        "`git config --list --show-origin` tells which; a `filter.NAME.required` makes it one that must not fail.",
    ),
    (
        r"(?i)not valid: is this a git repository|invalid (content-type|response)|unexpected content-type",
        "what answers there is no git server",
        "It may be a login page, or a proxy; or the address is that of a page, and not of a repository.",
    ),
    (
        (
            r"(?i)does not appear to be a git repository|not found|returned error: 404|"
            r"no such file or directory|not a git repository"
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
    (
        r"(?i)dubious ownership",
        "it belongs to another user of this machine",
        "`git config --global --add safe.directory FOLDER` trusts it.",
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
    refused = re.search(_CREDENTIALS_WANTED, failure.said) or re.search(_KEY_UNKNOWN, failure.said)
    return refused is None and _UNREACHABLE.search(failure.said) is not None


def reason_of(failure: GitFailed, address: Address) -> str:
    """Git's own words, in one line, without credentials."""
    lines = [line.strip() for line in failure.said.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:", "ssh:", "remote:"))] or lines
    # What git-lfs and the check of objects found says more than that they failed.
    telling = [line for line in lines if line.startswith(("Error downloading object:", "error: object "))] or telling
    if any("Could not read from remote repository" in line for line in lines):  # the reason is what ssh said before
        telling = [line for line in lines if not _SSH_PROSE.search(line)] or telling
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
    if _LFS.search(failure.said):
        said = f"`{shown}` cannot be fetched: files kept by Git LFS could not be had (git-lfs: {reason})"
        return SourceError(said, hint="`GIT_LFS_SKIP_SMUDGE=1` runs it with their pointers in place of the content.")
    version = git_version()
    if version is not None and version < _OLDEST:
        oldest, found = (".".join(map(str, each)) for each in (_OLDEST, version))
        return SourceError(f"`{shown}` cannot be fetched by git {found}: git {oldest} or newer is needed ({reason})")
    if "git was ended by signal" in failure.said:
        return SourceError(f"`{shown}` cannot be fetched: {reason}", hint="Something ended it: too little memory?")
    if address.transport == "file" or not is_unreachable(failure):
        for pattern, meaning, hint in _ADVICE:
            if re.search(pattern, failure.said):
                hint = _SSH_HINT if address.transport == "ssh" and hint and "USER:TOKEN" in hint else hint
                return SourceError(f"`{shown}` cannot be fetched: {meaning} (git: {reason})", hint=hint)
        return SourceError(f"`{shown}` cannot be fetched: {reason}")
    hint = "Is there a network? Projects that were fetched before run with --offline."
    return SourceError(f"`{shown}` cannot be reached: {reason}", hint=hint)
