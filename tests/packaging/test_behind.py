"""What is handed on in a thread arrives in order, and what fails there is not lost."""

from __future__ import annotations

import pytest

from mlproj.packaging.behind import Behind


def test_pieces_arrive_in_order() -> None:
    taken: list[bytes] = []

    with Behind(taken.append) as behind:
        for number in range(100):
            behind.write(b"%d" % number)

    assert taken == [b"%d" % number for number in range(100)]


@pytest.mark.parametrize("pieces", [1, 2])
def test_what_fails_is_raised_by_the_next_piece_or_in_the_end(pieces: int) -> None:
    def refuse(_: bytes) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"), Behind(refuse) as behind:
        for _ in range(pieces):
            behind.write(b"1")
