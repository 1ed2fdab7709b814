from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproj.errors import UsageError
from mlproj.runs.metric_lines import MetricPoint
from mlproj.tracking.patterns import LONGEST_LINE, LineScanner, compile_patterns

LOSS = {"loss": r"loss[:= ]+(?P<value>\S+)"}
EPOCH = {"acc": r"epoch (?P<step>\d+).*acc (?P<value>[\d.]+)"}


def scan(patterns: dict[str, str], *chunks: bytes) -> list[MetricPoint]:
    scanner = LineScanner(compile_patterns(patterns))
    return [point for chunk in chunks for point in scanner.feed(chunk)] + scanner.close()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"loss: 0.31\n", 0.31),
        (b"loss=0.31, acc=0.9\n", 0.31),
        (b"loss 1e-3", 0.001),
        (b"\x1b[32mloss:\x1b[0m \x1b[1m0.5\x1b[0m\n", 0.5),
        (b"loss: inf\r\n", float("inf")),
    ],
)
def test_a_value_is_found_in_a_line(output: bytes, expected: float) -> None:
    assert scan(LOSS, output) == [MetricPoint("loss", expected)]


def test_steps_and_several_metrics_are_found() -> None:
    points = scan({**LOSS, **EPOCH}, b"epoch 3 loss 0.5 acc 0.75\n")
    assert points == [MetricPoint("loss", 0.5), MetricPoint("acc", 0.75, 3)]


def test_lines_are_put_together_over_chunks_and_a_progress_bar_has_many() -> None:
    assert scan(LOSS, b"lo", b"ss: 0.", b"5\nloss: 0.4\rloss: 0.3\r", b"loss: 0.2") == [
        MetricPoint("loss", value) for value in (0.5, 0.4, 0.3, 0.2)
    ]


@given(st.lists(st.integers(1, 40), max_size=6))
def test_where_the_chunks_are_cut_makes_no_difference(cuts: list[int]) -> None:
    output = "épôque loss: 0.5\nloss: 0.25\rnothing\nloss: oops\nloss: 7".encode()
    chunks, rest = [], output
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]
    assert scan(LOSS, *chunks, rest) == [MetricPoint("loss", value) for value in (0.5, 0.25, 7.0)]


def test_what_is_no_number_is_no_point() -> None:
    assert scan(LOSS, b"loss: none\nloss\n\xff\xfeloss: \xff\n") == []


def test_an_endless_line_is_cut_and_not_kept() -> None:
    scanner = LineScanner(compile_patterns(LOSS))
    for _ in range(100):
        assert scanner.feed(b"x" * 100_000) == []
    assert len(scanner._rest) <= 4 * LONGEST_LINE
    assert scanner.feed(b" loss: 1\nloss: 2\n") == [MetricPoint("loss", 2.0)]


def test_an_expression_that_would_take_for_ever_is_asked_once_and_told() -> None:
    scanner = LineScanner(compile_patterns({"slow": r"(a+)+b(?P<value>\d)", **LOSS}))
    assert scanner.feed(b"a" * 60 + b"\n" + b"a" * 1000 + b" loss: 1\n") == [MetricPoint("loss", 1.0)]
    assert "metric slow took" in scanner.notices[0]


@pytest.mark.parametrize(("expression", "said"), [("(", "not a regular expression"), ("loss", "no group `value`")])
def test_an_expression_that_cannot_be_used_names_its_metric(expression: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"metrics: loss: .*{said}"):
        compile_patterns({"loss": expression})
