"""Masking secrets in a stream of bytes, also where a secret is split over two reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "•••".encode()
# A shorter text would be found in every other word, and masking it would tell where it stands.
SHORTEST_SECRET = 4


def forms_of(secret: str) -> set[bytes]:
    """The forms in which a secret turns up in output: as it is, by line, in JSON, in a URL, through a terminal."""
    texts = {secret, secret.strip(), secret.replace("\n", "\r\n"), quote(secret, safe="", errors="replace")}
    texts.add(quote_plus(secret, errors="replace"))
    texts |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    texts |= {line.strip() for line in secret.splitlines()}
    return {text.encode("utf-8", "surrogateescape") for text in texts if len(text) >= SHORTEST_SECRET}


class Masker:
    """Takes the chunks of one stream in order; gives them back with secrets masked.

    The end of a chunk is held back only while it could be the beginning of a secret.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = sorted({form for secret in secrets for form in forms_of(secret)}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(form) for form in forms)) if forms else None
        self._forms = forms
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What of the stream can be told apart from a secret by now."""
        if self._pattern is None:
            return chunk
        data = self._held + chunk
        position, shown = 0, []
        for match in self._pattern.finditer(data):
            if self._could_grow(data, match):
                break
            shown += [data[position : match.start()], MASK]
            position = match.end()
        rest = data[position:]
        held = self._longest_beginning(rest)
        self._held = rest[len(rest) - held :]
        return b"".join([*shown, rest[: len(rest) - held]])

    def flush(self) -> bytes:
        """What was held back, at the end of the stream."""
        if self._pattern is None:
            return b""
        rest, self._held = self._held, b""
        return self._pattern.sub(MASK, rest)

    def _could_grow(self, data: bytes, match: re.Match[bytes]) -> bool:
        """Whether a longer secret may begin where this one does, its end not read yet."""
        tail = data[match.start() :]
        return any(len(form) > len(tail) and form.startswith(tail) for form in self._forms)

    def _longest_beginning(self, data: bytes) -> int:
        longest = 0
        for form in self._forms:
            for length in range(min(len(form) - 1, len(data)), longest, -1):
                if data.endswith(form[:length]):
                    longest = length
                    break
        return longest


def mask_bytes(data: bytes, secrets: Iterable[str]) -> bytes:
    """``data`` with every secret in it masked."""
    masker = Masker(secrets)
    return masker.feed(data) + masker.flush()


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """``text`` with every secret in it masked, for records and messages."""
    return mask_bytes(text.encode("utf-8", "surrogatepass"), secrets).decode("utf-8", "surrogatepass")
