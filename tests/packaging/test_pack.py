"""``mlproj pack``: what is in a pack, that it is the same everywhere, that it is whole or not there, and its seal."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from mlproj.packaging.entries import Entry, open_tar, write_entries
from mlproj.packaging.pack import Pack, write_pack
from mlproj.sources import Snapshot
from tests.conftest import WriteProject

Mlproj = Callable[..., subprocess.CompletedProcess[str]]
MANIFEST = """
name: wine
environment: {system: {}}
entry_points:
  main: {command: [cat, data.txt], outputs: {model: {path: model.txt, optional: true}}}
"""
NAME = "wine-1.2.mlpack.tar.zst"


def git(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    who = {"GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "n@x", "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "n@x"}
    who |= {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **who, **(env or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def wine(project: WriteProject) -> Path:
    """A project in no repository."""
    return project(MANIFEST, {"data.txt": "hello\n", "src/a.py": "1\n"})


@pytest.fixture
def repository(wine: Path) -> Path:
    """The same, committed."""
    git(wine, "init", "--quiet", "--initial-branch=main")
    git(wine, "add", ".")
    git(wine, "commit", "--quiet", "--message=first")
    return wine


@contextmanager
def opened(pack: Path) -> Iterator[tarfile.TarFile]:
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(pack.open("rb"))
        reader = stack.enter_context(zstandard.ZstdDecompressor().stream_reader(stream))
        yield stack.enter_context(tarfile.open(fileobj=reader, mode="r|", errors="surrogateescape"))


def unpacked(pack: Path, folder: Path) -> Path:
    with opened(pack) as tar:
        tar.extraction_filter = lambda member, _: member
        tar.extractall(folder)
    return folder


def repacked(folder: Path, pack: Path) -> Path:
    """A pack of a folder as somebody else's tar makes it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    pack.write_bytes(zstandard.compress(content.getvalue()))
    return pack


def names_in(pack: Path) -> list[str]:
    with opened(pack) as tar:
        return [member.name for member in tar]


def test_a_pack_runs_elsewhere_and_has_a_list_that_sha256sum_reads(mlproj: Mlproj, wine: Path, tmp_path: Path) -> None:
    packed = mlproj("pack", wine, "-o", tmp_path / NAME)
    ran = mlproj("run", tmp_path / NAME, cwd=tmp_path)

    assert packed.returncode == 0, packed.stderr
    assert f"{NAME}: 3 files" in packed.stdout
    assert (ran.returncode, ran.stdout) == (0, "hello\n")
    folder = unpacked(tmp_path / NAME, tmp_path / "there")
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", ".mlpack/SHA256SUMS"], cwd=folder, capture_output=True
    )
    assert checked.returncode == 0, checked.stderr
    about = json.loads((folder / ".mlpack/pack.json").read_text())
    assert (about["format"], about["project"], about["source"]["kind"]) == (1, "wine", "folder")


def test_the_same_tree_gives_the_same_bytes_whoever_packs_it_wherever(
    mlproj: Mlproj, repository: Path, tmp_path: Path
) -> None:
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o744)
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=second")
    other = tmp_path / "elsewhere" / "a b"
    other.parent.mkdir()
    subprocess.run(["git", "clone", "--quiet", repository, other], check=True, umask=0o077)
    os.utime(other / "data.txt", (1, 1))
    if os.getuid() == 0:
        os.chown(other / "data.txt", 65534, 65534)

    first = mlproj("pack", repository, "-o", tmp_path / "one.tar.zst")
    second = mlproj(
        *("pack", other, "-o", tmp_path / "two.tar.zst"), env={"TZ": "Asia/Tokyo", "LC_ALL": "C"}, umask=0o077
    )

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert (tmp_path / "one.tar.zst").read_bytes() == (tmp_path / "two.tar.zst").read_bytes()


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    content = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(200_000)) * 2
    pack = Pack(
        "x", "1", Snapshot(tmp_path, "folder", digest="0"), [Entry("large", content=content, size=len(content))]
    )

    for threads in (1, 2, 5):
        write_pack(pack, tmp_path / f"{threads}.tar.zst", None, lambda _: None, threads=threads)

    assert len({hashlib.sha256((tmp_path / f"{each}.tar.zst").read_bytes()).hexdigest() for each in (1, 2, 5)}) == 1


def test_the_tar_in_it_has_the_bytes_that_it_always_had(tmp_path: Path) -> None:
    # Of every Python: if this fails on one alone, packs made there differ from all others.
    odd = os.fsdecode(b"caf\xe9")
    entries = [
        Entry("a.txt", content=b"1"),
        Entry("run.sh", content=b"2", executable=True),
        Entry("to", target="a.txt"),
    ]
    entries += [Entry("é/" + "x" * 120, content=b"3"), Entry(odd, content=b"4")]

    with (tmp_path / "it.tar").open("wb") as stream, open_tar(stream) as tar:
        write_entries(tar, entries, lambda _: None)

    digest = hashlib.sha256((tmp_path / "it.tar").read_bytes()).hexdigest()
    assert digest == "35a7a62b412c3278d076b7ba6a0e0a0f6ce3c64ef4cec9de275fb441074a765e"


def test_a_repository_is_packed_as_git_tracks_it_and_told_of(mlproj: Mlproj, repository: Path, tmp_path: Path) -> None:
    (repository / ".gitignore").write_text("ignored\nconda-lock.yml\n")
    (repository / "ignored").write_text("")
    (repository / "new.txt").write_text("")
    (repository / "pylock.toml").write_text("")
    (repository / "data.txt").write_text("changed\n")
    (repository / "src/a.py").unlink()

    packed = mlproj("pack", cwd=repository)

    commit = git(repository, "rev-parse", "HEAD")
    assert packed.returncode == 0, packed.stderr
    pack = repository / f"wine-{commit[:12]}-dirty.mlpack.tar.zst"
    assert names_in(pack)[:3] == ["data.txt", "mlproj.yaml", "pylock.toml"]
    assert unpacked(pack, tmp_path / "there").joinpath("data.txt").read_text() == "changed\n"
    assert "not tracked by git, and packed all the same: pylock.toml" in packed.stderr
    assert "not packed, since git does not track it: .gitignore, new.txt" in packed.stderr
    assert "tracked by git, and not there: src/a.py" in packed.stderr
    assert "has changes that are in no commit" in packed.stderr
    assert json.loads((tmp_path / "there/.mlpack/pack.json").read_text())["source"]["dirty"] is True


def test_what_the_manifest_names_is_packed_though_git_does_not_track_it(
    mlproj: Mlproj, repository: Path, tmp_path: Path
) -> None:
    (repository / "mlproj.yaml").write_text(MANIFEST.replace("system: {}", "virtualenv: {requirements: needs/all.txt}"))
    (repository / "needs").mkdir()
    (repository / "needs/all.txt").write_text("-r base.txt\n")
    (repository / "needs/base.txt").write_text("pear\n")
    (repository / "needs/notes.txt").write_text("")

    packed = mlproj("pack", repository, "-o", tmp_path / NAME)

    assert "packed all the same: needs/all.txt, needs/base.txt\n" in packed.stderr
    assert "does not track it: needs/notes.txt\n" in packed.stderr
    assert {"needs/all.txt", "needs/base.txt"} < set(names_in(tmp_path / NAME))


def test_changes_in_a_submodule_are_told_of(mlproj: Mlproj, repository: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "--quiet")
    (library / "lib.py").write_text("1\n")
    git(library, "add", ".")
    git(library, "commit", "--quiet", "--message=lib")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    git(repository, "commit", "--quiet", "--message=with lib")
    clean = mlproj("pack", repository, "-o", tmp_path / "clean.tar.zst")
    (repository / "lib/lib.py").write_text("2\n")

    packed = mlproj("pack", repository, "-o", tmp_path / NAME)

    assert "no commit" not in clean.stderr
    assert "changes that are in no commit are in a submodule: lib\n" in packed.stderr
    there = unpacked(tmp_path / NAME, tmp_path / "there")
    assert (there / "lib/lib.py").read_text() == "2\n"
    assert json.loads((there / ".mlpack/pack.json").read_text())["source"]["dirty"] is True


def test_what_git_archive_leaves_out_is_left_out(mlproj: Mlproj, repository: Path, tmp_path: Path) -> None:
    (repository / ".gitattributes").write_text(
        "data.txt export-ignore\n/src export-ignore\nmlproj.yaml export-ignore\n"
    )
    git(repository, "add", ".")

    packed = mlproj("pack", repository, "-o", tmp_path / NAME)

    assert packed.returncode == 0, packed.stderr
    assert names_in(tmp_path / NAME)[:2] == [".gitattributes", "mlproj.yaml"]
    assert "src/a.py" not in names_in(tmp_path / NAME)


def test_what_is_ignored_what_runs_leave_and_earlier_packs_are_not_in_it(mlproj: Mlproj, wine: Path) -> None:
    (wine / ".mlprojignore").write_text("*.log\n")
    (wine / "a.log").write_text("")
    (wine / "model.txt").write_text("of a run")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(wine / "socket"))
        first = mlproj("pack", "-o", NAME, cwd=wine)
        second = mlproj("pack", "-o", f"again-{NAME}", cwd=wine)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "neither files nor links: socket" in first.stderr
    ours = [".mlprojignore", "data.txt", "mlproj.yaml", "src/a.py"]
    assert names_in(wine / NAME) == [*ours, ".mlpack/pack.json", ".mlpack/SHA256SUMS"]
    assert (wine / NAME).read_bytes() == (wine / f"again-{NAME}").read_bytes()


def test_odd_names_links_and_modes_come_back_as_they_were(mlproj: Mlproj, wine: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    (wine / odd).write_text("latin")
    (wine / odd).chmod(0o755)
    (wine / f"to-{odd}").symlink_to(odd)
    (wine / ("x" * 150)).write_text("long")
    (wine / "src/up").symlink_to("../data.txt")
    (wine / "tool").write_text("#!/bin/sh\n")
    (wine / "tool").chmod(0o700)

    packed = mlproj("pack", wine, "-o", tmp_path / NAME)
    verified = mlproj("pack", "--verify", tmp_path / NAME)

    assert (packed.returncode, verified.returncode) == (0, 0), packed.stderr + verified.stderr
    there = unpacked(tmp_path / NAME, tmp_path / "there")
    assert (there / odd).read_text() == "latin"
    assert (there / "src/up").readlink() == Path("../data.txt")
    assert (there / "tool").stat().st_mode & 0o777 == 0o755
    assert (there / "data.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "src/../../outside"])
def test_a_link_that_leads_out_of_the_project_is_refused(mlproj: Mlproj, wine: Path, target: str) -> None:
    (wine / "way-out").symlink_to(target)

    packed = mlproj("pack", "-o", NAME, cwd=wine)

    assert packed.returncode == 2
    assert "the link `way-out` leads out of the project" in packed.stderr
    assert not list(wine.glob("*.zst"))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a.txt", "A.txt"), "`A.txt` and `a.txt` differ only in case"),
        (("b\\c",), "backslash"),
        (("x\ny",), "characters"),
    ],
)
def test_names_that_no_pack_can_hold_are_refused(mlproj: Mlproj, wine: Path, names: tuple[str, ...], said: str) -> None:
    for name in names:
        (wine / name).write_text("")

    packed = mlproj("pack", "-o", NAME, cwd=wine)

    assert packed.returncode == 2
    assert said in packed.stderr


def test_what_looks_like_secrets_is_told_of(mlproj: Mlproj, wine: Path) -> None:
    secrets = (".aws/credentials", ".env", "kubeconfig", "secrets.yaml", "server.pem", "src/id_rsa", "state.tfstate")
    for name in (*secrets, ".env.example", "id_rsa.pub", "src/secrets.py", "tokenizer.json"):
        (wine / name).parent.mkdir(exist_ok=True)
        (wine / name).write_text("")
    (wine / "deploy_key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n")
    secrets = (*secrets[:2], "deploy_key", *secrets[2:])

    packed = mlproj("pack", "-o", NAME, cwd=wine)

    assert packed.returncode == 0
    assert f"looks like secrets is in it: {', '.join(secrets)}\n" in packed.stderr


def test_a_cache_that_cannot_be_written(mlproj: Mlproj, wine: Path, tmp_path: Path) -> None:
    """Here the place of the cache is taken: read-only ones fail in the same way, at another call."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/cache").write_text("no folder")
    home = {"MLPROJ_HOME": str(tmp_path / "home"), "MLPROJ_CACHE": ""}

    packed = mlproj("pack", wine, "-o", tmp_path / NAME, env=home)
    verified = mlproj("pack", "--verify", tmp_path / NAME, env=home)

    assert packed.returncode == 0, packed.stderr
    assert verified.returncode == 2
    assert f"error: the cache cannot be used: {tmp_path / 'home/cache'}" in verified.stderr
    assert "`MLPROJ_CACHE` may name another folder." in verified.stderr
    for more in (("pack", wine, "--vendor", "-o", tmp_path / NAME), ("build", wine, "-t", "x:1")):
        failed = mlproj(*more, env=home)
        assert (failed.returncode, "the cache cannot be used" in failed.stderr) == (125, True), failed.stderr


@pytest.mark.parametrize("name", ["pipe", NAME])
def test_a_pipe_is_no_pack(mlproj: Mlproj, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)

    for address in (tmp_path / name, (tmp_path / name).as_uri()):
        refused = mlproj("pack", "--verify", address)

        assert refused.returncode == 2, refused.stderr
    assert mlproj("pack", "--verify", tmp_path).stderr.startswith(f"error: `{tmp_path}` is no pack\n")


def test_a_pack_that_looks_like_a_bomb_is_told_of_and_taken_with_a_higher_limit(
    mlproj: Mlproj, wine: Path, tmp_path: Path
) -> None:
    with (wine / "zeros").open("wb") as stream:
        stream.truncate(510_000_000)

    packed = mlproj("pack", wine, "-o", tmp_path / NAME)
    refused = mlproj("pack", "--verify", tmp_path / NAME)
    taken = mlproj("pack", "--verify", tmp_path / NAME, "--unpack-limit", "1GB")

    assert "it unpacks to 510 MB" in packed.stderr
    assert "needs `--unpack-limit 1GB`" in packed.stderr
    assert (refused.returncode, taken.returncode) == (2, 0), taken.stderr


def test_packages_that_are_not_packed_again_are_told_of(mlproj: Mlproj, wine: Path, tmp_path: Path) -> None:
    (wine / ".mlpack/wheels").mkdir(parents=True)

    packed = mlproj("pack", wine, "-o", tmp_path / NAME)

    assert "the packages that the project carries with it are not packed: `--vendor` does" in packed.stderr


def change(folder: Path) -> None:
    (folder / "data.txt").write_text("HELLO\n")


def remove(folder: Path) -> None:
    (folder / "data.txt").unlink()


def add(folder: Path) -> None:
    (folder / "src/b.py").write_text("")


def lead_elsewhere(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("src/a.py")


def make_executable(folder: Path) -> None:
    (folder / "src/a.py").chmod(0o755)


def change_about(folder: Path) -> None:
    (folder / ".mlpack/pack.json").write_text("{}")


def remove_list(folder: Path) -> None:
    (folder / ".mlpack/SHA256SUMS").unlink()


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (change, "changed: data.txt"),
        (remove, "missing: data.txt"),
        (add, "added: src/b.py"),
        (lead_elsewhere, "changed: link"),
        (make_executable, "changed: src/a.py"),
        (change_about, "changed: .mlpack/pack.json"),
        (remove_list, "it has no list of digests"),
    ],
)
def test_a_pack_that_is_not_what_was_packed_is_not_run(
    mlproj: Mlproj, wine: Path, tmp_path: Path, tamper: Callable[[Path], None], said: str
) -> None:
    (wine / "link").symlink_to("data.txt")
    mlproj("pack", wine, "-o", tmp_path / NAME)
    folder = unpacked(tmp_path / NAME, tmp_path / "there")
    tamper(folder)
    tampered = repacked(folder, tmp_path / f"tampered-{NAME}")

    ran = mlproj("run", tampered)
    verified = mlproj("pack", "--verify", tampered)

    assert (ran.returncode, ran.stdout, verified.returncode) == (2, "", 2)
    assert said in ran.stderr
    assert said in verified.stderr


@pytest.fixture
def keys(tmp_path: Path) -> Callable[[str], Path]:
    """Makes ssh keys, and a file that allows each to sign."""
    if shutil.which("ssh-keygen") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no ssh-keygen")
        pytest.skip("no ssh-keygen")

    def make(name: str) -> Path:
        path = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
        public = path.with_suffix(".pub").read_text()
        (tmp_path / f"{name}.allowed").write_text(f'{name}@example.org namespaces="mlpack" {public}')
        return path

    return make


def test_a_signed_pack_runs_for_who_allows_its_signer_and_for_nobody_else(
    mlproj: Mlproj, wine: Path, tmp_path: Path, keys: Callable[[str], Path]
) -> None:
    ann = keys("ann")
    keys("eve")
    signed = mlproj("pack", wine, "-o", tmp_path / NAME, "--sign", ann)
    mlproj("pack", wine, "-o", tmp_path / "unsigned.tar.zst")

    anns = mlproj("run", tmp_path / NAME, "--allowed-signers", tmp_path / "ann.allowed")
    eves = mlproj("run", tmp_path / NAME, env={"MLPROJ_ALLOWED_SIGNERS": str(tmp_path / "eve.allowed")})
    unsigned = mlproj("run", tmp_path / "unsigned.tar.zst", "--allowed-signers", tmp_path / "ann.allowed")
    verified = mlproj("pack", "--verify", tmp_path / NAME, "--allowed-signers", tmp_path / "ann.allowed", "--json")

    unasked = mlproj("pack", "--verify", tmp_path / NAME)

    assert signed.returncode == 0, signed.stderr
    assert "its signature was not checked" in unasked.stdout
    assert (anns.returncode, anns.stdout) == (0, "hello\n"), anns.stderr
    assert (eves.returncode, unsigned.returncode) == (2, 2)
    assert "its signature is by nobody whom" in eves.stderr
    assert "it is not signed" in unsigned.stderr
    assert json.loads(verified.stdout)["signer"] == "ann@example.org"


def test_a_list_that_was_changed_to_fit_does_not_have_the_signature(
    mlproj: Mlproj, wine: Path, tmp_path: Path, keys: Callable[[str], Path]
) -> None:
    mlproj("pack", wine, "-o", tmp_path / NAME, "--sign", keys("ann"))
    folder = unpacked(tmp_path / NAME, tmp_path / "there")
    change(folder)
    sums = folder / ".mlpack/SHA256SUMS"
    old, new = (hashlib.sha256(content).hexdigest() for content in (b"hello\n", b"HELLO\n"))
    sums.write_text(sums.read_text().replace(old, new))
    forged = repacked(folder, tmp_path / f"forged-{NAME}")

    ran = mlproj("run", forged, "--allowed-signers", tmp_path / "ann.allowed")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "its signature is by nobody" in ran.stderr


@pytest.mark.parametrize(
    "about",
    [
        b"[" * 100_000,
        b'{"format": 2}',
        b'{"format": 1, "links": [], "executables": []}',
        b'{"format": 1, "links": {"a": 1}, "executables": []}',
    ],
)
def test_a_pack_that_says_nonsense_of_itself_is_refused_in_words(
    mlproj: Mlproj, wine: Path, tmp_path: Path, about: bytes
) -> None:
    mlproj("pack", wine, "-o", tmp_path / NAME)
    folder = unpacked(tmp_path / NAME, tmp_path / "there")
    (folder / ".mlpack/pack.json").write_bytes(about)
    sums = folder / ".mlpack/SHA256SUMS"
    others = [line for line in sums.read_text().splitlines() if "pack.json" not in line]
    digest = hashlib.sha256(about).hexdigest()
    sums.write_text("\n".join([*others, f"{digest}  .mlpack/pack.json", ""]))

    ran = mlproj("run", repacked(folder, tmp_path / f"odd-{NAME}"))

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "pack" in ran.stderr
    assert "bug in mlproj" not in ran.stderr


def test_what_is_called_a_pack_and_is_no_zstd_is_refused(mlproj: Mlproj, wine: Path, tmp_path: Path) -> None:
    mlproj("pack", wine, "-o", tmp_path / NAME)
    content = zstandard.ZstdDecompressor().decompressobj().decompress((tmp_path / NAME).read_bytes())
    (tmp_path / NAME).write_bytes(gzip.compress(content))

    verified = mlproj("pack", "--verify", tmp_path / NAME)

    assert verified.returncode == 2
    assert "it is called `.mlpack.tar.zst`, and no zstd" in verified.stderr


def test_a_plain_archive_is_run_without_signers_and_not_with(
    mlproj: Mlproj, wine: Path, tmp_path: Path, keys: Callable[[str], Path]
) -> None:
    keys("ann")
    plain = repacked(wine, tmp_path / "plain.tar.zst")

    assert mlproj("run", plain).returncode == 0
    refused = mlproj("run", plain, "--allowed-signers", tmp_path / "ann.allowed")
    assert refused.returncode == 2
    assert "it is no pack" in refused.stderr
    assert mlproj("pack", "--verify", plain).returncode == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "wine.zip"], "is not called so"),
        (["-o", f"nowhere/{NAME}"], "there is no folder"),
        (["--sign", "no-key"], "there is no key `no-key`"),
        (["--verify", "-o", NAME], "--verify goes with no -o"),
        (["--allowed-signers", "team"], "--verify looks at, which is not given"),
        (["-o", ""], "-o names no file"),
    ],
)
def test_what_cannot_be_is_said(mlproj: Mlproj, wine: Path, options: list[str], said: str) -> None:
    packed = mlproj("pack", ".", *options, cwd=wine)

    assert packed.returncode == 2
    assert said in packed.stderr
    assert not list(wine.glob(".*.part"))


def make_link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize(("make", "said"), [(os.mkfifo, "is there and no file"), (make_link, "is a link")])
def test_what_is_no_file_is_not_replaced(
    mlproj: Mlproj, wine: Path, tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path / NAME)
    before = (tmp_path / NAME).lstat().st_ino

    packed = mlproj("pack", wine, "-o", tmp_path / NAME)

    assert packed.returncode == 2
    assert said in packed.stderr
    assert (tmp_path / NAME).lstat().st_ino == before


def test_a_fetched_project_is_packed_whole(mlproj: Mlproj, repository: Path, tmp_path: Path) -> None:
    packed = mlproj("pack", f"file://{repository}", "--rev", "main", "-o", tmp_path / NAME)

    assert packed.returncode == 0, packed.stderr
    about = json.loads((unpacked(tmp_path / NAME, tmp_path / "there") / ".mlpack/pack.json").read_text())
    assert about["source"]["commit"] == git(repository, "rev-parse", "HEAD")
    assert about["source"]["remote"] is None  # a place on this machine


def test_a_pack_for_which_there_is_no_room_leaves_nothing(mlproj: Mlproj, wine: Path, tmp_path: Path) -> None:
    (wine / "random").write_bytes(os.urandom(200_000))
    # A limit on the size of files stands for a full disk: the same call fails, with another number.
    command = f"trap '' XFSZ; ulimit -f 64; {sys.executable} -m mlproj pack . -o {tmp_path / NAME}"

    packed = subprocess.run(["bash", "-c", command], cwd=wine, capture_output=True, text=True)

    assert packed.returncode == 125
    assert "the pack could not be written: File too large" in packed.stderr
    assert not list(tmp_path.glob("*.zst")) + list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(("ended", "leaves"), [(signal.SIGKILL, 1), (signal.SIGTERM, 0)])
def test_a_killed_pack_leaves_no_file_of_its_name_and_the_next_one_clears_up(
    mlproj: Mlproj, wine: Path, tmp_path: Path, ended: signal.Signals, leaves: int
) -> None:
    # Random data, which takes long enough to be compressed that it is killed in the midst of it.
    with (wine / "large.bin").open("wb") as stream:
        for number in range(1500):
            stream.write(hashlib.sha256(str(number).encode()).digest() * 32768)
    process = subprocess.Popen([sys.executable, "-m", "mlproj", "pack", wine, "-o", NAME, "-q"], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (parts := list(tmp_path.glob(".*.part"))) or not parts[0].stat().st_size:
        assert process.poll() is None
        assert time.monotonic() < deadline
    process.send_signal(ended)

    assert process.wait() in (-signal.SIGKILL, 128 + signal.SIGTERM)
    assert not (tmp_path / NAME).exists()
    assert len(list(tmp_path.glob(".*.part"))) == leaves
    (wine / "large.bin").unlink()
    assert mlproj("pack", wine, "-o", NAME, cwd=tmp_path).returncode == 0
    assert not list(tmp_path.glob(".*.part"))


def test_a_file_that_changes_while_it_is_packed_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"x" * (3 << 20))
    pack = Pack(
        "x", "1", Snapshot(tmp_path, "folder", digest="0"), [Entry("growing", path), Entry("gone", tmp_path / "no")]
    )

    with pytest.raises(Exception, match="`gone` changed while it was packed"):
        write_pack(pack, tmp_path / NAME, None, lambda _: None)

    assert [each.name for each in tmp_path.iterdir()] == ["growing"]
