"""Signals that are raised as exceptions, and what is being imported meanwhile."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlproj.signals import held_back, raising

# As it comes to a class that is being made, whose parts wrap what they raise in errors of their own.
INTERRUPTED = """
import signal
class Part:
    def __set_name__(self, owner, name):
        signal.raise_signal(signal.SIGUSR1)
class Whole:
    part = Part()
whole = True
"""


class Asked(BaseException):
    pass


@pytest.fixture(autouse=True)
def _handled() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, raising(lambda _: Asked()))
    yield
    signal.signal(signal.SIGUSR1, before)


def test_it_is_raised_where_it_comes() -> None:
    with pytest.raises(Asked):
        signal.raise_signal(signal.SIGUSR1)


def test_an_import_is_brought_to_its_end_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "interrupted_module.py").write_text(INTERRUPTED)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Asked):
        importlib.import_module("interrupted_module")
        signal.sigtimedwait([], 30)
    assert sys.modules.pop("interrupted_module").whole


def test_a_signal_waits_for_the_end_of_what_must_not_be_broken_off() -> None:
    before, done = signal.signal(signal.SIGINT, raising(lambda _: Asked())), []
    try:
        with pytest.raises(Asked), held_back():
            signal.raise_signal(signal.SIGINT)
            done.append("whole")
        with pytest.raises(Asked), held_back():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append("asked twice")
        with pytest.raises(Asked):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["whole"]
