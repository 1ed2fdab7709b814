"""The paths of forges' web pages, which people paste: which repository they show, and at which revision."""

from __future__ import annotations

from urllib.parse import unquote

from mlproj.errors import SourceError
from mlproj.text import one_line

_HINT = (
    "What can be pasted: a repository's own page, or that of a branch, a tag, a commit, a folder, a file or a request."
)
_FORGES = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org")
# What follows REV/path, by the words that forges have for it; those of files say that the folder is the one above.
_FILES = ("blob", "raw", "edit", "blame")
_TREES = ("tree", "commit", "commits", "tags", "src", *_FILES)


def split_page(host: str, path: str) -> tuple[str, str | None, bool]:
    """A web page's path as the repository's, the revision with the path in it, and whether that is a file's.

    Raises ``SourceError`` for a page that shows no revision of a repository.
    """
    if path.endswith(".git") or ".git/" in path:
        return path, None, False
    repository, dash, rest = path.partition("/-/")
    if dash:  # GitLab, where a project may lie any number of groups deep
        return (repository, *_gitlab_page(rest))
    parts = path.rstrip("/").split("/")
    if host == "raw.githubusercontent.com":
        if len(parts) < 4:
            raise _no_revision("/".join(parts))
        raise SourceError("raw.githubusercontent.com serves single files", hint=_raw_hint(parts))
    if len(parts) < 3:
        return path, None, False
    repository, kind, page = "/".join(parts[:2]), parts[2], unquote("/".join(parts[3:]))
    if kind == "src" and len(parts) > 4 and parts[3] in ("branch", "tag", "commit"):  # Gitea, Forgejo
        return repository, unquote("/".join(parts[4:])), False
    if kind in _TREES and page:
        return repository, page, kind in _FILES
    if kind == "pull" and parts[3:] and _is_number(parts[3]):
        return repository, f"refs/pull/{parts[3]}/head", False
    if kind == "releases" and parts[3:4] == ["tag"] and len(parts) > 4:
        return repository, unquote("/".join(parts[4:])), False
    if host in _FORGES and host != "gitlab.com":  # where a repository is never deeper than its owner
        raise _no_revision(kind)
    return path, None, False


def _gitlab_page(rest: str) -> tuple[str | None, bool]:
    kind, _, page = rest.partition("/")
    page = unquote(page).rstrip("/")
    number = page.partition("/")[0]
    if not kind:
        return None, False
    if kind in _TREES and page:
        return page, kind in _FILES
    if kind == "merge_requests" and _is_number(number):
        return f"refs/merge-requests/{number}/head", False
    raise _no_revision(kind)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _no_revision(kind: str) -> SourceError:
    return SourceError(f"the page `{one_line(kind)}` shows no revision of a repository", hint=_HINT)


def _raw_hint(parts: list[str]) -> str:
    owner, repository, *rest = (one_line(part) for part in parts)
    return f"The project is https://github.com/{owner}/{repository}/blob/{'/'.join(rest).removeprefix('refs/heads/')}."
