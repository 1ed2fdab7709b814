"""Projects in archives: of every format, by path and by URL, with what their packers leave in them."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.server
import io
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mlproj.errors import SourceError
from mlproj.sources import Fetching, Snapshot, release_tree, take_snapshot
from mlproj.sources.archives import recognises

FILES = {"mlproj.yaml": b"name: wine\n", "train.py": b"print(1)\n", "sub.dir/p/data.csv": b"1,2\n", "a b@c/x": b""}


def tar_of(files: dict[str, bytes], prefix: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(content)
            entry.mode = 0o755 if name.endswith(".py") else 0o666
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def zip_of(files: dict[str, bytes], prefix: str = "") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(prefix + name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if name.endswith(".py") else 0o100666) << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def xz(content: bytes) -> bytes:
    return lzma.compress(content)


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


PACKED = {
    "wine.zip": zip_of(FILES),
    "wine.tar": tar_of(FILES),
    "wine.tar.gz": gzip.compress(tar_of(FILES)),
    "wine.TGZ": gzip.compress(tar_of(FILES)),
    "wine.tar.xz": xz(tar_of(FILES)),
    "wine.txz": xz(tar_of(FILES)),
    "wine.tar.zst": zstd(tar_of(FILES)),
    "wine.tar.bz2": bz2.compress(tar_of(FILES)),
}


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unpacked(folder: Path, name: str, content: bytes, subdirectory: str = "", **options: object) -> Snapshot:
    """The snapshot of an archive written into ``folder``."""
    path = folder / name
    path.write_bytes(content)
    return take_snapshot(f"{path}{subdirectory}", fetching=Fetching(cache=folder / "cache", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PACKED)
def test_an_archive_of_any_format_is_unpacked_and_identified_by_its_bytes(tmp_path: Path, name: str) -> None:
    snapshot = unpacked(tmp_path, name, PACKED[name])
    assert files_in(snapshot.folder) == FILES
    assert os.access(snapshot.folder / "train.py", os.X_OK)
    assert (snapshot.folder / "mlproj.yaml").stat().st_mode & 0o777 == 0o644
    assert (snapshot.kind, snapshot.commit, snapshot.dirty) == ("archive", None, False)
    assert snapshot.digest == hashlib.sha256(PACKED[name]).hexdigest()
    assert snapshot.remote == str(tmp_path / name)


def test_a_released_tree_is_gone_and_the_same_archive_comes_to_the_same_place_again(tmp_path: Path) -> None:
    first = unpacked(tmp_path, "wine.zip", PACKED["wine.zip"])
    assert first.tree is not None
    release_tree(first.tree)
    assert not first.folder.exists()
    again = unpacked(tmp_path, "renamed.zip", PACKED["wine.zip"])
    assert again.folder == first.folder
    assert files_in(again.folder) == FILES


def test_two_runs_at_once_have_a_tree_each(tmp_path: Path) -> None:
    one = unpacked(tmp_path, "wine.zip", PACKED["wine.zip"])
    other = unpacked(tmp_path, "wine.zip", PACKED["wine.zip"])
    (one.folder / "written").touch()
    assert one.folder != other.folder
    assert files_in(other.folder) == FILES


def test_a_kept_tree_stays(tmp_path: Path) -> None:
    snapshot = unpacked(tmp_path, "wine.tar.zst", PACKED["wine.tar.zst"], keep_tree=True)
    assert snapshot.tree is not None
    release_tree(snapshot.tree)
    unpacked(tmp_path, "other.tar", PACKED["wine.tar"])
    assert files_in(snapshot.folder) == FILES


@pytest.mark.parametrize(
    "content", [zip_of(FILES, "wine-1.0/"), gzip.compress(tar_of(FILES, "./wine-1.0/"))], ids=["zip", "tar"]
)
def test_a_single_top_folder_is_left_out(tmp_path: Path, content: bytes) -> None:
    assert files_in(unpacked(tmp_path, "wine.zip", content).folder) == FILES
    assert files_in(unpacked(tmp_path, "wine.zip", content, "#sub.dir/p").folder) == {"data.csv": b"1,2\n"}


def test_git_archive_with_a_prefix_and_its_global_header(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    (tmp_path / "mlproj.yaml").write_text("name: x\n")
    (tmp_path / "train.py").touch(mode=0o755)
    (tmp_path / "latest").symlink_to("train.py")
    for command in (["init", "-q"], ["add", "mlproj.yaml", "train.py", "latest"], ["commit", "-qm", "One"]):
        subprocess.run([*git, *command], check=True)
    for name in ("a.zip", "a.tar", "a.tar.gz"):
        subprocess.run([*git, "archive", "--prefix=wine-1/", "-o", name, "HEAD"], check=True)
        folder = take_snapshot(str(tmp_path / name)).folder
        assert {path.name for path in folder.iterdir()} == {"mlproj.yaml", "train.py", "latest"}
        assert (folder / "latest").readlink() == Path("train.py")
        assert os.access(folder / "train.py", os.X_OK)


def test_what_the_finder_and_old_readers_of_tar_leave_behind_is_no_file_of_the_project(tmp_path: Path) -> None:
    files = {f"wine/{name}": content for name, content in FILES.items()}
    content = zip_of({**files, "__MACOSX/wine/._train.py": b"x", "pax_global_header": b"x"})
    assert files_in(unpacked(tmp_path, "wine.zip", content).folder) == FILES


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("#sub.dir/p", {"data.csv": b"1,2\n"}),
        ("#a b@c", {"x": b""}),
        ("#a%20b%40c/", {"x": b""}),
        ("#./sub.dir//p/.", {"data.csv": b"1,2\n"}),
        ("#", FILES),
    ],
)
def test_a_subdirectory(tmp_path: Path, fragment: str, expected: dict[str, bytes]) -> None:
    snapshot = unpacked(tmp_path, "wine.zip", PACKED["wine.zip"], fragment)
    assert files_in(snapshot.folder) == expected
    assert snapshot.tree is not None
    assert snapshot.folder == snapshot.tree.folder / snapshot.subdirectory


@pytest.mark.parametrize("fragment", ["#..", "#/etc", "#a/../../b", "#%2e%2e/x", "#nothing", "#train.py", "#a\x1b[0m"])
def test_a_subdirectory_that_is_none(tmp_path: Path, fragment: str) -> None:
    with pytest.raises(SourceError, match=r"no folder") as refusal:
        unpacked(tmp_path, "wine.zip", PACKED["wine.zip"], fragment)
    assert "\x1b" not in str(refusal.value)
    assert not any((tmp_path / "cache").rglob("mlproj.yaml"))


def test_a_subdirectory_named_with_the_top_folder_is_told_how_it_is_called(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"write `#sub.dir/p`"):
        unpacked(tmp_path, "wine.zip", zip_of(FILES, "wine-1/"), "#wine-1/sub.dir/p")


def test_a_file_whose_own_name_holds_a_hash(tmp_path: Path) -> None:
    assert files_in(unpacked(tmp_path, "run#3.zip", PACKED["wine.zip"]).folder) == FILES
    assert files_in(unpacked(tmp_path, "run#3.zip", PACKED["wine.zip"], "#a b@c").folder) == {"x": b""}


def test_what_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "archive.zip").touch()
    ours = ["archive.zip", "./archive.zip#sub", "missing.tar.zst", "https://host/a.zip?token=x#sub", "s3://b/a.tar.xz"]
    others = [
        "folder.zip",
        "https://host/a.git",
        "git@host:team/a.zip",
        "https://host/a.zip/b",
        "ext::a.zip",
        "a\x00.zip",
    ]
    assert [uri for uri in [*ours, *others] if recognises(uri, Fetching())] == ours


@given(
    st.text(max_size=30),
    st.sampled_from(["", "~x/", "file://", "https://[", "memory://", "x" * 5000]),
    st.text(max_size=5),
)
def test_any_text_is_an_archive_that_is_not_there_or_none(text: str, before: str, after: str) -> None:
    uri = f"{before}{text}.zip{after}"
    if recognises(uri, Fetching()):
        with tempfile.TemporaryDirectory() as cache, pytest.raises(SourceError):
            take_snapshot(uri, fetching=Fetching(cache=Path(cache), offline=True))


def test_the_format_is_told_by_the_bytes_and_not_by_the_name(tmp_path: Path) -> None:
    assert files_in(unpacked(tmp_path, "wine.zip", PACKED["wine.tar.zst"]).folder) == FILES
    assert files_in(unpacked(tmp_path, "wine.tar.gz", PACKED["wine.zip"]).folder) == FILES


def test_several_gzip_members_zstd_frames_and_xz_streams_are_one_archive(tmp_path: Path) -> None:
    one, other = tar_of(FILES)[:1000], tar_of(FILES)[1000:]
    skipped = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note"
    for name, pack, between in (
        ("a.tar.gz", gzip.compress, b""),
        ("a.tar.zst", zstd, skipped),
        ("a.tar.xz", xz, bytes(4)),
        ("a.tar.bz2", bz2.compress, b""),
    ):
        assert files_in(unpacked(tmp_path, name, pack(one) + between + pack(other)).folder) == FILES


def test_large_files_come_through_whole(tmp_path: Path) -> None:
    # Two that compress well and one that does not, larger than any buffer on the way.
    files = {"zeros": bytes(20_000_000), "text": b"a line of text\n" * 200_000, "noise": os.urandom(2_000_000)}
    for name, content in {"a.zip": zip_of(files), "a.tar.zst": zstd(tar_of(files)), "a.txz": xz(tar_of(files))}.items():
        assert files_in(unpacked(tmp_path, name, content).folder) == files


def test_names_in_any_writing(tmp_path: Path) -> None:
    names = ["größe.txt", "データ/表.csv", "emoji-👩‍🔬", "at 12:30", "trailing.", " leading"]
    files = {name: name.encode() for name in names}
    assert files_in(unpacked(tmp_path, "a.zip", zip_of(files)).folder) == files
    assert files_in(unpacked(tmp_path, "a.tar", tar_of(files)).folder) == files


def test_names_that_a_zip_does_not_mark_as_utf8(tmp_path: Path) -> None:
    # The flag of UTF-8 taken out: macOS packs such archives. What is no UTF-8 is read as cp437, as ever.
    packed = zip_of({"größe": b"1", "plain": b"2"}).replace(b"\x00\x08\x08\x00", b"\x00\x00\x08\x00")
    assert files_in(unpacked(tmp_path, "a.zip", packed).folder) == {"größe": b"1", "plain": b"2"}
    packed = packed.replace("größe".encode(), b"gr\x94\x94\x94\x81e")
    assert set(files_in(unpacked(tmp_path, "b.zip", packed).folder)) == {"gröööüe", "plain"}


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_a_name_that_is_no_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, "a.tar", tar_of({"caf\udce9": b"1", "b": b"2"})).folder
    assert {os.fsencode(path.name) for path in folder.iterdir()} == {b"caf\xe9", b"b"}


def test_links_within_the_project_are_kept(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, target, kind in (
            ("w/data/latest", "../runs/1", tarfile.SYMTYPE),
            ("w/dangling", "not/here", tarfile.SYMTYPE),
            ("w/self", ".", tarfile.SYMTYPE),
            ("w/a", "", tarfile.REGTYPE),
            ("w/b", "w/a", tarfile.LNKTYPE),
            ("w/runs/1/x", "", tarfile.REGTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
    folder = unpacked(tmp_path, "a.tar", packed.getvalue()).folder
    assert (folder / "data/latest/x").is_file()
    assert (folder / "dangling").is_symlink()
    assert (folder / "b").samefile(folder / "a")
    assert (folder / "self/a").is_file()


def test_an_archive_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no revisions"):
        unpacked(tmp_path, "wine.zip", PACKED["wine.zip"], revision="v1")


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no file `.*missing\.zip`"):
        take_snapshot(str(tmp_path / "missing.zip"))


@pytest.fixture
def archive_server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a server of the files in tmp_path/www, and the paths that it was asked for."""
    asked: list[str] = []

    class Answers(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "www"))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            if self.command == "GET":
                asked.append(self.path)

    (tmp_path / "www").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_an_archive_by_url_is_fetched_once_and_keeps_its_credentials_secret(
    tmp_path: Path, archive_server: tuple[str, list[str]]
) -> None:
    host, asked = archive_server
    (tmp_path / "www/wine.tar.zst").write_bytes(PACKED["wine.tar.zst"])
    uri = f"http://me:pa55word@{host}/wine.tar.zst?token=t0k3n#sub.dir/p"
    snapshot = take_snapshot(uri, fetching=Fetching(cache=tmp_path / "cache"))
    assert files_in(snapshot.folder) == {"data.csv": b"1,2\n"}
    assert snapshot.remote == f"http://{host}/wine.tar.zst?token=***"
    assert set(snapshot.secrets) == {"pa55word", "t0k3n"}
    assert "pa55word" not in repr(snapshot)
    times = len(asked)
    take_snapshot(uri, fetching=Fetching(cache=tmp_path / "cache", offline=True))
    assert len(asked) == times
    assert b"t0k3n" not in b"".join(files_in(tmp_path / "cache").values())


def test_a_page_that_is_no_archive(tmp_path: Path, archive_server: tuple[str, list[str]]) -> None:
    host, _ = archive_server
    (tmp_path / "www/wine.zip").write_text("<!doctype html><p>Please log in</p>")
    with pytest.raises(SourceError, match="no archive: it is a web page"):
        take_snapshot(f"http://{host}/wine.zip")
    with pytest.raises(SourceError, match="404"):
        take_snapshot(f"http://{host}/other.zip")


def test_a_download_larger_than_any_archive_may_be(tmp_path: Path, archive_server: tuple[str, list[str]]) -> None:
    host, _ = archive_server
    (tmp_path / "www/huge.zip").touch()
    os.truncate(tmp_path / "www/huge.zip", 30_000_000_000)
    with pytest.raises(SourceError, match="is larger than 20 GB"):
        take_snapshot(f"http://{host}/huge.zip", fetching=Fetching(cache=tmp_path / "cache"))
    assert not any((tmp_path / "cache").rglob("huge.zip"))


def test_offline_without_having_fetched(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--offline"):
        take_snapshot("https://host.invalid/a.zip", fetching=Fetching(cache=tmp_path, offline=True))


def test_a_file_url(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(PACKED["wine.zip"])
    snapshot = take_snapshot(f"file://{tmp_path}/a.zip")
    assert files_in(snapshot.folder) == FILES


KILLED = """
import sys
from pathlib import Path
from mlproj.sources import Fetching, take_snapshot
take_snapshot(sys.argv[1], fetching=Fetching(cache=Path(sys.argv[2]), keep_tree=sys.argv[3] == "keep"))
"""


@pytest.mark.parametrize("keep", [False, True])
def test_killed_while_unpacking_it_leaves_nothing_that_a_later_run_uses(tmp_path: Path, keep: bool) -> None:
    # Enough files that it is far from done when the first one is seen.
    files = {"first": b"1", **{f"f{number}": os.urandom(100) for number in range(10_000)}}
    path, cache = tmp_path / "a.tar", tmp_path / "cache"
    path.write_bytes(tar_of(files))
    process = subprocess.Popen([sys.executable, "-c", KILLED, path, cache, "keep" if keep else ""])
    deadline = time.monotonic() + 60
    while not any(cache.rglob("first")) and time.monotonic() < deadline:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert any(cache.rglob("first"))
    assert not any(cache.rglob("f9999"))
    snapshot = take_snapshot(str(path), fetching=Fetching(cache=cache, keep_tree=keep))
    assert len(list(snapshot.folder.iterdir())) == 10_001
    assert len(list(cache.rglob("first"))) == 1  # what was left behind is gone
