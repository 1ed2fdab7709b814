"""What varies from run to run, told by several reproductions of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlproj.api.reproduction import Reproduction
from mlproj.reproduction.rules import same_number
from mlproj.runs.record import RunRecord
from mlproj.text import one_line


@dataclass(frozen=True)
class Variation:
    """Which outputs and metrics were not the same in all of some runs, and whether they differ from the first alone."""

    runs: int
    varying: tuple[str, ...]
    steady: bool
    as_recorded: bool

    def lines(self) -> Iterator[str]:
        """The variation in words."""
        if self.varying:
            yield f"varies from run to run ({self.runs} runs): unseeded, or an order that changes"
            yield from (f"  {each}" for each in self.varying)
        elif self.as_recorded:
            yield f"steady: all {self.runs} runs came out as recorded"
        else:
            yield (
                f"steady: all {self.runs} runs came out alike, and other than recorded: the difference is in what went "
                "in, or in the machine"
            )

    def to_json(self) -> dict[str, Any]:
        """The variation as ``--json`` shows it."""
        return asdict(self)


def variation(attempts: Sequence[Reproduction]) -> Variation:
    """What was not the same in all attempts, bit for bit, but for what the manifest does not compare, or tolerates."""
    left_out = {each for attempt in attempts for each in attempt.verdict.not_compared}
    tolerated = {each.what for attempt in attempts for each in attempt.verdict.differences if each.allowed}
    beyond = {each.what for attempt in attempts for each in attempt.verdict.beyond}
    passed_over = left_out | (tolerated - beyond)
    found = [*_varying([each.run for each in attempts]), *_varying_within(attempts)]
    varying = [name for name in found if name not in passed_over and name.split(" (")[0] not in passed_over]
    return Variation(len(attempts), tuple(varying), not varying, not beyond)


def _varying_within(attempts: Sequence[Reproduction]) -> Iterator[str]:
    """What was not the same in the nested runs of all attempts, as it was found to differ from the recorded ones."""
    told = [
        {each.what: (str(each.again), each.how) for each in attempt.verdict.differences if each.of_nested}
        for attempt in attempts
    ]
    for what in sorted({what for each in told for what in each}):
        if len({each.get(what) for each in told}) > 1:
            yield what


def _varying(records: Sequence[RunRecord]) -> Iterator[str]:
    if len({record.exit_status for record in records}) > 1:
        yield "exit status"
    for name in sorted({name for record in records for name in record.metrics}):
        values = [record.metrics.get(name) for record in records]
        first = values[0]
        if first is None or any(value is None or not same_number(first, value) for value in values):
            yield f"metric {one_line(name)}"
    files = [
        {(output.name, file.path): file.sha256 for output in record.outputs for file in output.files}
        for record in records
    ]
    for name, path in sorted({key for each in files for key in each}):
        if len({each.get((name, path)) for each in files}) > 1:
            yield f"output {one_line(name)} ({one_line(path)})" if name else f"artifact {one_line(path)}"
