"""Build contexts: which files belong, what their digest depends on, and the tar that is sent."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from mlproj.environments.images.context import context_digest, read_context, write_tar
from mlproj.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "context"
    (made / "src" / "inner").mkdir(parents=True)
    (made / "data").mkdir()
    for name in ("Dockerfile", "train.py", "notes.md", "src/a.py", "src/inner/b.py", "data/large.csv", "data/keep.csv"):
        (made / name).write_text(name)
    return made


def paths(folder: Path, sources: list[str] | None = None) -> list[str]:
    return list(read_context(folder, folder / "Dockerfile", sources).paths)


def digest(folder: Path, sources: list[str] | None = None) -> str:
    return context_digest(read_context(folder, folder / "Dockerfile", sources), folder.parent / "cache")


def test_without_a_dockerignore_all_is_sent(folder: Path) -> None:
    assert paths(folder) == [
        "Dockerfile",
        "data",
        "data/keep.csv",
        "data/large.csv",
        "notes.md",
        "src",
        "src/a.py",
        "src/inner",
        "src/inner/b.py",
        "train.py",
    ]


def test_what_dockerignore_names_is_left_out_and_taken_in_again(folder: Path) -> None:
    (folder / ".dockerignore").write_text("# words\n*.md\ndata\n!data/keep.csv\n**/b.py\nDockerfile\n")

    assert paths(folder) == [
        ".dockerignore",
        "data",
        "data/keep.csv",
        "src",
        "src/a.py",
        "src/inner",
        "train.py",
    ]


def test_a_dockerfiles_own_list_goes_before_the_contexts(folder: Path) -> None:
    (folder / ".dockerignore").write_text("src\n")
    (folder / "Dockerfile.dockerignore").write_text("data\n*.md\nDockerfile*\n")

    assert paths(folder) == [".dockerignore", "src", "src/a.py", "src/inner", "src/inner/b.py", "train.py"]


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ([], []),
        (["train.py"], ["train.py"]),
        (["./src/"], ["src", "src/a.py", "src/inner", "src/inner/b.py"]),
        (["/src/inner/b.py"], ["src", "src/inner", "src/inner/b.py"]),
        (["data/*.csv", "no*"], ["data", "data/keep.csv", "data/large.csv", "notes.md"]),
        (["../train.py"], ["train.py"]),
    ],
)
def test_only_what_the_dockerfile_copies_belongs(folder: Path, sources: list[str], found: list[str]) -> None:
    assert paths(folder, sources) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("lf", ["lf", "lnk", "real", "real/f", "real/lf"]),
        ("lnk/f", ["lnk", "real", "real/f"]),
        ("lnk/", ["lnk", "real", "real/f", "real/lf"]),
        ("l*", ["lf", "lnk", "real", "real/f", "real/lf"]),
        ("real", ["real", "real/f", "real/lf"]),
        ("out", ["etc", "etc/x", "out"]),
    ],
)
def test_what_copied_links_lead_to_in_the_context_belongs(folder: Path, source: str, found: list[str]) -> None:
    for name in ("real/f", "etc/x"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    (folder / "lnk").symlink_to("real")
    (folder / "lf").symlink_to("lnk/lf")
    (folder / "real" / "lf").symlink_to("./f")
    # The builder takes the context for all there is.
    (folder / "out").symlink_to("../../../etc/x")

    assert paths(folder, [source]) == found


def test_a_link_through_another_and_back_may_lead_anywhere(folder: Path) -> None:
    (folder / "odd").symlink_to("src/../notes.md")

    assert paths(folder, ["odd"]) == paths(folder)


def test_links_that_lead_round_come_to_an_end(folder: Path) -> None:
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    (folder / "deeper").symlink_to("deeper/deeper")

    assert paths(folder, ["one"]) == ["one", "two"]
    assert paths(folder, ["deeper"]) == paths(folder)


def test_a_full_disk_is_no_fault_of_the_file_that_is_packed(folder: Path) -> None:
    context = read_context(folder, folder / "Dockerfile", None)
    (folder / "train.py").write_bytes(bytes(1 << 20))

    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        write_tar(context, None, full)


def test_the_digest_is_of_names_contents_permissions_and_links(folder: Path) -> None:
    seen = {digest(folder)}

    (folder / "train.py").write_text("other")
    seen.add(digest(folder))
    (folder / "train.py").chmod(0o755)
    seen.add(digest(folder))
    (folder / "link").symlink_to("train.py")
    seen.add(digest(folder))
    (folder / "link").unlink()
    (folder / "link").symlink_to("notes.md")
    seen.add(digest(folder))
    (folder / "notes.md").rename(folder / "read.md")
    seen.add(digest(folder))

    assert len(seen) == 6


def test_the_digest_is_of_no_times_and_of_nothing_left_out(folder: Path) -> None:
    (folder / ".dockerignore").write_text("data\n")
    before = digest(folder)

    (folder / "data" / "large.csv").write_text("more")
    os.utime(folder / "train.py", (1, 1))

    assert digest(folder) == before


def test_a_context_is_not_read_again_until_it_looks_different(folder: Path) -> None:
    path = folder / "train.py"
    for each in [folder, *folder.rglob("*")]:
        os.utime(each, (1, 1))
    before = digest(folder)
    (memory,) = (folder.parent / "cache" / "recalled").glob("*.context")
    looks, kept = memory.read_text().split()
    assert kept == before

    memory.write_text(f"{looks} remembered")
    assert digest(folder) == "remembered"
    path.write_text("changed!")
    assert digest(folder) not in ("remembered", before)
    # Changed just now: nothing is kept that the next change could be missed by.
    assert memory.read_text() == f"{looks} remembered"


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    context = read_context(folder, folder / "Dockerfile", None)
    (folder / "train.py").unlink()

    with pytest.raises(UsageError, match=r"train\.py.* cannot be read") as caught:
        context_digest(context, folder / "cache")

    assert ".dockerignore" in str(caught.value.hint)


def test_a_list_of_what_is_ignored_can_ignore_itself(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n!train.py\n")

    assert paths(folder) == ["train.py"]


def test_there_has_to_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        read_context(tmp_path / "none", tmp_path / "Dockerfile", None)


def test_the_tar_has_the_files_as_they_are_and_the_dockerfile_that_is_given(folder: Path) -> None:
    (folder / "train.py").chmod(0o755)
    (folder / "link").symlink_to("src")
    os.link(folder / "notes.md", folder / "second")
    os.utime(folder / "notes.md", (1_600_000_000.5, 1_600_000_000.5))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        stream = io.BytesIO()
        write_tar(read_context(folder, folder / "Dockerfile", None), "FROM pinned\n", stream)

    with tarfile.open(fileobj=stream) as tar:
        entries = {entry.name: entry for entry in tar}
        dockerfile = tar.extractfile("Dockerfile")
        assert dockerfile is not None
        assert dockerfile.read() == b"FROM pinned\n"
    assert entries["train.py"].mode == 0o755
    assert entries["link"].issym()
    assert entries["link"].linkname == "src"
    assert entries["second"].isreg()
    assert entries["second"].size == len("notes.md")
    assert "socket" not in entries
    assert {entry.uid for entry in entries.values()} == {0}


def test_the_tar_begins_with_what_buildkit_knows_a_tar_by(folder: Path) -> None:
    stream = io.BytesIO()
    write_tar(read_context(folder, folder / "Dockerfile", None), "FROM a\n", stream)

    with tarfile.open(fileobj=io.BytesIO(stream.getvalue()[:1024].ljust(2048, b"\0"))) as beginning:
        first = beginning.next()

    assert first is not None
    assert first.isdir()
