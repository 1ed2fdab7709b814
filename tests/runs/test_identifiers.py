from __future__ import annotations

import uuid

import pytest

from mlproj.runs import identifiers
from mlproj.runs.identifiers import milliseconds_of_id, next_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    parsed = uuid.UUID(hex=next_id(None))
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122


def test_ids_grow_also_within_one_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identifiers.time, "time_ns", lambda: 1_700_000_000_000_000_000)
    ids = [next_id(None)]
    for _ in range(2000):
        ids.append(next_id(ids[-1]))
    assert ids == sorted(set(ids))
    assert all(uuid.UUID(hex=each).version == 7 for each in ids)


def test_ids_grow_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = next_id(None)
    monkeypatch.setattr(identifiers.time, "time_ns", lambda: 1_000_000_000_000_000_000)
    assert next_id(newest) > newest
    assert milliseconds_of_id(next_id(newest)) == milliseconds_of_id(newest)


def test_when_the_random_part_is_used_up_the_time_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identifiers.time, "time_ns", lambda: 1_000_000_000)
    full = "0000000003e87fffbfffffffffffffff"
    assert milliseconds_of_id(next_id(full)) == 1001
