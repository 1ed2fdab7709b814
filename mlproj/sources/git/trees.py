"""From a commit to the tree that a run gets: its files, those of its submodules, and the snapshot of it all."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.errors import SourceError
from mlproj.sources.fetching import Fetching
from mlproj.sources.git.addresses import Address, address_of_folder, check_subdirectory, revision_asked
from mlproj.sources.git.checkout import Names, Objects, check_out, project_folder_in
from mlproj.sources.git.failures import explained
from mlproj.sources.git.here import GitRefusal
from mlproj.sources.git.mirror import Mirror, discard, holds_tag, is_damaged, list_refs, mirror_of, obtain, survey_of
from mlproj.sources.git.process import GitFailed, end_git_of, git_environment
from mlproj.sources.git.refs import Choice
from mlproj.sources.git.resolution import Found, expected, find_commit, remember_found
from mlproj.sources.git.submodules import check_place, declared_submodules
from mlproj.sources.git.survey import Survey, check_size, survey
from mlproj.sources.git.working_tree import LocalCommit, local_commit, repository_above
from mlproj.sources.snapshot import Snapshot
from mlproj.sources.trees import Tree, claim_tree, release_tree
from mlproj.text import one_line

DEEPEST_SUBMODULE = 10
MOST_SUBMODULES = 300
# What git says of objects that ought to be there and are not.
_INCOMPLETE = re.compile(
    r"(?i)unable to read|missing (blob|tree|object)|bad object|not a (valid|tree) object|failed to unpack tree"
)
_NO_SUCH_COMMIT = re.compile(r"(?i)not our ref|bad object|no such commit|not a valid object")


def tree_of_address(given: Address, fetching: Fetching) -> Snapshot:
    """The snapshot of a repository's commit in a tree of its own. Raises ``SourceError``."""
    address = revision_asked(given, fetching.revision)
    mirror = mirror_of(fetching.cache, address)
    if fetching.refresh and not fetching.offline:
        _begin_anew(mirror, fetching)
    ahead = _begin_ahead(mirror, fetching)
    try:
        found = find_commit(mirror, fetching)
        filled = ahead.result_for(found) if ahead is not None else None
    except BaseException:
        if ahead is not None:
            ahead.discard()
        raise
    commit, looked_over = _obtained(mirror, found.choice, fetching)
    remember_found(mirror, found, commit)
    filled = filled or _filled(mirror, found, commit, looked_over, fetching)
    return _snapshot(filled, found, commit, looked_over)


def _begin_anew(mirror: Mirror, fetching: Fetching) -> None:
    """Let go of what is there of a repository, if it can be had again."""
    with suppress(GitFailed):
        list_refs(mirror, ["HEAD"])
        discard(mirror, fetching)


_Filled = tuple[Tree, Path, list[str]]


def _filled(mirror: Mirror, found: Found, commit: str, looked_over: Survey, fetching: Fetching) -> _Filled:
    address = found.address
    names = _names_of(mirror, found.choice, commit)

    def fill(folder: Path) -> list[str]:
        notes = _checked_out(mirror, commit, names, looked_over, folder, fetching)
        return notes + _with_submodules(mirror.address, looked_over, folder, fetching, _Submodules())

    return _in_tree(f"git {address.url} {commit}", address, fetching, fill)


def _names_of(mirror: Mirror, choice: Choice, commit: str) -> Names:
    if choice.ref is None or not choice.ref.startswith("refs/tags/"):
        return Names(choice.branch)
    with_object = choice.tag is not None and holds_tag(mirror, choice.tag)
    return Names(None, {choice.ref: str(choice.tag) if with_object else commit})


class _Ahead:
    """The tree of the commit that a revision meant the last time, made while the repository is asked what it means now.

    Mostly it is the same one, so that a warm run waits for the network or for the files, and not for both in turn.
    """

    def __init__(self, mirror: Mirror, known: Found, looked_over: Survey, fetching: Fetching) -> None:
        self.known = known
        self.filled: _Filled | None = None

        def work() -> None:
            # What goes wrong here goes wrong again where it is told.
            with suppress(Exception):
                self.filled = _filled(mirror, known, known.choice.commit, looked_over, fetching)

        self.thread = threading.Thread(target=work, name="check-out-ahead")
        self.thread.start()

    def result_for(self, found: Found) -> _Filled | None:
        """The filled tree when it is of the commit that was found; cleared away when it is of another."""
        if (found.address, found.choice) != (self.known.address, self.known.choice):
            self.discard()
        self.thread.join()
        return self.filled

    def discard(self) -> None:
        """Clear away what was made."""
        end_git_of(self.thread)
        if self.filled is not None:
            shutil.rmtree(self.filled[0].folder, ignore_errors=True)
            release_tree(self.filled[0])
            self.filled = None


def _begin_ahead(mirror: Mirror, fetching: Fetching) -> _Ahead | None:
    asked = fetching.offline or fetching.refresh
    known = expected(mirror)
    looked_over = survey_of(mirror, known.choice.commit) if known is not None else None
    if known is None or looked_over is None or looked_over.submodules or fetching.keep_tree or asked:
        return None
    return _Ahead(mirror, known, looked_over, fetching)


def tree_of_folder(folder: Path, subdirectory: str, fetching: Fetching) -> Snapshot:
    """The snapshot of another commit of the repository that ``folder`` lies in; the repository is only read.

    ``subdirectory`` is one below ``folder`` as the commit has it, which the folder need not have now.

    Raises ``SourceError``.
    """
    top = repository_above(folder)
    revision, limit = fetching.revision or "HEAD", fetching.unpack_limit
    if top is None:
        hint = "Without --rev the folder runs as it is."
        raise SourceError(f"`{one_line(folder)}` is in no git repository that could have a revision", hint=hint)
    try:
        there = local_commit(top, revision)
        looked_over = survey(there.commit, git_environment() | {"GIT_DIR": str(there.git_folder)}, top, limit)
    except GitRefusal as refusal:
        raise SourceError(f"`{one_line(revision)}` cannot be had from `{one_line(top)}`: {refusal}") from None
    except GitFailed as failure:
        raise explained(failure, address_of_folder(str(top))) from None
    below = (folder.absolute().relative_to(top) / check_subdirectory(subdirectory)).as_posix()
    own = address_of_folder(str(top), "" if below == "." else below)

    def fill(tree: Path) -> list[str]:
        git_folder = there.git_folder
        names = Names(there.branch, there.tags)
        objects = Objects(git_folder / "objects", git_folder / "shallow", git_folder / "lfs")
        notes = list(check_out(objects, there.commit, names, looked_over, own, tree, fetching))
        parent = _origin_of(there) or own
        return notes + _with_submodules(parent, looked_over, tree, fetching, _Submodules())

    tree, project, notes = _in_tree(f"git {own.url} {there.commit}", own, fetching, fill)
    return Snapshot(
        project,
        "git",
        there.commit,
        there.branch,
        there.remote,
        _below(tree, project),
        notes=(*there.notes, *looked_over.notes, *notes),
        revision=fetching.revision,
        tree=tree,
    )


def _snapshot(filled: _Filled, found: Found, commit: str, looked_over: Survey) -> Snapshot:
    tree, project, notes = filled
    address = found.address
    return Snapshot(
        project,
        "git",
        commit,
        found.choice.branch,
        address.url,
        _below(tree, project),
        notes=(*found.choice.notes, *looked_over.notes, *notes),
        revision=address.revision,
        tree=tree,
        secrets=address.secrets,
    )


def _below(tree: Tree, project: Path) -> str:
    below = project.relative_to(tree.folder).as_posix()
    return "" if below == "." else below


def _in_tree(identity: str, address: Address, fetching: Fetching, fill: Callable[[Path], list[str]]) -> _Filled:
    """A tree that was filled, the project's folder in it, and what filling it had to tell; nothing stays otherwise."""
    tree = claim_tree(fetching.cache, identity, keep=fetching.keep_tree)
    try:
        notes = fill(tree.folder)
        return tree, project_folder_in(tree.folder, address.subdirectory), notes
    except BaseException as error:
        shutil.rmtree(tree.folder, ignore_errors=True)
        release_tree(tree)
        if isinstance(error, GitFailed):
            raise explained(error, address) from None
        if isinstance(error, OSError):
            raise SourceError(f"`{one_line(address.url)}` cannot be checked out: {one_line(error)}") from None
        raise


def _obtained(mirror: Mirror, choice: Choice, fetching: Fetching) -> tuple[str, Survey]:
    commit = choice.commit
    if fetching.offline and survey_of(mirror, commit) is None:
        shown = one_line(mirror.address.url)
        raise SourceError(f"the commit {commit[:12]} of {shown} was not fetched before, and --offline was given")
    try:
        try:
            return obtain(mirror, choice, fetching)
        except GitFailed as failure:
            if not is_damaged(mirror, failure):
                raise
        discard(mirror, fetching)
        return obtain(mirror, choice, fetching)
    except GitFailed as failure:
        if choice.ref is None and _NO_SUCH_COMMIT.search(failure.said):
            raise SourceError(f"`{commit}` is no commit of {one_line(mirror.address.url)}") from None
        raise explained(failure, mirror.address) from None


def _checked_out(
    mirror: Mirror, commit: str, names: Names, looked_over: Survey, folder: Path, fetching: Fetching
) -> list[str]:
    """Check out from the mirror; one that is damaged is fetched anew, since all that it holds can be had again."""
    objects = Objects(mirror.folder / "objects", mirror.folder / "shallow", mirror.folder / "lfs")
    check_size(looked_over.files, looked_over.size, fetching.unpack_limit)
    try:
        try:
            return list(check_out(objects, commit, names, looked_over, mirror.address, folder, fetching))
        except GitFailed as failure:
            if fetching.offline or not (is_damaged(mirror, failure) or _INCOMPLETE.search(failure.said)):
                raise
        fetching.report(f"fetching {mirror.address.name} anew: its mirror is damaged")
        discard(mirror, fetching)
        _obtained(mirror, Choice(commit), fetching)
        names = Names(names.branch)
        shutil.rmtree(folder, ignore_errors=True)
        return list(check_out(objects, commit, names, looked_over, mirror.address, folder, fetching))
    except GitFailed as failure:
        raise explained(failure, mirror.address) from None


@dataclass
class _Submodules:
    """How many submodules were met, and how deep one is in them: numbers that a hostile repository would let grow."""

    depth: int = 0
    met: list[str] = field(default_factory=list)


def _with_submodules(
    parent: Address, looked_over: Survey, folder: Path, fetching: Fetching, inner: _Submodules
) -> list[str]:
    if not looked_over.submodules:
        return []
    found, notes = declared_submodules(folder, looked_over.submodules, parent)
    for submodule in found:
        inner.met.append(submodule.path)
        if inner.depth >= DEEPEST_SUBMODULE or len(inner.met) > MOST_SUBMODULES:
            raise SourceError(f"too many submodules: at `{one_line(submodule.path)}` there are still more")
        mirror = mirror_of(fetching.cache, submodule.address)
        check_place(folder, submodule.path)  # again: what one submodule has brought is in the way of the next
        place = folder / submodule.path
        name = f"submodule `{one_line(submodule.path)}`"
        try:
            commit, its_survey = _obtained(mirror, Choice(submodule.commit), fetching)
            told = _checked_out(mirror, commit, Names(), its_survey, place, fetching)
        except SourceError as error:
            raise SourceError(f"the {name}: {error.message}", hint=error.hint) from None
        deeper = _Submodules(inner.depth + 1, inner.met)
        told += _with_submodules(mirror.address, its_survey, place, fetching, deeper)
        notes += [f"{name}: {note}" for note in (*its_survey.notes, *told)]
    return notes


def _origin_of(there: LocalCommit) -> Address | None:
    """The address that a local repository's submodules are relative to, when it has one."""
    from mlproj.sources.git.addresses import looks_like_address, parse_address

    return parse_address(there.remote) if there.remote and looks_like_address(there.remote) else None
