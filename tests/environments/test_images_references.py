"""References and platforms of images, and what BuildKit tells while it builds."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mlproj.environments.images.references import image_of, parse_reference, same_platform
from mlproj.environments.images.trace import Step, read_trace

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("text", "full_repository", "tag", "digest"),
    [
        ("python", "docker.io/library/python", "latest", None),
        ("python:3.12-slim", "docker.io/library/python", "3.12-slim", None),
        ("team/train:1", "docker.io/team/train", "1", None),
        ("docker.io/python:3", "docker.io/library/python", "3", None),
        ("docker.io/team/train", "docker.io/team/train", "latest", None),
        ("host.example/a/b/c:1", "host.example/a/b/c", "1", None),
        ("localhost:5000/x", "localhost:5000/x", "latest", None),
        ("localhost/x", "localhost/x", "latest", None),
        (f"python@{DIGEST}", "docker.io/library/python", None, DIGEST),
        (f"localhost:5000/x:1@{DIGEST}", "localhost:5000/x", "1", DIGEST),
    ],
)
def test_references(text: str, full_repository: str, tag: str | None, digest: str | None) -> None:
    reference = parse_reference(text)

    assert (reference.full_repository, reference.tag, reference.digest) == (full_repository, tag, digest)


def test_a_digest_decides_and_the_tag_before_it_is_left_out() -> None:
    assert str(parse_reference(f"python:3@{DIGEST}")) == f"python@{DIGEST}"
    assert parse_reference("python:3").pinned(DIGEST) == f"python@{DIGEST}"


def inspected(**more: Any) -> dict[str, Any]:
    return {"Id": OTHER, "Os": "linux", "Architecture": "amd64", "Size": 7, "RepoDigests": [], **more}


def test_an_image_is_known_by_the_digest_of_the_repository_that_it_was_asked_of() -> None:
    answer = inspected(RepoDigests=[f"elsewhere.example/python@{OTHER}", f"python@{DIGEST}"])

    assert image_of("docker.io/library/python:3", answer).digest == DIGEST
    assert image_of("python:3", answer).pinned == f"python@{DIGEST}"
    assert image_of("team/python:3", answer).digest is None


def test_an_image_of_no_registry_is_known_by_its_id() -> None:
    image = image_of("mine:1", inspected(RepoDigests=None, Variant="v8", Architecture="arm64"))

    assert (image.identity, image.pinned, image.platform) == (OTHER, OTHER, "linux/arm64/v8")


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/x86_64", "linux/amd64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm", "linux/arm/v6", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_platforms(wanted: str, found: str, same: bool) -> None:
    assert same_platform(wanted, found) is same


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_what_buildkit_tells_is_read() -> None:
    step = (
        field(1, b"sha256:1")
        + field(2, b"sha256:0")
        + field(3, b"[1/2] RUN x")
        + field(4, 1)
        + field(5, b"")
        + field(7, b"no")
    )
    output = field(1, b"sha256:1") + field(3, 1) + field(4, b"hello " * 50)
    message = field(1, step) + field(2, b"ignored") + field(3, output) + field(3, field(4, b"again"))

    steps, text = read_trace(base64.b64encode(message).decode())

    assert steps == [Step("sha256:1", "[1/2] RUN x", cached=True, started=True, completed=False, error="no")]
    assert text == b"hello " * 50 + b"again"


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\xff\x01x", b"\x0f", b"\xff" * 20, b"HTTP/1.1 200 OK"])
def test_what_is_no_message_of_buildkits_says_nothing(message: bytes) -> None:
    assert read_trace(base64.b64encode(message).decode()) == ([], b"")
    assert read_trace(message.decode("latin-1")) == ([], b"")
