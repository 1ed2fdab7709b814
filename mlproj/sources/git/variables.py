"""Variables by which a caller's git session would lead ours astray."""

from __future__ import annotations

# Set by a git hook that runs mlproj, say: they would point git at another repository, or at a program to run.
REDIRECTING = frozenset(
    ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
    + ("GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS", "GIT_PAGER")
    + ("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS")
    + ("GIT_TEMPLATE_DIR", "GIT_SHALLOW_FILE")
    + ("GIT_DEFAULT_HASH", "GIT_DEFAULT_REF_FORMAT", "GIT_QUARANTINE_PATH", "GIT_PROTOCOL_FROM_USER", "GIT_GRAFT_FILE")
    + ("GIT_REPLACE_REF_BASE", "GIT_CONFIG", "GIT_ATTR_SOURCE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_REFLOG_ACTION")
)
