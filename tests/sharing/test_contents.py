"""What of a run goes along, and what stays."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mlproj.errors import StoreError
from mlproj.files import CHUNK
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import FileRecord, OutputRecord, RunRecord
from mlproj.sharing.contents import Choice, Contents, ProjectFiles, contents_of
from mlproj.sharing.secret_files import secret_in, secret_in_patch

RUN = RunRecord("0193a1b2c3d47e5f8a9b0c1d2e3f4a5b", status="finished")


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    files = RunFiles(tmp_path / "run")
    files.artifacts.mkdir(parents=True)
    return files


def contents(files: RunFiles, record: RunRecord = RUN, choice: Choice | None = None) -> Contents:
    return contents_of(record, files, None, None, choice or Choice())


def paths(found: Contents) -> list[str]:
    return [each.path for each in found.files]


def test_what_belongs_to_the_store_alone_stays(files: RunFiles) -> None:
    for name in ("params.json", "alive.lock", "change.lock", "reserve", "output.log", "metrics.jsonl"):
        (files.folder / name).write_text("x")
    (files.folder / "tracking").mkdir()
    (files.folder / "tracking/server.json").write_text("x")
    assert paths(contents(files)) == ["metrics.jsonl", "output.log"]


def test_links_within_the_artifacts_are_kept_and_others_are_not(files: RunFiles) -> None:
    (files.artifacts / "best.bin").write_text("weights")
    (files.artifacts / "latest").symlink_to("best.bin")
    (files.artifacts / "log").symlink_to("../output.log")
    (files.artifacts / "etc").symlink_to("/etc")
    found = contents(files)
    assert [(each.path, each.target) for each in found.files] == [
        ("artifacts/best.bin", ""),
        ("artifacts/latest", "best.bin"),
    ]
    assert found.notices == (
        "left out, as other machines could not keep them under their names: artifacts/etc, artifacts/log",
    )


def test_names_that_another_machine_could_not_keep(files: RunFiles) -> None:
    (files.artifacts / "a").write_text("first")
    (files.artifacts / "A").write_text("second")
    (files.artifacts / "back\\slash").write_text("x")
    (files.artifacts / "line\nbreak").write_text("x")
    Path(os.fsdecode(os.fsencode(files.artifacts) + b"/\xff")).write_text("x")
    found = contents(files)
    assert paths(found) == ["artifacts/A"]
    assert "artifacts/a, artifacts/back\\slash, artifacts/line\\nbreak and 1 other file" in found.notices[0]


def test_an_artifact_that_is_damaged_is_told(files: RunFiles) -> None:
    (files.artifacts / "model").write_text("changed since")
    kept = FileRecord("model", 8, hashlib.sha256(b"recorded").hexdigest())
    record = RunRecord(RUN.id, status="finished", outputs=[OutputRecord("model", "model", files=[kept])])
    with pytest.raises(StoreError, match="model is damaged: its SHA-256 is not the recorded one"):
        contents(files, record)
    assert contents(files, record, Choice(artifacts=False)).files == ()


def test_inputs_that_are_larger_than_the_limit(files: RunFiles, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(b"x" * 600)
    inputs = ProjectFiles(tmp_path, ("a.csv", "b.csv"))
    found = contents_of(RUN, files, None, inputs, Choice(most_inputs=1000))
    assert (found.files, found.notices) == ((), ("inputs left out: they are larger than 1.0 kB",))
    assert paths(contents_of(RUN, files, None, inputs, Choice())) == ["inputs/a.csv", "inputs/b.csv"]


@pytest.mark.parametrize(
    ("name", "content", "is_secret"),
    [
        (".env", "", True),
        (".env.production", "", True),
        (".env.example", "", False),
        ("env.py", "", False),
        (".netrc", "", True),
        ("id_ed25519", "", True),
        ("id_ed25519.pub", "ssh-ed25519 AAAA", False),
        ("key.pem", "-----BEGIN PRIVATE KEY-----\nMII", True),
        ("key.txt", "\n-----BEGIN RSA PRIVATE KEY-----\nMII", True),
        ("cert.pem", "-----BEGIN CERTIFICATE-----\nMII", False),
        (
            "both.pem",
            "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n",
            True,
        ),
        ("secrets.yaml", "", True),
        ("infrastructure/terraform.tfstate", "", True),
        (".aws/credentials", "", True),
        ("credentials", "", False),
        ("secrets.py", "", False),
        ("tokenizer.json", "", False),
        ("about.md", "Keys begin with -----BEGIN PRIVATE KEY-----\n", False),
        ("config.py", "TOKEN = 'hunter2hunter2'", True),
        ("train.py", "TOKEN = os.environ['TOKEN']", False),
    ],
)
def test_files_that_hold_secrets(tmp_path: Path, name: str, content: str, is_secret: bool) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    assert secret_in(path, name, ["hunter2hunter2", "abc"]) is is_secret


@pytest.mark.parametrize("before", [0, 1, CHUNK - 5, CHUNK, 3 * CHUNK - 1])
def test_a_secret_anywhere_in_a_large_file(tmp_path: Path, before: int) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(before) + b"hunter2hunter2" + bytes(CHUNK))
    assert secret_in(path, path.name, ["hunter2hunter2", "another"])
    assert not secret_in(path, path.name, ["hunter2hunter3", "another"])


@pytest.mark.parametrize(
    ("patch", "is_secret"),
    [
        ("diff --git a/train.py b/train.py\n+print('more')\n", False),
        ("diff --git a/.env.example b/.env.example\n+TOKEN=\n", False),
        ("diff --git a/lib/.env b/lib/.env\n+TOKEN=abcdef\n", True),
        ("diff --git a/conf/secrets.yaml b/conf/secrets.yaml\n+token: abcdef\n", True),
        ("diff --git a/ca.pem b/ca.pem\n+-----BEGIN CERTIFICATE-----\n", False),
        ("diff --git a/key b/key\n+-----BEGIN OPENSSH PRIVATE KEY-----\n", True),
        ("diff --git a/sub/deploy b/sub/deploy\n+anything\n", True),
        ("diff --git a/sub/my deploy b/sub/my deploy\n+anything\n", False),
        ('diff --git "a/sub/caf\\303\\251" "b/sub/caf\\303\\251"\n+anything\n', True),
        ("diff --git a/train.py b/train.py\n-KEY = 'hunter2hunter2'\n", True),
    ],
)
def test_patches_that_hold_secrets(tmp_path: Path, patch: str, is_secret: bool) -> None:
    (tmp_path / "source.patch").write_text(patch)
    found = secret_in_patch(tmp_path / "source.patch", ["hunter2hunter2", "abc"], ["deploy", "café"])
    assert found is is_secret
