"""Locks of conda environments: written in conda-lock's format, read, held to, told stale."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlproj.environments import Policy
from mlproj.errors import EnvironmentBuildError, LockError, UsageError
from tests.environments.conda_channel import PYTHON, this_platform

pytestmark = pytest.mark.usefixtures("own_conda")
LOCKED, FROZEN = Policy(locked=True), Policy(frozen=True)
ALL = "[linux-64, linux-aarch64, osx-64, osx-arm64]"


def read_lock(folder: Path, name: str = "conda-lock.yml") -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((folder / name).read_text())
    return document


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = read_lock(folder)
    change(document)
    (folder / "conda-lock.yml").write_text(yaml.safe_dump(document))


def as_of_another_tool(document: dict[str, Any]) -> None:
    del document["metadata"]["custom_metadata"]


def test_a_lock_is_written_and_held_to(conda: Any, own_channel: Callable[..., str]) -> None:
    url = own_channel("mine", "apple 1.0", "tart 1.0 apple")
    result = conda.lock("tart", channels=[url])
    assert result.path == conda.folder / "conda-lock.yml" and result.written
    assert result.added == {"apple": "1.0", "tart": "1.0"} and result.package_count == 2
    assert not conda.lock("tart", channels=[url]).written

    own_channel("mine", "apple 1.1")
    for policy in (Policy(), LOCKED, FROZEN):
        assert conda.prepare("tart", channels=[url], policy=policy).packages["apple"] == "1.0"
        assert not any("resolving" in line for line in conda.said)

    assert not conda.lock("tart", channels=[url]).written
    changed = conda.lock("tart", channels=[url], upgrade=True).changed
    assert changed == {"apple": ("1.0", "1.1")}
    assert conda.prepare("tart", channels=[url], policy=LOCKED).packages["apple"] == "1.1"


def test_upgrading_some_keeps_the_others(conda: Any, own_channel: Callable[..., str]) -> None:
    url = own_channel("mine", "apple 1.0", "pear 1.0")
    conda.lock("apple", "pear", channels=[url])
    own_channel("mine", "apple 1.1", "pear 1.1")
    changed = conda.lock("apple", "pear", channels=[url], upgrade_packages=["pear"]).changed
    assert changed == {"pear": ("1.0", "1.1")}
    conda.lock("apple", "pear", channels=[url], upgrade_packages=["nosuch"])
    assert "nothing to upgrade: there is no package nosuch in this environment" in conda.said


def test_the_pip_part_is_pinned_in_the_same_lock(
    conda: Any, index: Path, write_wheel: Callable[..., Path], run_in: Callable[..., str]
) -> None:
    write_wheel(index, "lemon", "1.0")
    conda.file("python", "pip: [lemon]")
    conda.lock()
    (lemon,) = [each for each in read_lock(conda.folder)["package"] if each["manager"] == "pip"]
    assert lemon["name"] == "lemon" and lemon["version"] == "1.0" and len(lemon["hash"]["sha256"]) == 64
    write_wheel(index, "lemon", "2.0")
    found = conda.prepare(policy=LOCKED)
    assert run_in(found, "lemon") == "lemon 1.0"
    # Without the lock it comes to the same environment, whether it is just resolved or remembered.
    (conda.folder / "conda-lock.yml").rename(conda.folder / "aside")
    write_wheel(index, "lemon", "2.0").unlink()
    assert {conda.plan().key, conda.plan().key} == {found.key}
    (conda.folder / "aside").rename(conda.folder / "conda-lock.yml")
    write_wheel(index, "lemon", "2.0")
    assert not conda.lock().written
    assert conda.lock(upgrade=True).changed == {"lemon": ("1.0", "2.0")}


def test_a_lock_for_several_platforms(conda: Any) -> None:
    conda.file("python", "grape  # [osx64]", "melon  # [linux64]", platforms=ALL)
    result = conda.lock()
    assert result.package_count == 3
    assert {"resolving 2 specifications for linux-64", "resolving 1 specification for osx-arm64"} <= set(conda.said)
    document = read_lock(conda.folder)
    by_platform: dict[str, set[str]] = {}
    for each in document["package"]:
        by_platform.setdefault(each["platform"], set()).add(each["name"])
    assert by_platform == {
        "linux-64": {"python", "melon"},
        "linux-aarch64": {"python"},
        "osx-64": {"python", "grape"},
        "osx-arm64": {"python"},
    }
    assert conda.prepare(policy=LOCKED).python == PYTHON


class TestCondaLock:
    """What conda-lock itself makes of the lock."""

    def test_its_models_read_it_and_its_check_finds_it_fresh(self, conda: Any, tmp_path: Path) -> None:
        from conda_lock.lockfile import parse_conda_lock_file

        conda.file("python >=3.8", "conda-forge::pear", "pip: [apple]", "grape  # [osx64]", platforms=ALL)
        conda.lock()
        lock = parse_conda_lock_file(conda.folder / "conda-lock.yml")
        assert {each.name for each in lock.package if each.platform == "osx-64"} >= {"python", "pear", "grape", "apple"}
        assert lock.metadata.sources == ["environment.yml"]
        assert [channel.url for channel in lock.metadata.channels] == ["conda-forge"]

        # It looks for a conda to solve with, and then has nothing to solve, since the digests are right.
        names = tmp_path / "names.json"
        names.write_text("{}")
        arguments = ["--conda", self._no_conda(tmp_path), "--pypi_to_conda_lookup_file", f"file://{names}"]
        done = self._conda_lock(conda.folder, "lock", *arguments, "--check-input-hash", "-f", "environment.yml")
        assert "Spec hash already locked for ['linux-64', 'linux-aarch64', 'osx-64', 'osx-arm64']" in re.sub(
            r"\s+", " ", done.stderr
        )

    def test_it_renders_it(self, conda: Any) -> None:
        conda.file("pear")
        conda.lock()
        self._conda_lock(conda.folder, "render", "--kind=explicit", f"--platform={this_platform()}", "conda-lock.yml")
        rendered = (conda.folder / f"conda-{this_platform()}.lock").read_text()
        assert "/noarch/pear-1.0-0.conda#" in rendered and "/python-" in rendered

    def test_a_lock_of_its_own_is_checked_as_it_does(self, conda: Any) -> None:
        conda.file("fig")
        conda.lock()
        rewrite(conda.folder, as_of_another_tool)
        assert conda.prepare(policy=LOCKED).packages == {"fig": "1.0"}
        assert conda.said[0] == "conda-lock.yml was not written by mlproj: it is of what is declared"
        conda.file("fig >=1")
        with pytest.raises(LockError, match="is not what it was made from"):
            conda.prepare(policy=LOCKED)
        assert conda.prepare(policy=FROZEN).packages == {"fig": "1.0"}

    @staticmethod
    def _no_conda(tmp_path: Path) -> str:
        path = tmp_path / "conda"
        path.write_text("#!/bin/sh\nexit 0\n")
        path.chmod(0o755)
        return str(path)

    @staticmethod
    def _conda_lock(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "conda_lock", *arguments]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done


class TestStaleness:
    def test_every_reason_is_told(self, conda: Any) -> None:
        conda.file("fig >=1", "plum")
        conda.lock()
        conda.file("fig >=1.0", "pear")
        with pytest.raises(LockError) as failure:
            conda.prepare(policy=LOCKED)
        told = failure.value.message
        assert "changed: `fig >=1` → `fig >=1.0`" in told and "added: `pear`" in told and "removed: `plum`" in told
        assert failure.value.hint == "`mlproj lock` brings it up to date"
        assert "pear" in conda.prepare().packages
        assert conda.said[0].startswith("conda-lock.yml is stale (changed: `fig >=1`")

    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            ({"virtual_packages": {"__cuda": "12.4"}}, "`virtual-packages` changed"),
            ({"platforms": ["osx-arm64", "linux-64"]}, "platform added: `osx-arm64`"),
            ({"channels": ["conda-forge", "bioconda"]}, "channel added: `bioconda`"),
        ],
    )
    def test_what_else_is_declared_counts(self, conda: Any, keys: dict[str, Any], reason: str) -> None:
        keys = {"channels": ["conda-forge"], **keys}
        conda.lock("fig", channels=["conda-forge"], platforms=["linux-64"])
        with pytest.raises(LockError, match=reason):
            conda.prepare("fig", policy=LOCKED, **{"platforms": ["linux-64"], **keys})

    def test_a_requirements_file_of_the_pip_part_counts(self, conda: Any) -> None:
        (conda.folder / "requirements.txt").write_text("apple\n")
        conda.file("python", "pip: [-r requirements.txt]")
        conda.lock()
        assert "apple" in conda.prepare(policy=LOCKED).packages
        (conda.folder / "requirements.txt").write_text("pear\n")
        with pytest.raises(LockError, match="`pip:` part say changed"):
            conda.prepare(policy=LOCKED)

    def test_a_comment_and_a_variable_do_not(self, conda: Any) -> None:
        conda.file("fig")
        conda.lock()
        conda.file("fig", name="another", variables="{A: b}")
        assert conda.prepare(policy=LOCKED).variables["A"] == "b"


def test_a_lock_that_lost_a_package_is_stale(conda: Any, index: Path, write_wheel: Callable[..., Path]) -> None:
    write_wheel(index, "lemon_tree", "1.0")
    conda.file("python", "fig", "pip: [Lemon.Tree]")
    conda.lock()
    assert conda.prepare(policy=LOCKED).packages["fig"] == "1.0"
    for name in ("fig", "lemon-tree"):
        conda.lock()
        rewrite(
            conda.folder,
            lambda document: document.update(package=[each for each in document["package"] if each["name"] != name]),  # noqa: B023
        )
        with pytest.raises(LockError, match="is not in it"):
            conda.prepare(policy=LOCKED)


def test_an_entry_that_is_of_no_use_says_what_to_do(conda: Any) -> None:
    conda.file("fig")
    conda.lock()
    rewrite(conda.folder, lambda document: document["package"][0].update(name="apple"))
    with pytest.raises(EnvironmentBuildError) as failure:
        conda.lock()
    assert failure.value.hint is not None and "delete the lock" in failure.value.hint


def test_a_missing_or_unreadable_lock(conda: Any) -> None:
    for policy in (LOCKED, FROZEN):
        with pytest.raises(LockError, match=r"there is no lock `.*conda-lock\.yml`"):
            conda.prepare("fig", policy=policy)
    (conda.folder / "conda-lock.yml").write_text("version: 7\n")
    for policy in (LOCKED, FROZEN):
        with pytest.raises(LockError, match="cannot be read: it is no lock of conda-lock's version 1"):
            conda.prepare("fig", policy=policy)
    assert conda.prepare("fig").packages == {"fig": "1.0"}
    assert "resolving without it" in conda.said[0]
    with pytest.raises(UsageError, match="exclude each other"):
        conda.prepare("fig", policy=Policy(locked=True, frozen=True))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested more than 20 levels deep"),
        ("[" * 20_000 + "]" * 20_000, "nested more than 20 levels deep"),
        ("a: &a [1]\nb: *a\n", "it has aliases"),
        ("a: [", "it is no YAML"),
        ("a: \x00", "it is no YAML"),
    ],
)
def test_a_lock_that_no_reader_could_bear_is_not_read(conda: Any, text: str, why: str) -> None:
    (conda.folder / "conda-lock.yml").write_text(text)
    with pytest.raises(LockError, match=why):
        conda.prepare("fig", policy=FROZEN)
    assert conda.prepare("fig").packages == {"fig": "1.0"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../fig"),
        ("url", "https://somewhere/fig.whl\n--index-url=https://elsewhere"),
        ("build", "../../0"),
        ("manager", "npm"),
        ("hash", {"sha256": "0 --pre"}),
        ("version", 1.0),
        ("category", ["main"]),
        ("url", "notaurl"),
        ("url", "http://[::1/noarch/fig-1.0-0.conda"),
    ],
)
def test_a_lock_with_what_is_no_package_is_not_read(conda: Any, key: str, value: Any) -> None:
    conda.file("fig")
    conda.lock()
    rewrite(conda.folder, lambda document: document["package"][0].update({key: value}))
    with pytest.raises(LockError, match="is no list of packages"):
        conda.prepare(policy=FROZEN)


@pytest.mark.parametrize("digests", [[1], "x", None])
def test_digests_that_are_none_are_stale(conda: Any, digests: Any) -> None:
    conda.file("fig")
    conda.lock()
    rewrite(conda.folder, as_of_another_tool)
    rewrite(conda.folder, lambda document: document["metadata"].update(content_hash=digests))
    with pytest.raises(LockError, match="is stale"):
        conda.prepare(policy=LOCKED)


def test_a_lock_for_other_platforms_says_what_to_do(conda: Any) -> None:
    other = "osx-arm64" if this_platform() != "osx-arm64" else "linux-64"
    conda.file("apple", platforms=f"[{other}]")
    conda.lock()
    with pytest.raises(LockError, match=f"is for {other}, and not for this platform, {this_platform()}") as failure:
        conda.prepare()
    assert failure.value.hint is not None and "mlproj lock" in failure.value.hint


def test_a_lock_made_for_another_machine_is_refused(conda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "12.4")
    conda.file("cherry")
    conda.lock()
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "")
    with pytest.raises(LockError, match="needs what this machine does not have: __cuda >=12"):
        conda.prepare(policy=LOCKED)


def test_named_environments_have_locks_of_their_own(conda: Any) -> None:
    conda.file("fig")
    assert conda.lock(name="gpu").path.name == "gpu.conda-lock.yml"
    assert conda.prepare(name="gpu", policy=LOCKED).packages == {"fig": "1.0"}
    with pytest.raises(LockError, match="there is no lock"):
        conda.prepare(policy=LOCKED)


def test_a_package_that_is_not_the_locked_one_is_refused(conda: Any) -> None:
    conda.file("fig")
    conda.lock()

    def forge(document: dict[str, Any]) -> None:
        document["package"][0]["hash"]["sha256"] = "0" * 64

    rewrite(conda.folder, forge)
    with pytest.raises(EnvironmentBuildError, match="could not be installed") as failure:
        conda.prepare(policy=FROZEN)
    assert "SHA-256" in failure.value.message


def test_only_the_categories_asked_for_are_installed(conda: Any) -> None:
    conda.file("fig", "plum")
    conda.lock()

    def apart(document: dict[str, Any]) -> None:
        for each in document["package"]:
            if each["name"] == "plum":
                each.update(category="dev", optional=True)

    rewrite(conda.folder, apart)
    assert conda.prepare(policy=FROZEN).packages == {"fig": "1.0"}
    assert conda.prepare(policy=FROZEN, categories=["dev"]).packages == {"fig": "1.0", "plum": "1.0"}


def test_what_mlproj_reads_of_a_file_is_what_conda_lock_reads(conda: Any, tmp_path: Path) -> None:
    from conda_lock.src_parser.environment_yaml import parse_environment_file

    from mlproj.environments.prefixes.declaration import read_declared_prefix
    from mlproj.manifest.models import Conda

    conda.file(
        "python >=3.10,<3.13",
        "numpy=1.26",
        "pip",
        "  conda-forge::pear  # [linux]",
        "win-only  # [win]",
        "unix-only  # [unix] and a word",
        "mac # comment [osx]",
        "{pip: [tabulate>=0.9, 'humanize']}",
        platforms="[linux-64, osx-arm64, win-64]",
    )
    names = tmp_path / "names.json"
    names.write_text("{}")
    platforms = ["linux-64", "osx-arm64", "win-64"]
    theirs = parse_environment_file(conda.folder / "environment.yml", platforms, mapping_url=str(names))
    ours = read_declared_prefix(Conda(file="environment.yml"), conda.folder, "linux-64")
    assert ours.platforms == tuple(platforms)
    for platform in platforms:
        read = [re.split(r"[\s=<>!]", each.rpartition("::")[2])[0] for each in ours.dependencies[platform]]
        read += [re.split(r"[\s=<>!]", each)[0] for each in ours.pip[platform]]
        assert sorted(read) == sorted({each.name for each in theirs.dependencies[platform]})
