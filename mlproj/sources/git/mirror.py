"""A bare mirror of a repository in the cache: holds of it what runs have asked for, a commit at a time."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlproj.files import sha256_of_text, write_atomically
from mlproj.locks import try_exclusive, wait_exclusive
from mlproj.sources.fetching import Fetching
from mlproj.sources.git.addresses import Address
from mlproj.sources.git.process import GitFailed, ask_git, can_ask, git_environment, transfer
from mlproj.sources.git.refs import Choice, Refs, parse_listing
from mlproj.sources.git.survey import Survey, dump_survey, load_survey, survey

_REFUSED = re.compile(
    r"(?i)not our ref|unadvertised object|no such remote ref|couldn't find remote ref|shallow|bad object"
)
# What git says of repositories that are broken on this machine.
_DAMAGED = re.compile(
    r"(?i)corrupt|packfile .* (cannot|does not|is far)|inflate:|garbage at end|object file .* is empty|"
    r"unable to find alternate|loose object|unable to (open|read) .*\.git/objects|unexpected line in|bad shallow|"
    r"shallow file (has changed|is empty)|unable to resolve HEAD|invalid HEAD"
)
_NOT_DAMAGED = re.compile(
    r"(?i)no space left|disk quota|permission denied|read-only|too many open files|ended by signal"
)
# No name that anybody's configuration has a remote of.
REMOTE = "mlproj-source"
_OBTAIN = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-gc", "--progress", "--force")


@dataclass(frozen=True)
class Mirror:
    """Where a repository is mirrored: ``folder`` holds commits whole, ``history`` at most the graph of all commits."""

    address: Address
    folder: Path

    @property
    def history(self) -> Path:
        """The folder of the repository in which short SHAs and steps such as ``~1`` are looked up."""
        return self.folder.with_suffix(".history.git")


def mirror_of(cache: Path, address: Address) -> Mirror:
    """The place of a repository's mirror, the same whoever's credentials it is fetched with."""
    return Mirror(address, cache / "repositories" / f"{sha256_of_text(address.url)[:24]}.git")


def survey_of(mirror: Mirror, commit: str) -> Survey | None:
    """What is known of a commit that the mirror holds whole; ``None`` for one that has yet to be fetched."""
    return load_survey(mirror.folder / "surveys" / f"{commit}.json")


def list_refs(mirror: Mirror, arguments: Sequence[str]) -> Refs:
    """Ask the repository itself what it has: options and names for ``git ls-remote``. Raises ``GitFailed``."""
    cwd = mirror.folder.parent
    cwd.mkdir(parents=True, exist_ok=True)
    environment = git_environment(mirror.address) | {"GIT_CEILING_DIRECTORIES": str(cwd.parent)}
    options = [each for each in arguments if each.startswith("--")]
    names = [each for each in arguments if not each.startswith("--")]
    listed = ask_git(["ls-remote", "--symref", *options, "--", mirror.address.url, *names], environment, cwd)
    return parse_listing(listed.decode("utf-8", "surrogateescape"))


def first_clone(mirror: Mirror, fetching: Fetching) -> Choice | None:
    """Begin the mirror with the tip of the default branch, by one conversation with the server.

    ``None`` when there is a mirror already, or the repository has no such branch. Raises ``GitFailed``.
    """
    with alone(mirror, fetching):
        if mirror.folder.exists():
            return None
        scratch = mirror.folder.with_suffix(".part")
        shutil.rmtree(scratch, ignore_errors=True)
        arguments = ["clone", "--bare", "--depth=1", "--single-branch", "--no-tags", "--template=", "--progress"]
        environment = git_environment(mirror.address) | {"GIT_DEFAULT_REF_FORMAT": "files"}
        try:
            _transfer(mirror, [*arguments, "--", mirror.address.url, scratch], environment, scratch.parent, fetching)
            tip = _tip(scratch)
            if tip is None:
                return None
            commit, branch = tip
            _keep(mirror, scratch, commit, fetching)
            scratch.rename(mirror.folder)
            return Choice(commit, f"refs/heads/{branch}" if branch else "HEAD", branch)
        except GitFailed as failure:
            if _REFUSED.search(failure.said):  # a server that can give no part of a history
                return None
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _tip(folder: Path) -> tuple[str, str | None] | None:
    """The commit and the branch of a clone that was just made; read here, since another git costs a tenth of one."""
    try:
        head = (folder / "HEAD").read_text(encoding="utf-8", errors="surrogateescape").strip()
    except FileNotFoundError:
        raise GitFailed("fatal: git ended well, and made no repository") from None
    if not head.startswith("ref: "):
        return head, None
    ref = head.removeprefix("ref: ")
    with suppress(OSError):
        return (folder / ref).read_text().strip(), ref.removeprefix("refs/heads/")
    with suppress(OSError):
        for line in (folder / "packed-refs").read_text(encoding="utf-8", errors="surrogateescape").split("\n"):
            if line.endswith(" " + ref):
                return line.partition(" ")[0], ref.removeprefix("refs/heads/")
    return None


def obtain(mirror: Mirror, choice: Choice, fetching: Fetching) -> tuple[str, Survey]:
    """Have the mirror hold the commit of ``choice`` whole, and give it with its survey.

    An annotated tag's own name gives the commit that it stands for. Raises ``GitFailed``.
    """
    commit = choice.commit
    known = survey_of(mirror, commit)
    has_tag = choice.tag is None or fetching.offline or holds_tag(mirror, choice.tag)
    if known is not None and has_tag:
        return commit, known
    with alone(mirror, fetching):
        known = survey_of(mirror, commit)  # another run may have fetched it while this one waited
        if known is not None:
            with suppress(GitFailed):  # the commit is what has to be there
                arguments = ["--depth=1", "--", REMOTE, *_tag_of(choice)]
                if not has_tag:
                    fetch_into(mirror, mirror.folder, arguments, fetching)
            return commit, known
        begin_repository(mirror.folder, len(commit))
        within = inside(mirror, mirror.folder)
        _fetch_commit(mirror, choice, within, fetching)
        peeled = ask_git(["rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}"], within, mirror.folder)
        commit = peeled.decode().strip()
        return commit, _keep(mirror, mirror.folder, commit, fetching)


def holds_tag(mirror: Mirror, tag: str) -> bool:
    """Whether the mirror has the object of an annotated tag."""
    try:
        return (mirror.folder / "refs" / "annotated" / tag).read_text().strip() == tag
    except OSError:
        return False


def commits_held(mirror: Mirror, beginning: str) -> list[str]:
    """The commits that the mirror holds whole whose names begin with these digits."""
    return [path.stem for path in (mirror.folder / "surveys").glob(f"{beginning.lower()}*.json")]


def _tag_of(choice: Choice) -> list[str]:
    return [f"+{choice.ref}:refs/annotated/{choice.tag}"] if choice.tag is not None else []


def _fetch_commit(mirror: Mirror, choice: Choice, within: Mapping[str, str], fetching: Fetching) -> None:
    """By its name, which newer servers answer to; by the ref that leads to it; else by fetching all that there is."""
    commit, ref = choice.commit, choice.ref
    target = f"refs/commits/{commit}"
    everything = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", *([f"+{ref}:{target}"] if ref else [])]
    ways = [["--depth=1", "--", REMOTE, f"+{commit}:{target}", *_tag_of(choice)]] if choice.tag is not None else []
    ways += [["--depth=1", "--", REMOTE, f"+{commit}:{target}"]]
    ways += [["--depth=1", "--", REMOTE, f"+{ref}:{target}"]] if ref else []
    ways += [["--", REMOTE, *everything]]
    for way in ways:
        try:
            # Depth is not for ever: of what is cut off here, a whole fetch has to bring the rest.
            shallow = "--depth=1" not in way and (mirror.folder / "shallow").exists()
            options = [*_OBTAIN, *(["--unshallow"] if shallow else [])]
            _transfer(mirror, [_git_dir(mirror.folder), "fetch", *options, *way], within, mirror.folder, fetching)
        except GitFailed as failure:
            damaged_tag = choice.tag is not None and way is ways[0] and "fsck" in failure.said
            if way is ways[-1] or not (damaged_tag or _REFUSED.search(failure.said)):
                raise
        if _holds(mirror, commit, within):
            return
    raise GitFailed(f"fatal: no such commit: {commit}")


def _holds(mirror: Mirror, commit: str, within: Mapping[str, str]) -> bool:
    try:
        ask_git(["cat-file", "-e", f"{commit}^{{commit}}"], within, mirror.folder)
    except GitFailed:
        return False
    return True


def is_damaged(mirror: Mirror, failure: GitFailed) -> bool:
    """Whether git complains of the mirror itself: of what is in its files, or of one of them by its path."""
    if _NOT_DAMAGED.search(failure.said):
        return False
    try:
        if (mirror.folder / "shallow").stat().st_size == 0:  # git takes it for a history that is cut off nowhere
            return True
    except OSError:
        pass
    return _DAMAGED.search(failure.said) is not None or f"/{mirror.folder.stem}." in failure.said


def discard(mirror: Mirror, fetching: Fetching) -> None:
    """Remove a mirror that turned out to be damaged, and the history beside it."""
    with alone(mirror, fetching):
        aside = mirror.folder.with_suffix(".damaged")
        for place in (mirror.folder, mirror.history):
            _remove(aside)
            with suppress(FileNotFoundError):
                place.rename(aside)
            _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def begin_repository(folder: Path, length: int) -> None:
    """Make an empty bare repository, whole or not at all, for commits whose names have ``length`` digits."""
    if folder.exists():
        return
    scratch = folder.with_suffix(".part")
    shutil.rmtree(scratch, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    kind = "sha256" if length == 64 else "sha1"
    environment = git_environment() | {"GIT_DEFAULT_REF_FORMAT": "files"}
    arguments = ["init", "--quiet", "--bare", "--template=", f"--object-format={kind}", "--", str(scratch)]
    ask_git(arguments, environment, folder.parent)
    scratch.rename(folder)


def fetch_into(mirror: Mirror, folder: Path, arguments: Sequence[str], fetching: Fetching) -> None:
    """Fetch into the history beside the mirror, alone. Raises ``GitFailed``."""
    within = inside(mirror, folder)
    _transfer(mirror, [_git_dir(folder), "fetch", *_OBTAIN, *arguments], within, folder, fetching)


def inside(mirror: Mirror, folder: Path) -> dict[str, str]:
    """The environment for a git inside the mirror, whose remote is named here: no address is in its own files."""
    return git_environment(mirror.address, {f"remote.{REMOTE}.url": mirror.address.url}) | {"GIT_DIR": str(folder)}


def _git_dir(folder: Path) -> str:
    return f"--git-dir={folder}"


def _keep(mirror: Mirror, folder: Path, commit: str, fetching: Fetching) -> Survey:
    """Note that ``commit`` is there whole: what says so is written last."""
    found = survey(commit, inside(mirror, folder), folder, fetching.unpack_limit)
    write_atomically(folder / "refs" / "commits" / commit, commit + "\n")
    write_atomically(folder / "surveys" / f"{commit}.json", dump_survey(found))
    return found


@contextmanager
def alone(mirror: Mirror, fetching: Fetching) -> Iterator[None]:
    """Hold the mirror alone, with nothing in it that a killed fetch has left in the way."""
    lock = mirror.folder.with_suffix(".lock")
    held = try_exclusive(lock)
    if held is None:
        fetching.report(f"waiting for another run that fetches {mirror.address.name}")
        held = wait_exclusive(lock)
    try:
        _clear_up(mirror)
        yield
    finally:
        held.release()


def _transfer(
    mirror: Mirror, arguments: Sequence[str | Path], environment: Mapping[str, str], cwd: Path, fetching: Fetching
) -> None:
    name = mirror.address.name
    if not can_ask():  # a spinner would write over the question for a password
        fetching.report(f"fetching {name}")
    cwd.mkdir(parents=True, exist_ok=True)
    running = mirror.folder.with_suffix(".running")
    try:
        transfer(
            arguments,
            environment,
            cwd,
            lambda told: fetching.report(f"fetching {name}: {told}"),
            lambda number: write_atomically(running, str(number)),
        )
    finally:
        running.unlink(missing_ok=True)


def _clear_up(mirror: Mirror) -> None:
    """After a run that was killed: end the git that it left, and remove the locks and scratch files of that git."""
    running = mirror.folder.with_suffix(".running")
    with suppress(OSError, ValueError):
        _end_left_over(int(running.read_text()), mirror.folder.stem)
    running.unlink(missing_ok=True)
    for folder in (mirror.folder, mirror.history):
        for pattern in ("*.lock", "refs/**/*.lock", "objects/**/*.lock", "objects/pack/tmp_*", "objects/tmp_*"):
            for path in folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _end_left_over(number: int, name: str) -> None:
    import psutil

    with suppress(psutil.Error, ProcessLookupError):
        process = psutil.Process(number)
        # Ids are used again: it has to be a git that works on this very mirror.
        if any(name in word for word in process.cmdline()):
            if os.getpgid(number) == number:
                os.killpg(number, signal.SIGKILL)
            else:
                process.kill()
            psutil.wait_procs([process], timeout=5)
