"""The values that a caller gives: ``-P name=value``, ``-P @file`` and ``--params-file``, later ones winning."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.errors import UsageError
from mlproj.manifest.diagnostics import ManifestError
from mlproj.text import one_line
from mlproj.toml import parse_toml


@dataclass(frozen=True)
class Given:
    """What was given for one parameter, and where: texts from a command line, or data from a file or from Python."""

    origin: str
    texts: tuple[str, ...] = ()
    data: Any = None

    @property
    def is_text(self) -> bool:
        """Whether it came as text, to be parsed by the parameter's type."""
        return bool(self.texts)


def gather(assignments: Sequence[str], files: Iterable[Path]) -> dict[str, Given]:
    """All values given on a command line, by name.

    ``assignments`` are the arguments of ``-P``: ``name=value`` or ``@file``. A name given several times keeps all
    its texts, for lists. ``-P`` wins over files, a later file over an earlier one.

    Raises ``UsageError`` for what has no such form.
    """
    values: dict[str, Given] = {}
    paths = list(files)
    texts: dict[str, list[str]] = {}
    for assignment in assignments:
        if assignment.startswith("@"):
            paths.append(Path(assignment[1:]))
            continue
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            shown = one_line(name) if not equals else ""
            raise UsageError(f"-P takes name=value or @file; found `{shown}` without a {'value' if shown else 'name'}")
        texts.setdefault(name.strip(), []).append(text)
    for path in paths:
        values.update(read_parameters_file(path))
    values.update({name: Given("-P", texts=tuple(each)) for name, each in texts.items()})
    return values


def from_python(values: Mapping[str, Any]) -> dict[str, Given]:
    """Values handed to ``mlproj.run``."""
    return {name: Given("params", data=value) for name, value in values.items()}


def read_parameters_file(path: Path) -> dict[str, Given]:
    """The values in a YAML, JSON or TOML file, told apart by its ending.

    Raises ``UsageError`` when it cannot be read or holds no mapping of names to values.
    """
    readers = {".yaml": _read_yaml, ".yml": _read_yaml, ".json": _read_json, ".toml": _read_toml}
    reader = readers.get(path.suffix.lower())
    shown = one_line(path)
    if reader is None:
        raise UsageError(f"{shown}: a parameters file ends in .yaml, .yml, .json or .toml")
    if path.exists() and not path.is_file():
        raise UsageError(f"{shown}: the parameters file is no regular file")
    try:
        return reader(path)
    except OSError as error:
        raise UsageError(f"{shown}: the parameters file cannot be read: {error.strerror}") from None
    except ManifestError as error:
        raise UsageError("\n".join(str(each).replace(": error: ", ": ", 1) for each in error.diagnostics)) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{shown}: not {path.suffix[1:].upper()}: {one_line(error)}") from None


def _read_yaml(path: Path) -> dict[str, Given]:
    from mlproj.manifest.document import read_document

    document = read_document(path)
    if document.findings:
        raise ManifestError(document.findings)
    if document.data is None:
        return {}
    if not isinstance(document.data, dict):
        raise UsageError(str(document.diagnostic("expected a mapping of parameter names to values")))
    places = {name: document.keys[(name,)] for name in document.data}
    return {
        name: Given(f"{one_line(path)}:{places[name].line}:{places[name].column}", data=value)
        for name, value in document.data.items()
    }


def _read_json(path: Path) -> dict[str, Given]:
    return _mapping(path, json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repetition))


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        twice = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return mapping


def _read_toml(path: Path) -> dict[str, Given]:
    return _mapping(path, parse_toml(path.read_text(encoding="utf-8-sig")))


def _mapping(path: Path, data: Any) -> dict[str, Given]:
    if not isinstance(data, dict):
        raise UsageError(f"{one_line(path)}: expected a mapping of parameter names to values")
    return {name: Given(one_line(path), data=value) for name, value in data.items()}
