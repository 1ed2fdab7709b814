"""What is wrong with a manifest, and where: file, line, column, the line itself with a caret, and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlproj.errors import UsageError
from mlproj.text import one_line, plural

Severity = Literal["error", "warning", "hint"]
_LONGEST_EXCERPT = 160


@dataclass(frozen=True)
class Span:
    """A stretch of one line of a file; line and column count from 1, as editors do."""

    line: int
    column: int
    length: int = 1


@dataclass(frozen=True)
class Diagnostic:
    """One finding: an error that stops a run, a warning that does not, or a hint that only ``check`` shows."""

    severity: Severity
    message: str
    file: str
    span: Span | None = None
    excerpt: str = ""

    def __str__(self) -> str:
        place = one_line(self.file)
        if self.span is not None:
            place += f":{self.span.line}:{self.span.column}"
        text = f"{place}: {self.severity}: {one_line(self.message)}"
        if self.span is None or not self.excerpt.strip():
            return text
        return f"{text}\n{_pointed_at(self.excerpt, self.span)}"

    def as_json(self) -> dict[str, Any]:
        """The finding as ``mlproj check --json`` prints it."""
        fields = asdict(self)
        span = fields.pop("span") or {}
        return {**fields, "line": span.get("line"), "column": span.get("column")}


def _pointed_at(excerpt: str, span: Span) -> str:
    start = max(0, span.column - 1 - _LONGEST_EXCERPT // 2) if len(excerpt) > _LONGEST_EXCERPT else 0
    shown = excerpt[start : start + _LONGEST_EXCERPT]
    before = one_line(shown[: span.column - 1 - start])
    marked = one_line(shown[span.column - 1 - start : span.column - 1 - start + span.length])
    gutter = f"{span.line:>5} | "
    caret = " " * len(before) + "^" * max(1, len(marked))
    return f"{gutter}{one_line(shown)}\n{' ' * (len(gutter) - 2)}| {caret}"


class ManifestError(UsageError):
    """A manifest that cannot be run, with every finding about it.

    ``remainder`` is what of it is valid (a ``LoadedManifest``), where more mistakes can be looked for.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic], remainder: Any = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.remainder = remainder
        errors = sum(1 for diagnostic in diagnostics if diagnostic.severity == "error")
        shown = "\n".join(str(diagnostic) for diagnostic in diagnostics)
        super().__init__(f"{shown}\n{plural(errors, 'error')} in the manifest")
