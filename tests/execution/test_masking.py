"""Secrets masked in a stream, wherever the reads split it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlproj.execution.masking import MASK, Masker, mask_text


def streamed(chunks: list[bytes], *secrets: str) -> bytes:
    masker = Masker(secrets)
    return b"".join([*(masker.feed(chunk) for chunk in chunks), masker.flush()])


def test_a_secret_split_over_two_reads_is_masked() -> None:
    assert streamed([b"key=hunt", b"er22!\n"], "hunter22") == b"key=" + MASK + b"!\n"


def test_what_cannot_be_a_secret_is_not_held_back() -> None:
    masker = Masker(["hunter22"])
    assert masker.feed(b"epoch 1\n") == b"epoch 1\n"
    assert masker.feed(b"loss: hun") == b"loss: "


def test_the_longer_of_two_secrets_wins() -> None:
    assert streamed([b"hunter22", b"-long!"], "hunter22", "hunter22-long") == MASK + b"!"
    assert streamed([b"hunter22", b"-lo?"], "hunter22", "hunter22-long") == MASK + b"-lo?"


def test_other_forms_of_a_secret_are_masked() -> None:
    secret = 'p@ss "word"/1'
    for form in (secret, "p%40ss%20%22word%22%2F1", 'p@ss \\"word\\"/1', "p%40ss+%22word%22%2F1"):
        assert mask_text(f"<{form}>", [secret]) == "<•••>", form


def test_each_line_of_a_secret_is_masked_also_through_a_terminal() -> None:
    key = "-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----\n"
    assert "abcdefgh" not in mask_text(key.replace("\n", "\r\n"), [key])
    assert "ijklmnop" not in mask_text("ijklmnop", [key])


def test_a_secret_of_three_letters_is_not_masked_in_every_word() -> None:
    assert mask_text("banana", ["an"]) == "banana"


@given(
    st.lists(st.text(alphabet="abcs", min_size=4, max_size=8), min_size=1, max_size=3),
    st.lists(st.text(alphabet="abcs\n", max_size=12), max_size=12),
    st.integers(min_value=1, max_value=7),
)
def test_no_secret_survives_any_chunking(secrets: list[str], texts: list[str], size: int) -> None:
    whole = "".join(text + secret for text, secret in zip(texts, secrets * 12)).encode()
    chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
    masked = streamed(chunks, *secrets)
    assert not any(secret.encode() in masked for secret in secrets)


@given(st.lists(st.binary(max_size=20)))
def test_without_secrets_every_byte_comes_through(chunks: list[bytes]) -> None:
    assert streamed(chunks) == b"".join(chunks)


@given(st.lists(st.binary(max_size=20)))
def test_what_holds_no_secret_comes_through_unchanged(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    if b"hunter22" not in whole:
        assert streamed(chunks, "hunter22") == whole
