"""The paths of forges' web pages, which people paste: which repository they show, and at which revision."""

from __future__ import annotations

from urllib.parse import unquote


def split_page(path: str) -> tuple[str, str | None, bool]:
    """A web page's path as the repository's, the revision with the path in it, and whether that is a file's."""
    if path.endswith(".git") or ".git/" in path:
        return path, None, False
    repository, dash, rest = path.partition("/-/")
    if dash:  # GitLab, where a project may lie any number of groups deep
        kind, _, page = rest.partition("/")
        if kind in ("tree", "blob", "raw", "commit", "tags") and page:
            return repository, unquote(page).rstrip("/"), kind in ("blob", "raw")
        return repository, None, False
    parts = path.rstrip("/").split("/")
    if len(parts) > 3:
        kind, page = parts[2], unquote("/".join(parts[3:]))
        if kind == "src" and parts[3] in ("branch", "tag", "commit") and len(parts) > 4:  # Gitea, Forgejo
            return "/".join(parts[:2]), unquote("/".join(parts[4:])), False
        if kind in ("tree", "blob", "raw", "commit", "src"):
            return "/".join(parts[:2]), page, kind in ("blob", "raw")
        if kind == "pull" and parts[3].isascii() and parts[3].isdigit():
            return "/".join(parts[:2]), f"refs/pull/{parts[3]}/head", False
        if kind == "releases" and parts[3] == "tag" and len(parts) > 4:
            return "/".join(parts[:2]), unquote("/".join(parts[4:])), False
    return path, None, False
