"""What a project says of its images is read from regular files alone, and a lock is taken at its word for nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlproj.environments.images.context import read_context
from mlproj.environments.images.decision import read_text
from mlproj.environments.images.lockfile import read_lock
from mlproj.errors import LockError, UsageError
from mlproj.manifest.models import DockerBuild

DIGEST = "sha256:" + "a1" * 32
IMAGE = f'image = "python:3"\ndigest = "{DIGEST}"\n'


def put(path: Path, what: str) -> None:
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "folder":
        path.mkdir()
    else:
        with path.open("wb") as stream:
            stream.truncate((10 << 20) + 1)


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "too large"])
def test_what_is_no_file_of_a_decent_size_is_told_and_never_waited_for(what: str, tmp_path: Path) -> None:
    for name in ("Dockerfile", ".dockerignore", "mlproj.lock"):
        put(tmp_path / name, what)
    said = "larger than" if what == "too large" else "no regular file"

    with pytest.raises(UsageError, match=f"`.*/Dockerfile` cannot be read: it is {said}"):
        read_text(DockerBuild(), tmp_path)
    with pytest.raises(UsageError, match=f"dockerignore` cannot be read: it is {said}"):
        read_context(tmp_path, tmp_path / "Dockerfile", None)
    with pytest.raises(LockError, match=rf"mlproj\.lock` cannot be read: it is {said}"):
        read_lock(tmp_path)


def build(**changed: str) -> str:
    digests = {"dockerfile": DIGEST, "context": DIGEST, **changed}
    lines = "".join(f'{key} = "{value}"\n' for key, value in digests.items())
    return f"[environments.build]\n{lines}[[environments.build.bases]]\n{IMAGE}"


def test_a_lock_as_it_should_be(tmp_path: Path) -> None:
    for table in (IMAGE, IMAGE.replace("digest", "image-id"), build()):
        (tmp_path / "mlproj.lock").write_text(f'lock-version = "1"\n[[environments]]\n{table}')
        environments = read_lock(tmp_path)
        assert environments is not None
        assert [pin.image for pin in environments[0].pins] == ["python:3"]


@pytest.mark.parametrize(
    "table",
    [
        IMAGE.replace("a1a1", "A1A1"),
        IMAGE.replace("a1a1", "../a"),
        IMAGE.replace(DIGEST, DIGEST + "\\n"),
        IMAGE.replace("python:3", "../../containers/x"),
        IMAGE.replace("python:3", "python:3?x=y"),
        IMAGE.replace("python:3", "-it"),
        IMAGE + f'image-id = "{DIGEST}"\n',
        f'digest = "{DIGEST}"\n',
        'image = "python:3"\n',
        build(dockerfile="sha256:short"),
        build(context=""),
        build().replace("python:3", "PYTHON"),
    ],
)
def test_a_lock_with_what_is_no_pin_is_refused(table: str, tmp_path: Path) -> None:
    (tmp_path / "mlproj.lock").write_text(f'lock-version = "1"\n[[environments]]\n{table}')

    with pytest.raises(LockError, match="cannot be read") as caught:
        read_lock(tmp_path)

    assert "mlproj lock" in str(caught.value.hint)
