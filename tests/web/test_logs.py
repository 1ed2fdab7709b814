"""A log by ranges of its bytes."""

from __future__ import annotations

from pathlib import Path

from mlproj.web.logs import find_in_log, log_window, styled_lines


def plain(lines: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def test_windows_are_of_whole_lines_and_meet(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    written = [f"line {number} ünïcode" for number in range(5000)]
    log.write_text("\n".join(written) + "\n")
    at, read = 0, []
    while at < log.stat().st_size:
        window = log_window(log, at, 1000)
        assert window.start == at
        read += plain(window.lines)
        at = window.end
    assert read == written
    back, read = log.stat().st_size, []
    while back > 0:
        window = log_window(log, back, 1000, back=True)
        read = plain(window.lines) + read
        back = window.start
    assert read == written


def test_a_line_longer_than_a_window_comes_in_pieces(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    log.write_text("x" * 5000)
    window = log_window(log, 0, 1000)
    assert (window.end, plain(window.lines)) == (1000, ["x" * 1000])


def test_colours_become_classes_and_other_sequences_go() -> None:
    lines = styled_lines("\x1b[1;31mbad\x1b[0m fine\x1b[2K \x1b]0;title\x07\x1b[38;5;2mgreen\n\x1b[39mplain")
    assert lines == [[("bad", "a-31 a-b"), (" fine", ""), (" ", ""), ("green", "a-32")], [("plain", "")]]


def test_a_progress_bar_leaves_what_it_wrote_last() -> None:
    assert plain(styled_lines("10 %\r50 %\r100 %\r\ndone\n")) == ["100 %", "done"]


def test_finding_forwards_and_backwards_in_any_case(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    log.write_text("one Error\ntwo\nanother ERROR\n")
    assert find_in_log(log, "error", 0, "next") == 4
    assert find_in_log(log, "error", 5, "next") == 22
    assert find_in_log(log, "error", 22, "previous") == 4
    assert find_in_log(log, "none", 0, "next") is None
    assert find_in_log(tmp_path / "missing", "x", 0, "next") is None
    assert find_in_log(log, ".*", 0, "next") is None


def test_a_large_log_is_searched_and_read_by_parts(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    with log.open("wb") as stream:
        for number in range(100):
            stream.write(b"a line like any other\n" * 50_000)
            stream.write(f"needle {number}\n".encode())
    at = find_in_log(log, "needle 99", 0, "next")
    assert at is not None
    assert plain(log_window(log, at, 64).lines) == ["needle 99"]
    assert find_in_log(log, "needle 3\n", log.stat().st_size, "previous") is not None
