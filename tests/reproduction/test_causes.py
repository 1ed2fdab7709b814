"""Why two runs differ, from their records alone."""

from __future__ import annotations

from dataclasses import replace

from mlproj.reproduction.causes import causes
from mlproj.runs.record import (
    EnvironmentRecord,
    InputRecord,
    MachineRecord,
    RequestRecord,
    RunRecord,
    SourceRecord,
)

RUN = RunRecord(
    id="0" * 32,
    entry_point="train",
    source=SourceRecord(kind="git", commit="a" * 40),
    environment=EnvironmentRecord(
        kind="virtualenv", python="3.11.7", packages={"numpy": "2.1.0"}, lock_sha256="1" * 64
    ),
    request=RequestRecord(parameters={"alpha": 0.1}),
    variables={"OMP_NUM_THREADS": "1"},
    inputs=[InputRecord("data.csv", 3, "d" * 64)],
    machine=MachineRecord(cpu="Xeon", cpu_count=8),
    platform="Linux 6.1.0 x86_64",
)


def told(other: RunRecord) -> list[str]:
    return [str(each) for each in causes(RUN, other)]


def test_nothing_differs_between_a_run_and_itself() -> None:
    assert told(RUN) == []


def test_words_are_told_apart_and_what_both_lack_is_told_once() -> None:
    one = replace(RUN, request=RequestRecord(arguments=["a b"]), source=replace(RUN.source, left_out=["big"]))
    other = replace(one, request=RequestRecord(arguments=["a", "b"]))
    assert [str(each) for each in causes(one, other)] == [
        "source: changes of which no digest is kept: big",
        "arguments: 'a b' → a b",
    ]


def test_a_zero_with_a_sign_is_another_value_and_nan_is_not() -> None:
    zero, minus, nothing, as_text = (
        replace(RUN, request=RequestRecord(parameters={"x": value})) for value in (0.0, -0.0, float("nan"), "nan")
    )
    assert [str(each) for each in causes(zero, minus)] == ["parameters: x 0.0 → -0.0"]
    assert causes(nothing, as_text) == []


def test_each_cause_is_named_with_both_sides_in_the_order_of_likelihood() -> None:
    other = replace(
        RUN,
        source=SourceRecord(kind="git", commit="b" * 40, patch_sha256="p" * 64),
        environment=EnvironmentRecord(kind="virtualenv", python="3.12.1", packages={"numpy": "2.2.0", "six": "1"}),
        request=RequestRecord(parameters={"alpha": 0.2}, arguments=["--fast"]),
        variables={},
        inputs=[InputRecord("data.csv", 3, "e" * 64)],
        machine=MachineRecord(cpu="EPYC", cpu_count=8, gpus=["H100"]),
        platform="Linux 6.9.9 aarch64",
    )
    assert told(other) == [
        "source: commit aaaaaaaaaaaa → bbbbbbbbbbbb",
        "source: the changes since the commit (was clean, is dirty)",
        "arguments: none → --fast",
        "parameters: alpha 0.1 → 0.2",
        "environment: python 3.11.7 → 3.12.1",
        "packages: numpy 2.1.0 → 2.2.0",
        "packages: six not installed → 1",
        "inputs: data.csv: other content",
        "variables: OMP_NUM_THREADS 1 → unset",
        "machine: CPU Xeon → EPYC",
        "machine: GPUs none → H100",
        "machine: Linux x86_64 → Linux aarch64",
    ]


def test_another_kernel_of_the_same_system_is_no_cause() -> None:
    assert told(replace(RUN, platform="Linux 6.9.9 x86_64")) == []


def test_true_is_not_one() -> None:
    assert told(replace(RUN, request=RequestRecord(parameters={"alpha": True}))) == ["parameters: alpha 0.1 → True"]


def test_a_lock_that_comes_to_the_same_packages_is_said_to_be_one() -> None:
    other = replace(RUN, environment=replace(RUN.environment, lock_sha256="2" * 64))
    assert told(other) == ["environment: another lock, of the same packages"]


def test_of_many_packages_the_first_are_named() -> None:
    packages = {f"p{number}": "1" for number in range(9)}
    other = replace(RUN, environment=replace(RUN.environment, packages={**RUN.environment.packages, **packages}))
    assert told(other)[-1] == "packages: and 4 more"
