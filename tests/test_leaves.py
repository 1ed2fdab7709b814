"""The modules below everything: locks, files, text, errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproj import locks
from mlproj.errors import MlprojError, UsageError
from mlproj.files import copy_file, dump_json, folder_size, human_size, sha256_of_file, write_atomically
from mlproj.private_keys import is_private_key
from mlproj.secret_names import looks_secret
from mlproj.text import did_you_mean, duration, nearest, one_line, plural, printable

HOLD = "import sys; from pathlib import Path; from mlproj import locks; h = locks.{how}(Path(sys.argv[1])); print(h is not None, flush=True); sys.stdin.read()"


def held_elsewhere(path: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(how=how), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_a_lock_is_let_go_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    with held_elsewhere(path, "try_exclusive") as holder:
        assert locks.try_exclusive(path) is None
        assert locks.try_shared(path) is None
        holder.kill()
        locks.wait_exclusive(path).release()


def test_readers_share_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_elsewhere(path, "try_shared") as holder:
        shared = locks.try_shared(path)
        assert shared is not None
        assert locks.try_exclusive(path) is None
        shared.release()
        holder.communicate("")
    held = locks.try_exclusive(path)
    assert held is not None
    held.release()


def test_a_lock_makes_no_folder_anew(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locks.exclusive_here(tmp_path / "moved-away" / "lock"):
        pass
    assert not (tmp_path / "moved-away").exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.json"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 3)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert [each.name for each in path.parent.iterdir()] == ["file.json"]


def test_json_holds_what_json_has_no_form_for() -> None:
    assert (
        dump_json({"a": [float("nan"), float("-inf"), 0.1]})
        == '{\n  "a": [\n    "nan",\n    "-inf",\n    0.1\n  ]\n}\n'
    )


def test_a_copy_is_a_file_of_its_own(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100_000)
    source.chmod(0o750)
    copy_file(source, tmp_path / "copy")
    source.write_bytes(b"y")
    assert (tmp_path / "copy").read_bytes() == b"x" * 100_000
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o750
    assert sha256_of_file(tmp_path / "copy") != sha256_of_file(source)
    with pytest.raises(FileExistsError):
        copy_file(source, tmp_path / "copy")


def test_hard_links_count_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    os.link(tmp_path / "a", tmp_path / "b")
    assert folder_size(tmp_path) == 1000


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (17_300_000, "17.3 MB"), (3e15, "3000.0 TB")])
def test_sizes(size: float, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.81, "0.8 s"), (125, "2 m 05 s"), (11_220, "3 h 07 m")])
def test_spans_of_time(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.text())
def test_nothing_printable_acts_on_a_terminal(text: str) -> None:
    shown = one_line(text)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    assert printable(printable(text)) == printable(text)


def test_the_nearest_name() -> None:
    assert nearest("l1-ration", ["alpha", "l1_ratio"]) == "l1_ratio"
    assert nearest("zzz", ["alpha"]) is None
    assert did_you_mean("alhpa", ["alpha"]) == " Did you mean `alpha`?"
    assert (plural(1, "file"), plural(2, "file"), plural(3, "process")) == ("1 file", "2 files", "3 processes")


def test_an_error_carries_its_exit_status_and_its_hint() -> None:
    error = UsageError("wrong", hint="do this")
    assert (str(error), error.exit_status, isinstance(error, MlprojError)) == ("wrong\ndo this", 2, True)


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        (".env", True),
        ("deploy/.env.sh", True),
        (".env.example", False),
        ("prod.env", True),
        ("ID_RSA", True),
        ("id_rsa.pub", False),
        ("a/.ssh/config", True),
        ("ssh/config", False),
        ("src/secrets.py", False),
        ("", False),
    ],
)
def test_names_of_files_with_secrets(name: str, is_secret: bool) -> None:
    assert looks_secret(name) is is_secret


@pytest.mark.parametrize(
    ("name", "content", "is_key"),
    [
        ("deploy_key", "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", True),
        ("notes.txt", "\n-----BEGIN PRIVATE KEY-----\n", True),
        ("both.pem", "-----BEGIN CERTIFICATE-----\nabc\n-----BEGIN RSA PRIVATE KEY-----\n", True),
        ("certificate.pem", "-----BEGIN CERTIFICATE-----\nabc\n", False),
        ("about_keys.md", "A key begins with\n-----BEGIN PRIVATE KEY-----\n", False),
        ("empty", "", False),
    ],
)
def test_private_keys_are_told_by_their_content(tmp_path: Path, name: str, content: str, is_key: bool) -> None:
    (tmp_path / name).write_text(content)
    assert is_private_key(tmp_path / name, name) is is_key
