"""What BuildKit tells of a build: its progress messages (protocol buffers), read without a library for them.

They are ``StatusResponse`` of moby/buildkit's ``api/services/control/control.proto``, whose field numbers stand here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

_VERTEXES, _LOGS = 1, 3
_VERTEX_DIGEST, _VERTEX_NAME, _VERTEX_CACHED, _VERTEX_STARTED, _VERTEX_COMPLETED, _VERTEX_ERROR = 1, 3, 4, 5, 6, 7
_LOG_MESSAGE = 4


@dataclass(frozen=True)
class Step:
    """A step of a build, as it stands now."""

    digest: str
    name: str
    cached: bool
    started: bool
    completed: bool
    error: str


def read_trace(text: str) -> tuple[list[Step], bytes]:
    """The steps that a progress message (base64) tells of, and the output in it. Nothing of one that is none."""
    try:
        fields = list(_fields(base64.b64decode(text)))
        steps = [_step(value) for number, value in fields if number == _VERTEXES and isinstance(value, bytes)]
        logs = [
            message
            for number, value in fields
            if number == _LOGS and isinstance(value, bytes)
            for inner, message in _fields(value)
            if inner == _LOG_MESSAGE and isinstance(message, bytes)
        ]
    except (ValueError, IndexError, binascii.Error):
        return [], b""
    return steps, b"".join(logs)


def _step(data: bytes) -> Step:
    found = dict(_fields(data))

    def text(number: int) -> str:
        value = found.get(number, b"")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""

    return Step(
        digest=text(_VERTEX_DIGEST),
        name=text(_VERTEX_NAME),
        cached=bool(found.get(_VERTEX_CACHED)),
        started=_VERTEX_STARTED in found,
        completed=_VERTEX_COMPLETED in found,
        error=text(_VERTEX_ERROR),
    )


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of one message: number and value. Raises ``IndexError`` or ``ValueError`` for what is none."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
        elif wire == 2:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise ValueError("a field longer than its message")
            yield number, data[position : position + length]
            position += length
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        else:
            raise ValueError("no protocol buffer")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
