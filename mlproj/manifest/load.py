"""From a folder to a validated manifest: finding the file, and turning pydantic's errors into located findings."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlproj.manifest import form, form_environments
from mlproj.manifest.diagnostics import Diagnostic, ManifestError
from mlproj.manifest.document import Document, KeyPath, read_document
from mlproj.manifest.finding import find_manifest, find_mlproject, is_mlproject
from mlproj.manifest.mlproject import read_mlproject
from mlproj.manifest.models import Manifest, manifest_from
from mlproj.text import did_you_mean, one_line


@dataclass(frozen=True)
class LoadedManifest:
    """A valid manifest, what it declares in its valid form, and the document it was read from for later findings."""

    declared: dict[str, Any]
    document: Document
    findings: tuple[Diagnostic, ...] = ()
    """What else is to be told of it, and what is wrong with single entry points of an MLproject."""
    files: tuple[Path, ...] = ()
    """What was read for it beside the manifest's own file."""

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest as a value."""
        return manifest_from(self.declared)

    @property
    def path(self) -> Path:
        """The manifest's file."""
        return self.document.path

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.document.path.parent

    @property
    def name(self) -> str:
        """The project's name: as declared, else its folder's."""
        return self.manifest.name or self.folder.resolve().name or "project"


def load_manifest(folder: Path) -> LoadedManifest:
    """Read and validate the manifest of a project's folder: its ``mlproj.yaml``, else its ``MLproject``.

    Raises ``ManifestError`` with all findings when it is not valid.
    """
    return load_manifest_file(find_manifest(folder))


def load_manifest_file(path: Path) -> LoadedManifest:
    """``load_manifest`` of one file, whose name says by which rules."""
    if is_mlproject(path):
        declared, document, told, files = read_mlproject(path)
        return LoadedManifest(declared, document, tuple(told), files)
    other = find_mlproject(path.parent)
    return _load_own(path, other.name if other is not None else None)


def _load_own(path: Path, passed_over: str | None) -> LoadedManifest:
    document = read_document(path)
    if document.data is None:
        message = "the manifest is empty: it needs `entry_points`; `mlproj init --force` writes a first one"
        raise ManifestError([document.diagnostic(message)])
    if not isinstance(document.data, dict):
        message = f"expected a mapping with `entry_points`; found {_described(document.data)}"
        raise ManifestError([document.diagnostic(message)])
    findings = list(document.findings)
    declared: dict[str, Any] | None
    try:
        declared = form.Manifest.model_validate(document.data).model_dump(exclude_unset=True)
    except ValidationError as error:
        findings += _findings(document, error)
        declared = _valid_part(document, error)
    told: list[Diagnostic] = []
    if passed_over is not None and not any(MIGRATED in line for line in document.lines[:1]):
        message = f"there is an `{one_line(passed_over)}` beside it, which is not read"
        told.append(document.diagnostic(message, severity="warning"))
    loaded = None if declared is None else LoadedManifest(declared, document, tuple(told))
    if loaded is None or findings:
        raise ManifestError(findings, loaded)
    return loaded


# How an mlproj.yaml begins that was made from the MLproject beside it.
MIGRATED = "by `mlproj migrate`"
_MOST_ROUNDS = 10


def _valid_part(document: Document, error: ValidationError) -> dict[str, Any] | None:
    """What is declared without the mistakes: names stay, so that what refers to them is not taken for another mistake.

    ``None`` when too little is left.
    """
    data = copy.deepcopy(document.data)
    for _ in range(_MOST_ROUNDS):
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            _leave_out(data, _path_in_document(document, detail["loc"])[0])
        try:
            return form.Manifest.model_validate(data).model_dump(exclude_unset=True)
        except ValidationError as remaining:
            error = remaining
    return None


def _leave_out(data: dict[str, Any], at: KeyPath) -> None:
    """Take a mistake out of the data, or put something harmless in its place."""
    stand_ins: dict[str, Any] = {"parameters": {}, "environments": {"system": {}}, "command": ["{args}"]}
    value: Any = data
    for depth, part in enumerate(at):
        if isinstance(value, list) or (isinstance(value, dict) and part not in value and part != "command"):
            return
        above = at[depth - 1] if depth else None
        stand_in = stand_ins.get(str(part)) if part == "command" else stand_ins.get(str(above))
        last = depth == len(at) - 1 or not isinstance(value.get(part), dict)
        if stand_in is not None and value.get(part) != stand_in:
            value[part] = stand_in
            return
        if last:
            value.pop(part, None)
            return
        value = value[part]


def _findings(document: Document, error: ValidationError) -> list[Diagnostic]:
    found: dict[tuple[KeyPath, bool], Diagnostic] = {}
    for detail in error.errors(include_url=False, include_input=True):
        at, is_key = _path_in_document(document, detail["loc"])
        context = detail.get("ctx", {})
        if isinstance(context.get("key"), str) and (*at, context["key"]) in document.keys:
            at = (*at, context["key"])
            is_key = detail["type"] in (
                "one_kind",
                "one_source",
                "constraint",
                "extras",
                "secret_default",
                "comparison",
            )
        is_key = is_key or detail["type"] == "extra_forbidden"
        finding = document.diagnostic(_message(document, at, detail), at, key=is_key)
        found.setdefault((at, detail["type"] == "missing"), finding)
    return sorted(found.values(), key=lambda item: (item.span.line, item.span.column) if item.span else (0, 0))


def _path_in_document(document: Document, location: tuple[int | str, ...]) -> tuple[KeyPath, bool]:
    """The path in the file of a pydantic location, without the names that pydantic adds for unions."""
    at: KeyPath = ()
    for part in location:
        if part == "[key]":
            return at, True
        if (*at, part) in document.values or part == location[-1]:
            at = (*at, part)
    while at and at not in document.values and at[:-1] in document.values and not _is_missing(document, at):
        at = at[:-1]
    return at, False


def _is_missing(document: Document, at: KeyPath) -> bool:
    """Whether ``at`` names a key that its mapping could have: the parent is a mapping of a known model."""
    return isinstance(_value_at(document, at[:-1]), dict) and str(at[-1]) in _known_keys(at[:-1])


def _value_at(document: Document, at: KeyPath) -> Any:
    value = document.data
    for part in at:
        value = value[part]  # every caller passes a path that is in the document
    return value


def _known_keys(at: KeyPath) -> list[str]:
    model: Any = None
    above = at[-2] if len(at) > 1 else None
    if not at:
        model = form.Manifest
    elif at[-1] in _ENVIRONMENTS and _is_environment(at[:-1]):
        model = _ENVIRONMENTS[str(at[-1])]
    elif at[-1] == "build" and above == "docker" and _is_environment(at[:-2]):
        model = form_environments.DockerBuild
    elif _is_environment(at):
        model = form_environments.EnvironmentSpec
    elif at == ("tracking",):
        model = form.Tracking
    elif at[-1] == "reproducibility":
        model = form.Reproducibility
    elif at[-2:-1] == ("metrics",) and at[-3:-2] == ("reproducibility",):
        model = form.MetricTolerance
    elif at[-2:-1] == ("artifacts",) and at[-3:-2] == ("reproducibility",):
        model = form.Comparison
    elif above == "parameters":
        model = form.Parameter
    elif above == "outputs":
        model = form.Output
    elif above == "entry_points":
        model = form.EntryPoint
    return list(model.model_fields) if model is not None else []


def _is_environment(at: KeyPath) -> bool:
    return at[-1:] == ("environment",) or at[-2:-1] == ("environments",)


_ENVIRONMENTS = {
    "virtualenv": form_environments.Virtualenv,
    "conda": form_environments.Conda,
    "docker": form_environments.Docker,
    "system": form_environments.System,
}
# Kinds of findings of the form's own rules, whose message says what was expected.
_OWN_RULES = frozenset(
    ("one_kind", "one_source", "constraint", "extras", "secret_default", "shell", "duration", "type", "tracking_uri")
    + ("comparison",)
)
_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number that is not without end",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "too_short": "at least one item",
    "string_too_short": "a text that is not empty",
}


def _message(document: Document, at: KeyPath, detail: Any) -> str:
    kind = detail["type"]
    value = detail.get("input")
    if kind == "extra_forbidden":
        known = _known_keys(at[:-1])
        listed = ", ".join(known) or "none"
        return f"unknown key `{at[-1]}`: expected one of {listed}.{did_you_mean(str(at[-1]), known)}"
    if kind == "missing":
        return f"the key `{at[-1]}` is missing"
    if kind == "string_pattern_mismatch" and detail["loc"][-1] == "[key]":
        return f"`{value}` cannot be a name here: letters, digits, `_`, `-` and `.`, not starting with `-` or `.`"
    if kind == "string_too_long":
        return f"expected a text of at most {detail['ctx']['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return f"expected a text that matches {detail['ctx']['pattern']}; found {_described(value)}"
    if kind in _OWN_RULES:
        return f"expected {detail['msg']}"
    if at and at[-1] in ("min", "max"):
        return f"expected a number or a date; found {_described(value)}"
    expected = _EXPECTED.get(kind, detail["msg"])
    if kind == "greater_than_equal":
        expected = f"a number of at least {detail['ctx']['ge']:g}"
    if kind == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", "`")
    quoted = ""
    if kind == "string_type" and isinstance(value, (int, float, bool)):
        quoted = f': write it in quotes, "{_source_text(document, at)}"'
    return f"expected {expected}; found {_described(value)}{quoted}"


def _source_text(document: Document, at: KeyPath) -> str:
    span = document.values[at]
    return document.lines[span.line - 1][span.column - 1 : span.column - 1 + span.length]


def _described(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}` (a truth value)"
    if isinstance(value, (int, float)):
        return f"`{value}` (a number)"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    text = one_line(value)
    return f"`{text if len(text) <= 60 else text[:57] + '…'}`"
