"""The outputs of two runs compared, file by file: by digest, and by their values where the manifest says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlproj.reproduction.contents import differ
from mlproj.reproduction.differences import Difference, UnreadableError
from mlproj.reproduction.rules import OutputRule, Rules, Tolerance
from mlproj.runs.record import FileRecord, OutputRecord, RunRecord
from mlproj.text import one_line, plural
from mlproj.tracking.metrics_outputs import read_metrics_file

# What MLflow writes of the run and the moment into the description of a model: no part of what the model is.
_MLMODEL = OutputRule("json", ignored=("run_id", "utc_time_created", "model_uuid", "model_id", "artifact_path"))


@dataclass
class ComparedOutputs:
    """What differs between the outputs of two runs, what was not compared, and tolerances of metrics in them."""

    differences: list[Difference] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    tolerances: dict[str, Tolerance | None] = field(default_factory=dict)
    files: int = 0


def compare_outputs(
    recorded: RunRecord, again: RunRecord, artifacts: tuple[Path, Path], rules: Rules
) -> ComparedOutputs:
    """Compare the outputs of two runs, whose files are below the two folders ``artifacts``."""
    compared = ComparedOutputs()
    both = [{output.name: output for output in record.outputs} for record in (recorded, again)]
    for name in {**both[0], **both[1]}:
        one, other = both[0].get(name), both[1].get(name)
        rule = _rule(name, one or other, rules)
        if rule.how == "ignore":
            compared.not_compared.append(f"output {one_line(name)}")
            continue
        if rule.how == "metrics":
            _note_metrics(one, artifacts[0], rule, compared)
            _note_metrics(other, artifacts[1], rule, compared)
        _compare_files(name, _files(one), _files(other), artifacts, rule, rules, compared)
    return compared


def _rule(name: str, output: OutputRecord | None, rules: Rules) -> OutputRule:
    if name in rules.outputs:
        return rules.outputs[name]
    by_metrics = output is not None and output.kind in ("metrics", "tensorboard")
    return OutputRule("metrics" if by_metrics else "bytes")


def _files(output: OutputRecord | None) -> dict[str, FileRecord]:
    return {file.path: file for file in output.files} if output is not None else {}


def _note_metrics(output: OutputRecord | None, folder: Path, rule: OutputRule, compared: ComparedOutputs) -> None:
    """Note the output's tolerance for the metrics that were read from its files."""
    for file in output.files if output is not None else []:
        if rule.tolerance != Tolerance():
            points = read_metrics_file(folder / file.path)[0]
            compared.tolerances |= {point.name: rule.tolerance for point in points}
    compared.tolerances |= dict.fromkeys(rule.ignored)


def _compare_files(
    name: str,
    one: Mapping[str, FileRecord],
    other: Mapping[str, FileRecord],
    artifacts: tuple[Path, Path],
    rule: OutputRule,
    rules: Rules,
    compared: ComparedOutputs,
) -> None:
    for path in {**one, **other}:
        what = _named(name, path)
        own = rule if name else _rule_of_artifact(path, rules)
        if own.how == "ignore":
            compared.not_compared.append(what)
            continue
        compared.files += 1
        recorded, again = one.get(path), other.get(path)
        if recorded is None or again is None:
            how = f"is {'missing' if again is None else 'new'}"
            compared.differences.append(Difference(what, how, recorded and recorded.sha256, again and again.sha256))
        elif recorded.sha256 != again.sha256:
            compared.differences.append(_difference(what, recorded, again, artifacts, own))


def _named(name: str, path: str) -> str:
    return f"output {one_line(name)} ({one_line(path)})" if name else f"artifact {one_line(path)}"


def _rule_of_artifact(path: str, rules: Rules) -> OutputRule:
    """The rule for what the entry point logged itself: by the manifest's globs."""
    rule = rules.for_artifact(path)
    return rule or (_MLMODEL if PurePosixPath(path).name == "MLmodel" else OutputRule())


def _difference(
    what: str, recorded: FileRecord, again: FileRecord, artifacts: tuple[Path, Path], rule: OutputRule
) -> Difference:
    digests = (recorded.sha256, again.sha256)
    if rule.how == "metrics":
        return Difference(what, "other bytes; it is compared by its metrics", *digests, allowed=True)
    first, second = artifacts[0] / recorded.path, artifacts[1] / again.path
    if not first.is_file() or not second.is_file():
        which = "recorded" if not first.is_file() else "new"
        return Difference(what, f"other bytes; the {which} file is not here, so that only digests tell", *digests)
    if rule.how == "bytes":
        by = again.size - recorded.size
        how = (
            "other bytes of the same size"
            if not by
            else f"other bytes, {plural(abs(by), 'byte')} {'more' if by > 0 else 'fewer'}"
        )
        return Difference(what, how, *digests)
    try:
        found = differ(first, second, rule)
    except UnreadableError as error:
        return Difference(what, f"cannot be compared as {rule.how}: {error.message}", *digests)
    if found is None:
        return Difference(what, "other bytes with the same values", *digests, allowed=True)
    return Difference(what, found.how, *digests, allowed=found.allowed)
