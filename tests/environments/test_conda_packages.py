"""Packages of strangers: none is taken for another, and none writes outside of the environment."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
import zstandard

from mlproj.environments import Policy, prune
from mlproj.errors import EnvironmentBuildError, LockError
from tests.environments.conda_channel import index_channel, write_package

pytestmark = pytest.mark.usefixtures("own_conda")
LOCKED, FROZEN = Policy(locked=True), Policy(frozen=True)


def channel(folder: Path, *, content: bytes = b"", **index: Any) -> str:
    """A channel of one package, `apple 1.0`; ``index`` is what its index says instead, ``None`` for nothing."""
    write_package(folder, "apple", "1.0", {"share/apple": content})
    index_channel(folder)
    path = folder / "noarch" / "repodata.json"
    read = json.loads(path.read_text())
    for kind in ("packages", "packages.conda"):
        for package in read[kind].values():
            for key, value in index.items():
                package.pop(key)
                package.update({key: value} if value is not None else {})
    path.write_text(json.dumps(read))
    return f"file://{folder}"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "conda-lock.yml"
    document = yaml.safe_load(path.read_text())
    change(document["package"][0])
    path.write_text(yaml.safe_dump(document))


class TestAPackageIsTheOneOfItsDigest:
    def test_one_of_the_same_name_in_the_cache_is_another(self, conda: Any, tmp_path: Path) -> None:
        good, bad = channel(tmp_path / "good", content=b"good"), channel(tmp_path / "bad", content=b"bad")
        conda.lock("apple", channels=[good])
        conda.prepare("apple", channels=[bad])
        # The first attempt fails, as one that is killed does while it fetches.
        aside = (tmp_path / "good").rename(tmp_path / "aside")
        with pytest.raises(EnvironmentBuildError):
            conda.prepare("apple", channels=[good], policy=FROZEN)
        aside.rename(tmp_path / "good")
        for policy in (FROZEN, LOCKED, Policy(refresh=True)):
            found = conda.prepare("apple", channels=[good], policy=policy)
            assert (found.folder / "share" / "apple").read_bytes() == b"good"

    @pytest.mark.parametrize("index", [{"sha256": None}, {"md5": None}, {"sha256": None, "md5": None}])
    def test_without_a_digest_in_its_channel(self, conda: Any, tmp_path: Path, index: dict[str, Any]) -> None:
        bad = channel(tmp_path / "bad", content=b"bad", **index)
        good = channel(tmp_path / "good", content=b"good", **index)
        conda.prepare("apple", channels=[bad])
        found = conda.prepare("apple", channels=[good])
        assert (found.folder / "share" / "apple").read_bytes() == b"good"
        conda.lock("apple", channels=[good])
        locked = yaml.safe_load((conda.folder / "conda-lock.yml").read_text())["package"][0]["hash"]
        assert len(locked["md5"]) == 32
        found = conda.prepare("apple", channels=[good], policy=LOCKED)
        assert (found.folder / "share" / "apple").read_bytes() == b"good"

    def test_a_wrong_md5_is_noticed(self, conda: Any, tmp_path: Path) -> None:
        url = channel(tmp_path / "mine")
        conda.lock("apple", channels=[url])
        rewrite(conda.folder, lambda package: package.update(hash={"md5": "0" * 32}))
        with pytest.raises(EnvironmentBuildError, match="hash mismatch: .*MD5"):
            conda.prepare("apple", channels=[url], policy=FROZEN)

    @pytest.mark.parametrize("digests", [{}, {"sha256": None}, {"sha512": "0" * 128}])
    def test_a_lock_without_a_digest_is_refused(self, conda: Any, tmp_path: Path, digests: dict[str, Any]) -> None:
        url = channel(tmp_path / "mine")
        conda.lock("apple", channels=[url])
        rewrite(conda.folder, lambda package: package.update(hash=digests))
        with pytest.raises(LockError, match="has no digest of apple"):
            conda.prepare("apple", channels=[url], policy=FROZEN)

    def test_another_package_s_file_is_refused(self, conda: Any) -> None:
        conda.lock("plum")
        rewrite(conda.folder, lambda package: package.update(name="apple"))
        with pytest.raises(EnvironmentBuildError, match="apple 1.0 0 is not the package of its URL, plum-1.0-0.conda"):
            conda.prepare("plum", policy=FROZEN)

    def test_one_that_says_to_be_another_is_refused(self, conda: Any, tmp_path: Path) -> None:
        url = channel(tmp_path / "mine")
        noarch = tmp_path / "mine" / "noarch"
        conda.lock("apple", channels=[url])
        shutil.copy(noarch / "apple-1.0-0.conda", noarch / "peach-1.0-0.conda")
        other = f"{url}/noarch/peach-1.0-0.conda"
        rewrite(conda.folder, lambda package: package.update(name="peach", url=other))
        with pytest.raises(EnvironmentBuildError, match="it is apple 1.0 0, and not peach 1.0 0"):
            conda.prepare("apple", channels=[url], policy=FROZEN)

    def test_offline_a_spoilt_one_is_not_fetched(self, conda: Any, cache: Path) -> None:
        conda.prepare("plum")
        prune()
        (kept,) = (cache / "conda" / "packages").glob("*/plum-1.0-0/share/plum")
        kept.write_text("spoilt\n")
        found = conda.prepare("plum", policy=Policy(offline=True))
        # Its channel is a folder, which is never out of reach.
        assert (found.folder / "share" / "plum").read_text() == "plum\n"


class TestChannelsDecide:
    def test_a_package_of_a_channel_that_is_gone_does_not_stay(
        self, conda: Any, own_channel: Callable[..., str]
    ) -> None:
        old, new = own_channel("old", "apple 2.0"), own_channel("new", "apple 1.0", "pear 1.0")
        conda.lock("apple", channels=[old])
        assert conda.prepare("apple", channels=[new]).packages == {"apple": "1.0"}
        conda.lock("apple", channels=[new, old])
        assert conda.prepare("apple", channels=[new, old], policy=LOCKED).packages == {"apple": "1.0"}

    def test_one_of_the_same_name_is_the_channel_s(self, conda: Any, tmp_path: Path) -> None:
        old, new = channel(tmp_path / "old", content=b"old"), channel(tmp_path / "new", content=b"new")
        conda.lock("apple", channels=[old])
        found = conda.prepare("apple", channels=[new, old])
        assert (found.folder / "share" / "apple").read_bytes() == b"new"


def raw_package(folder: Path, members: dict[str, bytes | str], paths: list[dict[str, Any]], **link: Any) -> str:
    """A channel of `apple 1.0`, made of exactly these members (a text is what a link leads to) and these paths."""
    content, information = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, value in members.items():
            info = tarfile.TarInfo(path)
            if isinstance(value, str):
                info.type, info.linkname = tarfile.SYMTYPE, value
                archive.addfile(info)
            else:
                info.size = len(value)
                archive.addfile(info, io.BytesIO(value))
    index = {"name": "apple", "version": "1.0", "build": "0", "build_number": 0, "subdir": "noarch", "depends": []}
    index["noarch"] = "python" if link else "generic"
    described = {"index.json": index, "paths.json": {"paths": paths, "paths_version": 1}}
    if link:
        described["link.json"] = {"noarch": {"type": "python", **link}, "package_metadata_version": 1}
    with tarfile.open(fileobj=information, mode="w") as archive:
        for name, value in described.items():
            data = json.dumps(value).encode()
            info = tarfile.TarInfo(f"info/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (folder / "noarch").mkdir(parents=True)
    with zipfile.ZipFile(folder / "noarch" / "apple-1.0-0.conda", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        archive.writestr("pkg-apple-1.0-0.tar.zst", zstandard.compress(content.getvalue()))
        archive.writestr("info-apple-1.0-0.tar.zst", zstandard.compress(information.getvalue()))
    index_channel(folder)
    return f"file://{folder}"


def entry(path: str, kind: str = "hardlink") -> dict[str, Any]:
    return {"_path": path, "path_type": kind}


class TestNothingIsWrittenOutside:
    @pytest.mark.parametrize(
        ("members", "path", "why"),
        [
            ({"a": "d/e", "d/e/x": b"", "out": b"out"}, "a/../../../../../../../../../../../tmp/out", "no path inside"),
            ({"x": b""}, "/tmp/out", "no path inside"),
            ({"x": b""}, "./x", "no path inside"),
            ({"x": b""}, "x\0y", "no path inside"),
            ({"x": b""}, "", "no path inside"),
            ({"x": b""}, "d/" * 2000 + "x", "too deep"),
            ({"x": b""}, "x" * 2000, "too long"),
            ({"x": b""}, "x" * 300, "too long"),
            ({"x": b""}, "x\ud800", "no path inside"),
            ({"a": "/etc"}, "a/passwd", "goes through a symbolic link"),
            ({"x": "/etc/passwd"}, "x", "is a symbolic link and not the file"),
            ({"environment.json": b"{}"}, "environment.json", "is where mlproj and conda keep"),
            ({"projects/x": b""}, "projects/x", "is where mlproj and conda keep"),
            ({"conda-meta/x.json": b""}, "conda-meta/x.json", "is where mlproj and conda keep"),
        ],
    )
    def test_by_a_path(self, conda: Any, tmp_path: Path, members: dict[str, bytes | str], path: str, why: str) -> None:
        url = raw_package(tmp_path / "evil", members, [entry(path)])
        for _ in range(2):
            with pytest.raises(EnvironmentBuildError, match=rf"the package apple is not installed: .*{why}"):
                conda.prepare("apple", channels=[url])
        assert not Path("/tmp/out").exists()

    @pytest.mark.parametrize("place", ["bin", "conda-meta", "etc", "share"])
    def test_by_a_link_of_another_package(self, conda: Any, tmp_path: Path, place: str) -> None:
        folder, outside = tmp_path / "evil", tmp_path / "outside"
        outside.mkdir()
        url = raw_package(
            folder, {place: "here", "here": str(outside)}, [entry(place, "softlink"), entry("here", "softlink")]
        )
        write_package(folder, "pear", "1.0", {"share/pear": b"pear"})
        index_channel(folder)
        with pytest.raises(EnvironmentBuildError, match="is (a symbolic link out of the environment|where mlproj)"):
            conda.prepare("apple", "pear", channels=[url])
        assert list(outside.iterdir()) == []

    def test_by_the_name_of_a_command(self, conda: Any, tmp_path: Path) -> None:
        url = raw_package(tmp_path / "evil", {"x": b""}, [entry("x")], entry_points=["../../out = os:getcwd"])
        with pytest.raises(EnvironmentBuildError, match="its command `../../out` is no name of one"):
            conda.prepare("apple", channels=[url])

    def test_links_within_are_fine(self, conda: Any, tmp_path: Path) -> None:
        url = raw_package(
            tmp_path / "good",
            {"lib64": "lib", "lib/x": b"x", "share/elsewhere": "/usr/share/nothing"},
            [entry("lib64", "softlink"), entry("lib/x"), entry("share/elsewhere", "softlink")],
        )
        assert (conda.prepare("apple", channels=[url]).folder / "lib64" / "x").read_bytes() == b"x"


def test_what_rattler_panics_at_is_an_error(conda: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from mlproj.environments.prefixes.solving import wait_for_result

    async def panics() -> None:
        raise type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})("an index out of bounds")

    with pytest.raises(EnvironmentBuildError, match="rattler failed: an index out of bounds"):
        wait_for_result(panics())


def test_a_package_of_the_old_format_is_the_same(conda: Any, tmp_path: Path) -> None:
    index = {"name": "apple", "version": "1.0", "build": "0", "build_number": 0, "subdir": "noarch", "depends": []}
    # Without a paths.json, as they were many years ago.
    members = {"share/apple": b"ripe", "info/files": b"share/apple\n", "info/index.json": json.dumps(index).encode()}
    (tmp_path / "old" / "noarch").mkdir(parents=True)
    with tarfile.open(tmp_path / "old" / "noarch" / "apple-1.0-0.tar.bz2", "w:bz2") as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    index_channel(tmp_path / "old")
    for policy in (Policy(), Policy(refresh=True)):
        found = conda.prepare("apple", channels=[f"file://{tmp_path}/old"], policy=policy)
        assert (found.folder / "share" / "apple").read_bytes() == b"ripe"
