"""A YAML file as plain data with the position of every key and value, read by YAML 1.2's core schema.

libyaml gives the events; the tree is built here, without recursion over what the file controls, so that depth,
size and alias expansion can be bounded before they cost anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mlproj.manifest.diagnostics import Diagnostic, ManifestError, Severity, Span
from mlproj.manifest.scalars import resolve_scalar
from mlproj.text import one_line

LARGEST_FILE = 1 << 20
DEEPEST_NESTING = 50
_TOO_DEEP = f"nested more than {DEEPEST_NESTING} levels deep: this is no manifest"
MOST_NODES = 50_000

KeyPath = tuple[str | int, ...]
_PLACEHOLDER = re.compile(r"`(\{[^`{}]*\})`")


@dataclass(frozen=True)
class Rules:
    """How a kind of file is read: its plain scalars, and what becomes of keys that are no text or are there twice.

    With ``lenient_keys`` the first are taken as they are written, and of the second the last one counts, as PyYAML
    has it; a warning says so.
    """

    scalar: Callable[..., Any] = resolve_scalar
    lenient_keys: bool = False


OWN_RULES = Rules()


@dataclass(frozen=True)
class Document:
    """A parsed file: its data, and where each key and each value stands.

    ``findings`` are mistakes that leave the rest readable: a key that is there twice, or is no text.
    """

    path: Path
    lines: tuple[str, ...]
    data: Any
    values: dict[KeyPath, Span]
    keys: dict[KeyPath, Span]
    findings: tuple[Diagnostic, ...] = ()

    def diagnostic(self, message: str, at: KeyPath = (), *, key: bool = False, severity: Any = "error") -> Diagnostic:
        """A finding at the value (or the key) that ``at`` leads to, or at the nearest place above it.

        Where the message is about a placeholder (`{name}`), it is the placeholder's own place in the value.
        """
        span = self._span(at, self.keys if key else self.values)
        if span is not None and not key and (named := _PLACEHOLDER.search(message)):
            span = self._place_of(named[1], span)
        return Diagnostic(severity, message, str(self.path), span, self._line(span))

    def _place_of(self, text: str, value: Span) -> Span:
        """Where ``text`` first stands in the lines of a value; a block's lines begin below it."""
        end = min((span.line for span in self.keys.values() if span.line > value.line), default=len(self.lines) + 1)
        for number in range(value.line, end):
            column = self.lines[number - 1].find(text, value.column - 1 if number == value.line else 0)
            if column >= 0:
                return Span(number, column + 1, len(text))
        return value

    def _span(self, at: KeyPath, first: dict[KeyPath, Span]) -> Span | None:
        for length in range(len(at), -1, -1):
            path = at[:length]
            found = first.get(path) if length == len(at) else None
            found = found or self.keys.get(path) or self.values.get(path)
            if found is not None:
                return found
        return None

    def _line(self, span: Span | None) -> str:
        return self.lines[span.line - 1] if span is not None and span.line <= len(self.lines) else ""


@dataclass
class _Node:
    """A value of the file before aliases are expanded; ``items`` are (key, value) pairs or (None, value)."""

    kind: str
    span: Span
    scalar: Any = None
    text: str = ""
    items: list[tuple[_Node | None, _Node]] = field(default_factory=list)
    open: bool = True


def read_document(path: Path, rules: Rules = OWN_RULES) -> Document:
    """Read and parse a YAML file.

    Raises ``ManifestError`` when it is no YAML, or would cost too much to read on.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManifestError([Diagnostic("error", f"the file cannot be read: {reason}", str(path))]) from None
    return parse_document(path, raw, rules)


def parse_document(path: Path, raw: bytes, rules: Rules = OWN_RULES) -> Document:
    """``read_document`` for bytes already at hand; ``path`` is only named in findings."""
    text = _decoded(path, raw)
    lines = tuple(text.splitlines())
    findings: list[Diagnostic] = []
    root = _tree(path, text, lines, findings, rules)
    values: dict[KeyPath, Span] = {}
    keys: dict[KeyPath, Span] = {}
    data = None
    if root is not None:
        data = _Expansion(path, lines, values, keys, findings, rules).expand(root, ())
    return Document(path, lines, data, values, keys, tuple(findings))


def _decoded(path: Path, raw: bytes) -> str:
    if len(raw) > LARGEST_FILE:
        raise ManifestError(
            [Diagnostic("error", "the file is larger than 1 MiB, which none of its kind is", str(path))]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rsplit(b"\n", 1)[-1].decode("utf-8", "replace")) + 1
        shown = raw.splitlines()[line - 1].decode("latin-1")
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8: save the file as UTF-8 (it may be Latin-1 now)"
        raise ManifestError([Diagnostic("error", message, str(path), Span(line, column), shown)]) from None


def _tree(path: Path, text: str, lines: tuple[str, ...], findings: list[Diagnostic], rules: Rules) -> _Node | None:
    def finding(message: str, mark: Any) -> Diagnostic:
        line = lines[mark.line] if mark.line < len(lines) else ""
        return Diagnostic("error", message, str(path), Span(mark.line + 1, mark.column + 1), line)

    root: _Node | None = None
    anchors: dict[str, _Node] = {}
    stack: list[_Node] = []
    waiting: list[_Node | None] = []  # for each open mapping, the key that still lacks its value
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                stack.pop().open = False
                waiting.pop()
                continue
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                message = "a second document (`---`): a manifest is one document"
                raise ManifestError([*findings, finding(message, event.start_mark)])
            if not isinstance(event, yaml.NodeEvent):
                continue
            if isinstance(event, yaml.AliasEvent):
                target = anchors.get(event.anchor or "")
                if target is None or target.open:
                    message = f"alias `*{event.anchor}` without an anchor before it"
                    raise ManifestError([*findings, finding(message, event.start_mark)])
                node = target
            else:
                node = _node(event, finding, findings, rules)
                if event.anchor is not None:
                    anchors[event.anchor] = node
            if not stack:
                root = node
            elif stack[-1].kind == "list":
                stack[-1].items.append((None, node))
            elif waiting[-1] is None:
                waiting[-1] = node
            else:
                stack[-1].items.append((waiting[-1], node))
                waiting[-1] = None
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append(node)
                waiting.append(None)
                if len(stack) > DEEPEST_NESTING:
                    raise ManifestError([*findings, finding(_TOO_DEEP, event.start_mark)])
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # libyaml has a limit of its own, which it can come to before there is an event.
        too_deep = "nesting depth" in (error.problem or "")
        message = _TOO_DEEP if too_deep else _syntax_message(error, lines)
        told = finding(message, mark) if mark else Diagnostic("error", message, str(path))
        raise ManifestError([*findings, told]) from None
    except yaml.YAMLError as error:
        told = Diagnostic("error", f"not YAML: {one_line(error)}", str(path))
        raise ManifestError([*findings, told]) from None
    return root


def _node(event: Any, finding: Any, findings: list[Diagnostic], rules: Rules) -> _Node:
    start, end = event.start_mark, event.end_mark
    length = end.column - start.column if end.line == start.line else 1
    span = Span(start.line + 1, start.column + 1, max(1, length))
    if isinstance(event, yaml.MappingStartEvent):
        return _Node("mapping", Span(span.line, span.column))
    if isinstance(event, yaml.SequenceStartEvent):
        return _Node("list", Span(span.line, span.column))
    try:
        value = rules.scalar(event.value, event.tag, plain=event.implicit[0])
    except ValueError as error:
        findings.append(finding(str(error), start))
        value = None
    return _Node("scalar", span, scalar=value, text=event.value, open=False)


def _syntax_message(error: yaml.MarkedYAMLError, lines: tuple[str, ...]) -> str:
    mark = error.problem_mark
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab in the indentation: YAML is indented with spaces"
    problem = (error.problem or "syntax error").replace("\n", " ")
    context = f" ({error.context})" if error.context else ""
    return f"not YAML: {problem}{context}"


@dataclass
class _Expansion:
    """The walk from nodes to data: aliases and merge keys are expanded here, and counted."""

    path: Path
    lines: tuple[str, ...]
    values: dict[KeyPath, Span]
    keys: dict[KeyPath, Span]
    findings: list[Diagnostic]
    rules: Rules
    count: int = 0

    def expand(self, node: _Node, at: KeyPath) -> Any:
        self._count(node, depth=len(at))
        self.values[at] = node.span
        if node.kind == "scalar":
            return node.scalar
        if node.kind == "list":
            return [self.expand(item, (*at, index)) for index, (_, item) in enumerate(node.items)]
        return self._mapping(node, at)

    def _count(self, node: _Node, *, depth: int) -> None:
        """Count a value, and stop where there are too many of them, or they are too deep."""
        self.count += 1
        if self.count > MOST_NODES:
            self._find(f"aliases expand to more than {MOST_NODES} values: this is no manifest", node.span)
            raise ManifestError(self.findings)
        if depth > DEEPEST_NESTING:
            self._find(f"aliases nested more than {DEEPEST_NESTING} levels deep: this is no manifest", node.span)
            raise ManifestError(self.findings)

    def _mapping(self, node: _Node, at: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        own: dict[str, Span] = {}
        for key_node, value in node.items:
            assert key_node is not None
            key = key_node.scalar
            if key_node.kind == "scalar" and key == "<<":
                for merged_key, merged_node, merged_value in self._merged(value, len(at)):
                    if merged_key not in own and merged_key not in result:
                        place = (*at, merged_key)
                        self.keys[place] = merged_node.span
                        result[merged_key] = self.expand(merged_value, place)
                continue
            if key_node.kind == "scalar" and self.rules.lenient_keys:
                key = key_node.text
            if key_node.kind != "scalar" or not isinstance(key, str):
                self._find(f"a key that is not a text{_in_quotes(key)}", key_node.span)
                continue
            if key in own:
                message = f"the key `{key}` is there twice: first on line {own[key].line}"
                if not self.rules.lenient_keys:
                    self._find(message, key_node.span)
                    continue
                self._find(f"{message}; the last one counts", key_node.span, "warning")
            own[key] = key_node.span
            place = (*at, key)
            self.keys[place] = key_node.span
            result[key] = self.expand(value, place)
        return result

    def _merged(self, value: _Node, depth: int) -> Iterator[tuple[str, _Node, _Node]]:
        sources = [item for _, item in value.items] if value.kind == "list" else [value]
        for source in sources:
            if source.kind != "mapping":
                self._find("`<<` takes a mapping or a list of mappings", source.span)
                continue
            for key_node, item in source.items:
                assert key_node is not None
                if key_node.kind == "scalar" and key_node.scalar == "<<":
                    self._count(item, depth=depth + 1)
                    yield from self._merged(item, depth + 1)
                elif key_node.kind == "scalar" and isinstance(key_node.scalar, str):
                    yield key_node.scalar, key_node, item
                else:
                    self._find(f"a key that is not a text{_in_quotes(key_node.scalar)}", key_node.span)

    def _find(self, message: str, span: Span, severity: Severity = "error") -> None:
        line = self.lines[span.line - 1] if span.line <= len(self.lines) else ""
        self.findings.append(Diagnostic(severity, message, str(self.path), span, line))


def _in_quotes(key: Any) -> str:
    return "" if key is None or isinstance(key, (list, dict)) else f': write it in quotes, "{key}"'
