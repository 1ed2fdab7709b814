"""What an archive must not be able to do: each one here is really built to do it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import socket
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from mlproj.errors import SourceError
from mlproj.sources import Fetching, Snapshot, take_snapshot


def tar(*entries: tarfile.TarInfo | tuple[str, bytes], mode: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of files (name and content) and of other entries as they are."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=mode) as archive:
        for entry in entries:
            if isinstance(entry, tuple):
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
            else:
                archive.addfile(entry)
    return packed.getvalue()


def special(name: str, kind: bytes, target: str = "", **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def link(name: str, target: str) -> tarfile.TarInfo:
    return special(name, tarfile.SYMTYPE, target)


def hard(name: str, target: str) -> tarfile.TarInfo:
    return special(name, tarfile.LNKTYPE, target)


def zipped(*entries: tuple[str, bytes] | tuple[str, bytes, int], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of entries: name, content and, where it matters, the mode."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content, *mode in entries:
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is: the constructor would cut and convert it
            info.compress_type = method
            info.external_attr = (mode[0] if mode else 0o100644) << 16
            archive.writestr(info, content)
    return packed.getvalue()


@pytest.fixture
def archive_limit(tmp_path: Path) -> Iterator[Path]:
    """The folder to unpack in, beside which nothing may appear; nor may any part of the archive stay in the cache."""
    outside = {path.name for path in Path("/tmp").iterdir()}
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "victim").write_bytes(b"untouched")
    yield folder
    assert {path.name for path in tmp_path.iterdir()} == {"inside", "victim"}
    assert (tmp_path / "victim").read_bytes() == b"untouched"
    assert stat.S_IMODE((tmp_path / "victim").stat().st_mode) & 0o022 == 0
    assert not {"evil", "evil.txt"} & ({path.name for path in Path("/tmp").iterdir()} - outside)


def unpack(folder: Path, content: bytes, limit: int | None = None) -> Snapshot:
    (folder / "a.zip").write_bytes(content)
    return take_snapshot(str(folder / "a.zip"), fetching=Fetching(cache=folder / "cache", unpack_limit=limit))


def refused(folder: Path, content: bytes, limit: int | None = None) -> str:
    """What is said of an archive that is refused, of which nothing is left."""
    with pytest.raises(SourceError) as refusal:
        unpack(folder, content, limit)
    assert not [path for path in (folder / "cache").rglob("*") if path.name not in ("trees", "kept-trees")]
    said = str(refusal.value)
    assert said.isprintable() or "\n" in said
    assert "\x1b" not in said
    return said


OUTSIDE_NAMES = [
    "../victim",
    "a/../../victim",
    "./../victim",
    "/tmp/evil.txt",
    "//tmp/evil.txt",
    "C:/evil.txt",
    "c:evil.txt",
    "..\\victim",
    "a\\..\\..\\victim",
    "\\\\host\\share\\evil",
    "a/..",
    "..",
]


@pytest.mark.parametrize("name", OUTSIDE_NAMES)
def test_names_that_lead_out(archive_limit: Path, name: str) -> None:
    for content in (tar(("ok", b""), (name, b"evil")), zipped(("ok", b""), (name, b"evil"))):
        said = refused(archive_limit, content)
        assert f"`{name}`" in said


@pytest.mark.parametrize(
    "entries",
    [
        (link("d", ".."), ("d/victim", b"evil")),  # written below a link
        (("d/x", b""), link("d", "..")),  # a link in place of a folder
        (link("d", "."), link("d/e", ".."), ("d/e/victim", b"evil")),
        (link("d", "../victim"), ("d", b"evil")),  # written through a link of that name
        (link("D", ".."), ("d/victim", b"evil")),  # the same on a file system that ignores case
        (special("d", tarfile.DIRTYPE), link("d", "..")),
        (link("d", ".."), special("d", tarfile.DIRTYPE), ("d/victim", b"evil")),
    ],
)
def test_writing_by_way_of_a_link(archive_limit: Path, entries: tuple[tarfile.TarInfo, ...]) -> None:
    assert "`d" in refused(archive_limit, tar(("ok", b""), *entries)).lower()


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("l", "/etc/passwd"),
        ("l", ".."),
        ("l", "../victim"),
        ("sub/l", "../../victim"),
        ("l", "sub/../../victim"),
        ("l", ""),
        ("l", "x\x1b[31my"),
        ("l", "y" * 3000),
    ],
)
def test_links_that_leave(archive_limit: Path, name: str, target: str) -> None:
    assert f"`{name}`" in refused(archive_limit, tar(("ok", b""), ("sub/ok", b""), link(name, target)))
    content = zipped(("ok", b""), ("sub/ok", b""), (name, target.encode(), stat.S_IFLNK | 0o777))
    assert f"`{name}`" in refused(archive_limit, content)


def test_links_that_leave_by_way_of_others(archive_limit: Path) -> None:
    # `deep` leads to the top, so that `deep/..` is outside though its text says `a/b`.
    content = tar(("a/b/ok", b""), ("ok", b""), link("a/b/deep", "../.."), link("l", "a/b/deep/../victim"))
    assert "`l`" in refused(archive_limit, content)


def test_links_that_leave_the_project_for_what_is_beside_its_single_folder(archive_limit: Path) -> None:
    assert "`top/l`" in refused(archive_limit, tar(("top/ok", b""), link("top/l", "..")))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../victim", "missing", "l", "folder", "h", "OK"])
def test_hard_links_to_what_is_no_file_before_them(archive_limit: Path, target: str) -> None:
    content = tar(("ok", b""), ("folder/x", b""), link("l", "../../../victim"), hard("h", target))
    assert target in refused(archive_limit, content)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"V", b"Z"])
def test_devices_and_pipes_in_a_tar(archive_limit: Path, kind: bytes) -> None:
    entry = special("dev", kind, devmajor=1, devminor=3)
    assert "`dev` is neither" in refused(archive_limit, tar(("ok", b""), entry, mode=tarfile.USTAR_FORMAT))


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_pipes_and_sockets_in_a_zip(archive_limit: Path, kind: int) -> None:
    assert "`dev` is neither" in refused(archive_limit, zipped(("ok", b""), ("dev", b"", kind | 0o666)))


def test_of_the_mode_only_the_executable_bit_is_kept(archive_limit: Path) -> None:
    entries = [special("top/s", tarfile.REGTYPE, mode=0o7777, uid=12345), special("top/r", tarfile.REGTYPE, mode=0)]
    entries.append(special("top/sub", tarfile.DIRTYPE, mode=0o7777, uid=12345))
    for content in (tar(*entries), zipped(("s", b"", 0o107777), ("r", b"", 0o100000), ("sub/", b"", 0o047777))):
        folder = unpack(archive_limit, content).folder
        before = os.umask(0)
        os.umask(before)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert modes == {"s": 0o755 & ~before, "r": 0o644 & ~before, "sub": 0o755 & ~before}
        assert {path.stat().st_uid for path in folder.iterdir()} == {os.getuid()}


@pytest.mark.parametrize(
    "names",
    [
        ("train.py", "train.py"),
        ("train.py", "./train.py"),
        ("a/b", "a//b"),
        ("train.py", "TRAIN.py"),
        ("Data/x", "data/y"),
        ("straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("K", "\u212a"),  # the sign for Kelvin
        ("train.py", "train\u200b.py"),  # of no width
        ("train.py", "train.py."),
        ("train.py", "train.py "),
        ("a", "a/b"),
        ("a/b", "a"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_hides_another(archive_limit: Path, names: tuple[str, str]) -> None:
    for content in (tar(*((name, b"") for name in names)), zipped(*((name, b"") for name in names))):
        assert "entr" in refused(archive_limit, content)


@pytest.mark.parametrize(
    "name", ["a\x1b[2Kb", "a\nb", "a\tb", "a\x00b", "a\u202egnp.py", "a\u2066b", "a\x7f", "\ufeffa", "\u009b"]
)
def test_names_that_hide_what_they_are(archive_limit: Path, name: str) -> None:
    assert "hide" in refused(archive_limit, zipped(("ok", b""), (name, b"")))
    if "\x00" not in name:
        assert "hide" in refused(archive_limit, tar(("ok", b""), (name, b"")))


@pytest.mark.parametrize("name", ["x" * 256, "ü" * 128, "/".join(["d"] * 65), "/".join(["d" * 200] * 6)])
def test_names_too_long(archive_limit: Path, name: str) -> None:
    assert "too long" in refused(archive_limit, tar((name, b"")))
    assert "too long" in refused(archive_limit, zipped((name, b"")))


# Bombs ---------------------------------------------------------------------------------------------------------------


def zeros(pack: Callable[[bytes], bytes], size: int) -> bytes:
    """A tar of one file of zeros, packed in one go for each megabyte, so that it is made quickly."""
    head = special("zeros", tarfile.REGTYPE, size=size).tobuf(tarfile.GNU_FORMAT)
    million = pack(bytes(1 << 20))
    return pack(head) + million * (size >> 20) + pack(bytes(1024))


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, lzma.compress, bz2.compress, zstandard.ZstdCompressor().compress],
    ids=["gz", "xz", "bz2", "zst"],
)
def test_a_bomb_is_stopped_at_a_ratio_that_no_project_has(archive_limit: Path, pack: Callable[[bytes], bytes]) -> None:
    bomb = zeros(pack, 600 << 20)
    assert len(bomb) < 1 << 20
    said = refused(archive_limit, bomb)
    assert "more than 500 MB" in said
    assert "bomb" in said
    assert "--unpack-limit" in said


def test_a_bomb_that_does_not_say_how_large_it_is(archive_limit: Path) -> None:
    # Sizes in the headers are true; there are many.
    parts = [special(f"z{number}", tarfile.REGTYPE, size=1 << 20).tobuf() + bytes(1 << 20) for number in range(12)]
    bomb = gzip.compress(b"".join(parts) + bytes(1024))
    assert "more than 10 MB" in refused(archive_limit, bomb, limit=10_000_000)
    assert len(list(unpack(archive_limit, bomb, limit=13_000_000).folder.iterdir())) == 12


def test_endless_zeros_behind_the_end(archive_limit: Path) -> None:
    # Eight gigabytes of them in a megabyte.
    megabytes = zstandard.compress(bytes(32 << 20))
    assert "more than 500 MB" in refused(archive_limit, zstandard.compress(tar(("ok", b""))) + megabytes * 256)


def test_a_sparse_file_of_terabytes(archive_limit: Path) -> None:
    (archive_limit / "sparse").touch()
    os.truncate(archive_limit / "sparse", 1 << 42)
    subprocess.run(["tar", "--sparse", "-cf", "s.tar", "sparse"], cwd=archive_limit, check=True)
    for form in ("gnu", "posix"):
        subprocess.run(["tar", f"--format={form}", "--sparse", "-cf", "s.tar", "sparse"], cwd=archive_limit, check=True)
        assert "`sparse` is a sparse file" in refused(archive_limit, (archive_limit / "s.tar").read_bytes())


def test_a_file_that_says_it_has_exabytes(archive_limit: Path) -> None:
    head = special("huge", tarfile.REGTYPE, size=1 << 60).tobuf(tarfile.GNU_FORMAT)
    assert "more than" in refused(archive_limit, head + bytes(4096))


def test_a_header_that_does_not_end(archive_limit: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
        head = special("x", kind, size=1 << 33).tobuf(tarfile.GNU_FORMAT)
        assert "headers of more than" in refused(
            archive_limit, gzip.compress(tar(("ok", b""))[:512] + head + bytes(10 << 20))
        )


def test_headers_of_headers_without_end(archive_limit: Path) -> None:
    head = special("x", tarfile.XHDTYPE, size=0).tobuf(tarfile.GNU_FORMAT)
    assert "cannot be used" in refused(archive_limit, gzip.compress(head * 20_000))


def test_an_entry_that_goes_back(archive_limit: Path) -> None:
    # A negative size, by which readers of tar have gone round in circles.
    info = special("x", tarfile.REGTYPE)
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[124:136] = b"\xff" * 8 + struct.pack(">i", -512)
    head[148:156] = b"%06o\0 " % (sum(head) - sum(head[148:156]) + 8 * 32)
    assert "an entry goes back" in refused(archive_limit, tar(("ok", b""))[:512] + bytes(head) + bytes(1024))


def test_more_files_than_any_project_has(archive_limit: Path) -> None:
    # Written as bytes: to pack half a million by zipfile takes long.
    local, directory, offset = [], [], 0
    for number in range(500_002):
        name = b"f%d" % number
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0)
        local.append(b"PK\x03\x04" + fields + name)
        directory.append(b"PK\x01\x02\x14\x03" + fields + struct.pack("<HHHII", 0, 0, 0, 0, offset) + name)
        offset += len(local[-1])
    where = len(b"".join(local))
    size = len(b"".join(directory))
    record = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 500_002, 500_002, size, where)
    zip64 = b"PK\x06\x06" + record + b"PK\x06\x07" + struct.pack("<IQI", 0, where + size, 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert "more than 500,000 files" in refused(archive_limit, b"".join(local + directory) + zip64 + end)


def test_folders_count_too(archive_limit: Path) -> None:
    from mlproj.sources.unpack.archive import unpack as unpack_into
    from mlproj.sources.unpack.entries import Limits

    packed = io.BytesIO(tar(*((f"{number}/a/b/c/d/e", b"") for number in range(20))))
    with pytest.raises(SourceError, match="more than 100 files and folders"):
        unpack_into(packed, archive_limit / "x", Limits(10**9, 100))


def test_the_same_folder_again_and_again(archive_limit: Path) -> None:
    from mlproj.sources.unpack.archive import unpack as unpack_into
    from mlproj.sources.unpack.entries import Limits

    packed = io.BytesIO(tar(*(special("d", tarfile.DIRTYPE) for _ in range(101))))
    with pytest.raises(SourceError, match="more than 100 files and folders"):
        unpack_into(packed, archive_limit / "x", Limits(10**9, 100))


def fifield(copies: int) -> bytes:
    """A zip whose entries all have the same bytes (as David Fifield's, in its simplest form)."""
    one = zipped(("same", bytes(1 << 20)))
    start = one.index(b"PK\x01\x02")
    record, end = one[start : one.index(b"PK\x05\x06")], one[one.index(b"PK\x05\x06") :]
    counts = struct.pack("<HHI", copies, copies, len(record) * copies)
    return one[:start] + record * copies + end[:8] + counts + end[16:]


def test_a_zip_whose_entries_overlap(archive_limit: Path) -> None:
    assert "overlaps another" in refused(archive_limit, fifield(1000))


def patched(content: bytes, before: bytes, after: bytes) -> bytes:
    assert before in content
    return content.replace(before, after)


def test_a_zip_that_lies_about_sizes(archive_limit: Path) -> None:
    size = 12_345_678
    honest = zipped(("ok", b""), ("zeros", bytes(size)))
    for lie in (1, 0, size - 1, size + 1, 0xFFFFFFF0):
        content = patched(honest, struct.pack("<I", size), struct.pack("<I", lie))
        assert "cannot be used" in refused(archive_limit, content)
        assert "cannot be used" in refused(archive_limit, content, limit=2**33)


def test_a_zip_whose_local_name_is_another(archive_limit: Path) -> None:
    content = bytearray(zipped(("good.py", b"x"), ("ok", b"")))
    content[30:37] = b"evil.py"
    assert "damaged" in refused(archive_limit, bytes(content))


def test_an_encrypted_zip(archive_limit: Path) -> None:
    honest = zipped(("secret", b"x"), ("ok", b""))
    content = honest.replace(b"\x14\x00\x00\x00\x08\x00", b"\x14\x00\x01\x00\x08\x00")
    assert "`secret` is encrypted" in refused(archive_limit, content)


@pytest.mark.parametrize(
    ("method", "called"), [(9, "deflate64"), (12, "bzip2"), (14, "LZMA"), (93, "zstd"), (77, "method 77")]
)
def test_a_zip_compressed_by_other_methods(archive_limit: Path, method: int, called: str) -> None:
    content = zipped(("old", b"x")).replace(b"\x00\x00\x00\x08\x00", b"\x00\x00\x00" + struct.pack("<H", method))
    assert f"compressed by {called}" in refused(archive_limit, content)


def test_a_zstd_frame_that_wants_gigabytes_of_memory(archive_limit: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=28)
    content = zstandard.ZstdCompressor(compression_params=parameters).compressobj().compress(b"")
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = compressor.compress(tar(("ok", b""))) + compressor.flush()
    assert "cannot be used" in refused(archive_limit, content)


def test_an_xz_stream_that_wants_gigabytes_of_memory(archive_limit: Path) -> None:
    honest = bytearray(lzma.compress(tar(("ok", b""))))
    assert honest[14:16] == b"\x21\x01"  # LZMA2, and one byte that says how large its dictionary is
    honest[16] = 39  # 3 GiB
    honest[20:24] = struct.pack("<I", zlib.crc32(bytes(honest[12:20])))
    assert "cannot be used: it is damaged, or no archive that mlproj can read: Memory" in refused(
        archive_limit, bytes(honest)
    )


# Damage --------------------------------------------------------------------------------------------------------------

WHOLE = {
    "zip": zipped(("ok", b"content" * 1000), ("other", os.urandom(20_000))),
    "tar": tar(("ok", b"content" * 1000), ("other", os.urandom(20_000))),
}
WHOLE["gz"] = gzip.compress(WHOLE["tar"])
WHOLE["xz"] = lzma.compress(WHOLE["tar"])
WHOLE["bz2"] = bz2.compress(WHOLE["tar"])
WHOLE["zst"] = zstandard.ZstdCompressor(write_checksum=True).compress(WHOLE["tar"])


@pytest.mark.parametrize("form", WHOLE)
def test_truncated_anywhere(archive_limit: Path, form: str) -> None:
    whole = WHOLE[form]
    lengths = [1, 100, 600, len(whole) // 2, len(whole) - 1]
    if form == "tar":
        # Between two entries, where only the missing end mark tells; its padding need not be there.
        lengths = [1, 100, 600, 1024, 512 + 7168, len(whole) // 2, 512 + 7168 + 512 + 20480]
    for length in lengths:
        assert "cannot be used" in refused(archive_limit, whole[:length])


@pytest.mark.parametrize("form", [form for form in WHOLE if form != "tar"])
def test_a_byte_that_is_wrong(archive_limit: Path, form: str) -> None:
    content = bytearray(WHOLE[form])
    content[len(content) // 2] ^= 0x55
    assert "damaged" in refused(archive_limit, bytes(content))


@pytest.mark.parametrize("form", WHOLE)
def test_something_behind_the_end(archive_limit: Path, form: str) -> None:
    assert "cannot be used" in refused(archive_limit, WHOLE[form] + b"#!/bin/sh\necho evil\n" * 50)


@pytest.mark.parametrize("form", WHOLE)
def test_something_before_the_start(archive_limit: Path, form: str) -> None:
    assert "no archive" in refused(archive_limit, b"#!/bin/sh\nexit\n" + WHOLE[form])


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 1024, zipped(), tar(), gzip.compress(b""), b"just text", b"\0", os.urandom(999)],
    ids=["empty", "zeros", "zip", "tar", "gzip", "text", "zero", "noise"],
)
def test_archives_of_nothing(archive_limit: Path, content: bytes) -> None:
    assert "cannot be used" in refused(archive_limit, content)


def test_compressed_but_no_tar(archive_limit: Path) -> None:
    assert "cannot be used" in refused(archive_limit, gzip.compress(b"not a tar, but text" * 100))


@pytest.mark.parametrize("form", WHOLE)
def test_any_damage_is_told_and_nothing_is_left(archive_limit: Path, form: str) -> None:
    chance = random.Random(f"{form} 7")
    small = {
        "zip": zipped(("a", b"1"), ("b/c", b"2" * 600)),
        "tar": tar(("ü" * 60, b"1"), link("l", "b"), ("b/c", b"2" * 600)),
    }
    pack = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zstandard.compress}
    whole = small[form] if form in small else pack[form](small["tar"])
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(min(len(content), 4096))] = chance.choice(
                (0, 1, 0xFF, 0x80, chance.randrange(256))
            )
        try:
            folder = unpack(archive_limit, bytes(content)).folder
        except SourceError:
            continue
        inside = os.path.realpath(folder)
        assert all(os.path.realpath(path).startswith(inside) for path in folder.rglob("*"))


# The disk ------------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has to be able to mount a tmpfs: {mounted.stderr}")
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        (tmp_path / "a.tar").write_bytes(tar(("a", b""), ("large", os.urandom(5_000_000))))
        with pytest.raises(SourceError, match=r"the disk that holds .* is full"):
            take_snapshot(str(tmp_path / "a.tar"), fetching=Fetching(cache=disk / "cache"))
        assert not [path for path in disk.rglob("*") if path.is_file()]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_archive_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(WHOLE["tar"])

    def change(_: str) -> None:
        with path.open("ab") as stream:
            stream.write(bytes(512))

    with pytest.raises(SourceError, match="was changed while it was read"):
        take_snapshot(str(path), fetching=Fetching(cache=tmp_path / "cache", report=change))
    assert not list((tmp_path / "cache").rglob("ok"))


def test_a_pipe_or_a_socket_called_like_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("a.zip")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("b.zip")
        for name in ("a.zip", "b.zip"):
            with pytest.raises(SourceError, match="no file"):
                take_snapshot(name, fetching=Fetching(cache=tmp_path / "cache"))
