"""``mlproj lock``, and what ``--locked`` and ``--frozen`` make of a lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj import environments
from mlproj.environments import Policy
from mlproj.environments.lockfile import lock_path
from mlproj.errors import LockError, UsageError
from mlproj.manifest.models import EnvironmentSpec, System
from mlproj.toml import parse_toml

LOCKED, FROZEN = Policy(locked=True), Policy(frozen=True)


def test_a_lock_is_written_once(asking: Any, project: Path) -> None:
    first = asking.lock(dependencies=["pear"])
    assert (first.path, first.added, first.written) == (
        project / "pylock.toml",
        {"apple": "2.0", "pear": "1.0"},
        True,
    )
    second = asking.lock(dependencies=["pear"])
    assert (second.added, second.removed, second.changed, second.written) == ({}, {}, {}, False)


def test_a_named_environment_has_a_lock_of_its_own(project: Path) -> None:
    # PEP 751: `pylock.<name>.toml`, and no dot in the name.
    assert lock_path(project, "gpu") == project / "pylock.gpu.toml"
    assert lock_path(project, "cuda12.4") == project / "pylock.cuda12-4.toml"


def test_a_lock_keeps_versions_until_told_to_upgrade(
    asking: Any, index: Path, write_wheel: Callable[..., Path]
) -> None:
    asking.lock(dependencies=["pear"])
    write_wheel(index, "apple", "3.0")
    write_wheel(index, "pear", "2.0", ["apple>=1"])
    assert not asking.lock(dependencies=["pear"]).written
    one = asking.lock(dependencies=["pear"], upgrade_packages=["Apple"])
    assert one.changed == {"apple": ("2.0", "3.0")}
    everything = asking.lock(dependencies=["pear"], upgrade=True)
    assert everything.changed == {"pear": ("1.0", "2.0")}


def test_a_fresh_lock_is_what_is_built(asking: Any, index: Path, write_wheel: Callable[..., Path]) -> None:
    asking.lock(dependencies=["pear"])
    write_wheel(index, "apple", "3.0")
    found = asking.prepare(LOCKED, dependencies=["pear"])
    assert found.packages == {"apple": "2.0", "pear": "1.0"}
    assert found.lock_text == (asking.folder / "pylock.toml").read_text()
    again = asking.prepare(LOCKED, dependencies=["pear"])
    assert again.reused and asking.said == []


def test_locked_without_a_lock(asking: Any, cache: Path) -> None:
    with pytest.raises(LockError, match="there is no lock") as caught:
        asking.prepare(LOCKED, dependencies=["pear"])
    assert caught.value.exit_status == 125 and not (cache / "environments").exists()
    with pytest.raises(LockError, match="there is no lock"):
        asking.prepare(FROZEN, dependencies=["pear"])


def test_locked_says_what_changed(asking: Any, project: Path, source_project: Callable[..., Path]) -> None:
    asking.lock(dependencies=["pear", "apple>=1"])
    with pytest.raises(LockError, match="is stale") as caught:
        asking.prepare(LOCKED, dependencies=["apple<2", "pear"], python=">=3")
    assert "changed: `apple>=1` → `apple<2`" in str(caught.value)
    assert "python changed: `None` → `>=3`" in str(caught.value)
    assert "`mlproj lock` brings it up to date" in str(caught.value)

    with pytest.raises(LockError, match="removed: `apple>=1`"):
        asking.prepare(LOCKED, dependencies=["pear"])
    with pytest.raises(LockError, match="added: `fig`"):
        asking.prepare(LOCKED, dependencies=["pear", "apple>=1", "fig"])

    source_project(project / "fig", "fig")
    asking.lock(dependencies=["./fig"])
    assert asking.prepare(LOCKED, dependencies=["./fig"]).packages == {"fig": "1.0"}
    (project / "fig" / "setup.py").write_text("")
    with pytest.raises(LockError, match="what `fig` declares changed"):
        asking.prepare(LOCKED, dependencies=["./fig"])


def test_locked_stays_a_refusal_after_a_run_without_it(asking: Any) -> None:
    asking.prepare(dependencies=["pear"])
    with pytest.raises(LockError):
        asking.prepare(LOCKED, dependencies=["pear"])


def test_a_stale_lock_is_not_used_and_not_written(asking: Any, project: Path) -> None:
    asking.lock(dependencies=["apple<2"])
    before = (project / "pylock.toml").read_bytes()
    found = asking.prepare(dependencies=["apple"])
    # As far as it fits: the versions that are still allowed stay.
    assert found.packages == {"apple": "1.0"}
    assert "pylock.toml is stale (changed: `apple<2` → `apple`)" in asking.said[0]
    assert (project / "pylock.toml").read_bytes() == before
    assert "is stale" in asking.plan(dependencies=["apple"]).notice
    asking.prepare(dependencies=["apple"])
    assert len(asking.said) == 1 and "is stale" in asking.said[0]


def test_frozen_uses_the_lock_unread(asking: Any) -> None:
    asking.lock(dependencies=["apple<2"])
    assert asking.prepare(FROZEN, dependencies=["apple>=2", "pear"]).packages == {"apple": "1.0"}
    with pytest.raises(UsageError, match="exclude each other"):
        asking.prepare(Policy(locked=True, frozen=True), dependencies=["apple"])


def test_a_lock_that_cannot_be_read(asking: Any, project: Path) -> None:
    (project / "pylock.toml").write_text("lock-version = ")
    for policy in (LOCKED, FROZEN):
        with pytest.raises(LockError, match="cannot be read"):
            asking.prepare(policy, dependencies=["apple"])
    assert asking.prepare(dependencies=["apple"]).packages == {"apple": "2.0"}
    assert "cannot be read" in asking.said[0]


def test_another_tools_lock_is_used_while_it_holds_what_is_declared(asking: Any, project: Path, index: Path) -> None:
    from mlproj.files import sha256_of_file

    wheel = index / "apple-1.0-py3-none-any.whl"
    (project / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "another"\n\n[[packages]]\nname = "apple"\nversion = "1.0"\n\n'
        f'[[packages.wheels]]\nurl = "{wheel.as_uri()}"\nhashes = {{ sha256 = "{sha256_of_file(wheel)}" }}\n'
    )
    assert asking.prepare(dependencies=["apple"]).packages == {"apple": "1.0"}
    assert asking.said[0] == "pylock.toml was not written by mlproj: used as it is"
    asking.prepare(dependencies=["apple", "pear"])
    assert "`pear` is not in it" in asking.said[0]
    with pytest.raises(LockError, match="another tool wrote it"):
        asking.prepare(LOCKED, dependencies=["apple"])
    assert asking.prepare(FROZEN, dependencies=["apple"]).packages == {"apple": "1.0"}


def test_a_tampered_lock_is_refused_by_its_hashes(asking: Any, project: Path) -> None:
    from mlproj.errors import EnvironmentBuildError

    asking.lock(dependencies=["apple"])
    path = project / "pylock.toml"
    digest = parse_toml(path.read_text())["packages"][0]["wheels"][0]["hashes"]["sha256"]
    path.write_text(path.read_text().replace(digest, "0" * 64))
    with pytest.raises(EnvironmentBuildError, match="could not be installed"):
        asking.prepare(FROZEN, dependencies=["apple"])


def test_the_interpreter_follows_the_lock_when_nothing_else_is_asked_for(asking: Any, project: Path) -> None:
    from mlproj.errors import EnvironmentBuildError

    asking.lock(dependencies=["apple"])
    path = project / "pylock.toml"
    required = parse_toml(path.read_text())["requires-python"]
    path.write_text(path.read_text().replace(f'"{required}"', '">=3.99"'))
    with pytest.raises(EnvironmentBuildError, match=r"python: >=3\.99`: no such Python was found"):
        asking.prepare(dependencies=["apple"])


def test_a_system_environment_has_no_lock(project: Path) -> None:
    spec = EnvironmentSpec(system=System())
    with pytest.raises(UsageError, match="has no lock"):
        environments.lock(spec, None, project, False, [], print)
    with pytest.raises(UsageError, match="`--locked`"):
        environments.prepare(spec, None, project, LOCKED, print)
