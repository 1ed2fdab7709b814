"""Git repositories as sources: one commit of one, in a tree of its own."""

from __future__ import annotations

from collections.abc import Sequence

from mlproj.sources import local
from mlproj.sources.fetching import Fetching
from mlproj.sources.snapshot import Snapshot


def recognises(uri: str, fetching: Fetching) -> bool:
    """Whether ``uri`` is the address of a repository, or a folder of this machine of which a revision is asked for."""
    if local.is_here(local.split_uri(uri)[0]):
        return not local.recognises(uri, fetching)
    from mlproj.sources.git.addresses import is_shorthand, looks_like_address

    if looks_like_address(uri):
        return True
    # A mistyped path of a folder that is here must not become a repository of some stranger's choice.
    return is_shorthand(uri) and not local.is_here(uri.partition("/")[0])


def fetch(uri: str, outputs: Sequence[str], fetching: Fetching) -> Snapshot:  # noqa: ARG001  nothing has run in it
    """The commit that ``uri`` and ``fetching.revision`` mean, in a tree of its own, which the caller has to release.

    Raises ``SourceError``: for an address that is not fetched, a repository that cannot be had, a revision that it
    does not have, or content that a fetched source must not have.
    """
    from mlproj.sources.git.addresses import address_of_folder, parse_address
    from mlproj.sources.git.trees import tree_of_address, tree_of_folder

    path, subdirectory = local.split_uri(uri)
    if not local.is_here(path):
        return tree_of_address(parse_address(uri), fetching)
    folder = local.project_folder(path)
    if local.is_bare_repository(folder):
        return tree_of_address(address_of_folder(str(folder), subdirectory), fetching)
    return tree_of_folder(folder, subdirectory, fetching)
