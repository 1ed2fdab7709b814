"""Listing and removing built environments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlproj import environments
from mlproj.environments import builds, inventory
from mlproj.errors import EnvironmentBuildError, UsageError


def test_a_list_says_what_there_is(asking: Any, project: Path, cache: Path) -> None:
    assert environments.list_environments() == []
    older = asking.prepare(dependencies=["apple"])
    newer = asking.prepare(dependencies=["apple<2"])
    os.utime(builds.environment_folder(cache, older.key) / builds.RECORD, (1, 1))
    first, second = environments.list_environments()
    assert (first.key, second.key) == (newer.key, older.key)
    assert second.last_used_at == 1 and second.created_at > 1
    assert first.projects == (str(project),) and first.packages == 1
    assert first.size > 1000 and not first.in_use and first.python == newer.python


def test_a_use_is_noted(asking: Any, cache: Path) -> None:
    key = asking.prepare(dependencies=["apple"]).key
    os.utime(builds.environment_folder(cache, key) / builds.RECORD, (1, 1))
    asking.prepare(dependencies=["apple"])
    assert environments.list_environments()[0].last_used_at > 1


def test_what_lies_elsewhere_and_cannot_be_removed_keeps_the_environment(asking: Any, cache: Path) -> None:
    key = asking.prepare(dependencies=["apple"]).key

    def discard(record: Mapping[str, Any]) -> None:
        raise EnvironmentBuildError("the engine is away")

    removal = inventory.prune(None, discard)

    assert (removal.removed, removal.freed, dict(removal.failed)) == ((), 0, {key: "the engine is away"})
    with pytest.raises(EnvironmentBuildError, match=f"{key} is kept: the engine is away"):
        inventory.remove(key, discard)
    assert asking.prepare(dependencies=["apple"]).reused


def test_the_long_unused_are_pruned(asking: Any, cache: Path) -> None:
    older = asking.prepare(dependencies=["apple"])
    newer = asking.prepare(dependencies=["apple<2"])
    os.utime(builds.environment_folder(cache, older.key) / builds.RECORD, (1, 1))
    assert environments.prune(older_than=3600).removed == (older.key,)
    assert [one.key for one in environments.list_environments()] == [newer.key]
    assert environments.prune().removed == (newer.key,)
    # What was resolved is still known: it is built again without asking an index.
    assert not asking.prepare(dependencies=["apple"]).reused
    assert asking.said == ["installing 1 package"]


def test_one_is_removed_by_the_start_of_its_key(asking: Any) -> None:
    key = asking.prepare(dependencies=["apple"]).key
    for wrong in ("", "zz"):
        with pytest.raises(UsageError, match="no environment's key starts with"):
            environments.remove(wrong)
    assert environments.remove(key[:6]).removed == (key,)
    assert environments.list_environments() == []


def test_a_key_that_is_a_path_names_nothing(asking: Any, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    asking.prepare(dependencies=["apple"])
    with pytest.raises(UsageError, match="no environment"):
        environments.remove("../../precious")
    assert (tmp_path / "precious").is_dir()
