"""Dockerfiles: what images one builds on, what of its context it copies, and the same with its images pinned."""

from __future__ import annotations

import json
import re
import shlex
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlproj.environments.images.references import parse_reference
from mlproj.errors import UsageError
from mlproj.manifest.image_names import is_image_name
from mlproj.text import one_line

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(\S.*?)\s*$")
# A here-document as the builder knows one: a word of its own.
_HERE_DOCUMENT = re.compile(r"\d*<<(-?)([\"']?)([^<>\"'\s$`\\;|&()]+)\2")
_WORD = re.compile(r"(?:\"(?:\\.|[^\"\\])*\"|'[^']*'|\\.|[^\s\"'\\])+|\S")
_ARITHMETIC = re.compile(r"\$\(\((?:(?!\$\(\().)*?\)\)")
_VARIABLE = re.compile(
    r"\\(?P<literal>.)|\$(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<kind>[-+])(?P<word>[^{}]*))?\})"
)
_LONGEST_VALUE = 100_000
# What needs nothing of the context; a mount without a `type` is a bind mount.
_MOUNTS_OF_NO_FILES = ("cache", "tmpfs", "secret", "ssh")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its lines in the file (from 0, the last one excluded), its name and all that follows it."""

    first: int
    last: int
    name: str
    rest: str


@dataclass(frozen=True)
class Dockerfile:
    """What a Dockerfile is found to need.

    ``images`` are the references of the images it builds on, in their order. ``sources`` are patterns of what it
    copies from its context, ``None`` when that may be anything. ``syntax`` is the image of the frontend that it names.
    """

    text: str
    images: tuple[str, ...]
    sources: tuple[str, ...] | None
    syntax: str | None
    places: Mapping[str, tuple[tuple[int, str], ...]] = field(default_factory=dict, repr=False)

    def pinned(self, pins: Mapping[str, str]) -> str:
        """The text with images named by what ``pins`` has for their references."""
        lines = self.text.split("\n")
        for reference, pin in pins.items():
            for number, written in self.places.get(reference, ()):
                lines[number] = _replaced(lines[number], written, pin)
        return "\n".join(lines)


def _replaced(line: str, written: str, pin: str) -> str:
    whole_word = rf"(?<![\w.$:/@-]){re.escape(written)}(?![\w./:@-])"
    return re.sub(whole_word, lambda _: pin, line, count=1)


def read_dockerfile(text: str, arguments: Mapping[str, str], target: str | None, platform: str) -> Dockerfile:
    """What a Dockerfile needs for a build with ``arguments`` up to the stage ``target``, on an engine of ``platform``.

    Raises ``UsageError`` for one that builds on nothing.
    """
    directives = _directives(text)
    instructions = _instructions(text, directives.get("escape", "\\"))
    given = {**_platform_arguments(platform), **arguments}
    reader = _Reader(given, target)
    lines = text.split("\n")
    for instruction in instructions:
        reader.take(instruction, lines)
    if not reader.stages:
        raise UsageError("the Dockerfile has no `FROM`", hint="it has to begin with the image that it builds on")
    if target is not None and not reader.found_target:
        raise UsageError(f"the Dockerfile has no stage `{one_line(target)}`, which `target` names")
    return Dockerfile(
        text=text,
        images=tuple(reader.images),
        sources=None if reader.sources is None else tuple(dict.fromkeys(reader.sources)),
        syntax=directives.get("syntax"),
        places={reference: tuple(places) for reference, places in reader.images.items()},
    )


def _platform_arguments(platform: str) -> dict[str, str]:
    system, _, rest = platform.partition("/")
    machine, _, variant = rest.partition("/")
    values = {"PLATFORM": platform, "OS": system, "ARCH": machine, "VARIANT": variant}
    return {side + name: value for side in ("TARGET", "BUILD") for name, value in values.items()}


def _directives(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split("\n"):
        match = _DIRECTIVE.match(line.strip())
        if match is None or match[1].lower() in found:
            break
        found[match[1].lower()] = match[2]
    return found


def _instructions(text: str, escape: str) -> list[Instruction]:
    """The instructions, with lines joined, comments left out, and here-documents passed over."""
    found, lines, number = [], text.split("\n"), 0
    places: dict[tuple[bool, str], list[int]] = {}
    for place, line in enumerate(lines):
        places.setdefault((False, line.rstrip("\r")), []).append(place)
        places.setdefault((True, line.lstrip("\t").rstrip("\r")), []).append(place)
    while number < len(lines):
        first, words = number, ""
        if not lines[number].strip() or lines[number].lstrip().startswith("#"):
            number += 1
            continue
        while number < len(lines):
            line = lines[number]
            number += 1
            if words and (not line.strip() or line.lstrip().startswith("#")):
                continue
            stripped = line.rstrip()
            if not stripped.endswith(escape):
                words += stripped
                break
            words += stripped[: -len(escape)] + " "
        name, rest = _first_word(words)
        if name.upper() in ("RUN", "COPY", "ADD"):
            number = _after_here_documents(rest, places, number)
        found.append(Instruction(first, number, name.upper(), rest))
    return found


def _first_word(text: str) -> tuple[str, str]:
    word, *rest = text.split(None, 1) or [""]
    return word, rest[0].strip() if rest else ""


def _after_here_documents(rest: str, places: Mapping[tuple[bool, str], Sequence[int]], number: int) -> int:
    """The line after the here-documents of an instruction; one whose end never comes is none.

    ``places`` are where each line stands, as it is, and without the tabs that it is indented by.
    """
    for here in _here_documents(rest):
        found = places.get(here, [])
        first = bisect_left(found, number)
        if first == len(found):
            break
        number = found[first] + 1
    return number


def _here_documents(rest: str) -> list[tuple[bool, str]]:
    """Of each here-document whether its lines may be indented by tabs, and the line that ends it."""
    words = _WORD.findall(_ARITHMETIC.sub("0", rest))
    matches = [_HERE_DOCUMENT.fullmatch(word) for word in words]
    return [(bool(match[1]), match[3]) for match in matches if match is not None]


class _Reader:
    """Goes through the instructions with the values of the arguments, as the builder does."""

    def __init__(self, given: Mapping[str, str], target: str | None) -> None:
        self.given = given
        self.target = target
        self.found_target = target is None
        self.past_target = False
        self.outer: dict[str, str] = {}
        self.stages: list[str] = []
        self.names: set[str] = set()
        self.images: dict[str, list[tuple[int, str]]] = {}
        self.sources: list[str] | None = []
        self.values: dict[str, str] = {}

    def take(self, instruction: Instruction, lines: list[str]) -> None:
        name, rest = instruction.name, instruction.rest
        if name == "FROM" and self.target is not None and self.found_target:
            self.past_target = True
        if self.past_target:
            return  # what is not built
        if name == "ARG":
            self._argument(rest)
        elif name == "ENV":
            self._variables(rest)
        elif name == "FROM":
            self._stage(instruction, lines)
        elif name in ("COPY", "ADD"):
            self._copy(instruction, lines)
        elif name == "RUN":
            self._mounts(instruction, lines)
        elif name == "ONBUILD":
            # It is a step of every stage that builds on this one.
            self.sources = None

    def _argument(self, rest: str) -> None:
        for word in _words(rest):
            name, equals, default = word.partition("=")
            scope = self.values if self.stages else self.outer
            if name in self.given:
                scope[name] = self.given[name]
            elif equals:
                scope[name] = self._expand(default)
            elif self.stages and name in self.outer:
                scope[name] = self.outer[name]

    def _variables(self, rest: str) -> None:
        words = _words(rest)
        if words and "=" in words[0]:
            for word in words:
                name, _, value = word.partition("=")
                self.values[name] = self._expand(value)
        elif len(words) > 1:
            self.values[words[0]] = self._expand(" ".join(words[1:]))

    def _stage(self, instruction: Instruction, lines: list[str]) -> None:
        words = [word for word in instruction.rest.split() if not word.startswith("--")]
        if not words:
            raise UsageError(f"line {instruction.first + 1} of the Dockerfile: `FROM` names no image")
        written, self.values = words[0], {}
        # Before the first stage there are only the arguments from before it.
        scope = {**_only_platform(self.given), **self.outer}
        reference = _expanded(written, scope)
        name = words[2].lower() if len(words) == 3 and words[1].lower() == "as" else ""
        self._image(written, reference, instruction, lines)
        self.stages.append(name)
        self.names.add(name)
        if self.target is not None and self.target.lower() in (name, str(len(self.stages) - 1)):
            self.found_target = True

    def _mounts(self, instruction: Instruction, lines: list[str]) -> None:
        flags, _ = _flags(instruction.rest)
        for flag in flags:
            if not flag.startswith("--mount"):
                continue
            fields = [each.partition("=") for each in flag.partition("=")[2].replace('"', "").split(",")]
            mount = {key.strip().lower(): value.strip() for key, _, value in fields}
            if written := mount.get("from"):
                self._image(written, self._expand(written), instruction, lines)
            elif mount.get("type", "bind").lower() not in _MOUNTS_OF_NO_FILES:
                self.sources = None

    def _copy(self, instruction: Instruction, lines: list[str]) -> None:
        flags, rest = _flags(instruction.rest)
        if others := [flag.partition("=")[2] for flag in flags if flag.startswith("--from=")]:
            self._image(others[-1], self._expand(others[-1]), instruction, lines)
            return
        sources = None if any(flag.startswith("--exclude") for flag in flags) else _copied(rest)
        below = {line.strip() for line in lines[instruction.first + 1 : instruction.last]}
        for source in sources or ():
            path = self._expand(source)
            here = _HERE_DOCUMENT.fullmatch(source)
            if here is not None and here[3] in below:
                continue
            if instruction.name == "ADD" and re.match(r"https?://|git://|ssh://|git@", path):
                continue
            if re.search(r"[$\"'\\\[]|<<", path):
                sources = None  # it may mean anything
                break
            if self.sources is not None:
                self.sources.append(path)
        if sources is None:
            self.sources = None

    def _image(self, written: str, reference: str, instruction: Instruction, lines: list[str]) -> None:
        if reference.lower() in self.names or reference == "scratch" or reference.isdigit():
            return
        if not is_image_name(reference):
            raise UsageError(
                f"line {instruction.first + 1} of the Dockerfile: `{one_line(written)}` comes to"
                f" `{one_line(reference)}`, which is no image",
                hint="give its arguments by `args`",
            )
        places = self.images.setdefault(str(parse_reference(reference)), [])
        for number in range(instruction.first, min(instruction.last, len(lines))):
            if written in lines[number]:
                places.append((number, written))
                break

    def _expand(self, text: str) -> str:
        expanded = _expanded(text, self.values if self.stages else {**_only_platform(self.given), **self.outer})
        # `ARG A=$A$A`, over and over, has no end.
        if len(expanded) > _LONGEST_VALUE:
            raise UsageError(f"a variable of the Dockerfile is longer than {_LONGEST_VALUE} characters")
        return expanded


def _only_platform(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name.startswith(("TARGET", "BUILD"))}


def _expanded(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match["literal"] is not None:
            return match["literal"]
        name = match["name"] or match["braced"]
        found = values.get(name, "")
        if match["kind"] == "-":
            return found or match["word"]
        if match["kind"] == "+":
            return match["word"] if found else ""
        # One that is not known here may be set by the image below: who asks sees by the `$` that it stayed.
        return values.get(name, match[0])

    plain = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
    return _VARIABLE.sub(value, plain)


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError:
        return rest.split()


def _flags(rest: str) -> tuple[list[str], str]:
    """The flags that an instruction begins with, without their quotes, and what comes after them."""
    flags = []
    while rest.startswith("--"):
        match = _WORD.match(rest)
        assert match is not None
        flags.append(re.sub(r"\\(.)|[\"']", r"\1", match[0]))
        rest = rest[match.end() :].lstrip()
    return flags, rest


def _copied(rest: str) -> list[str] | None:
    """The sources of a COPY or ADD, or ``None`` when they cannot be told."""
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except ValueError:
            return None
        return words[:-1] if isinstance(words, list) and all(isinstance(word, str) for word in words) else None
    return rest.split()[:-1]


def with_syntax(text: str, image: str | None) -> str:
    """The text with ``image`` as the frontend that its ``# syntax=`` names, or with none named."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        match = _DIRECTIVE.match(line.strip())
        if match is None:
            break
        if match[1].lower() == "syntax":
            lines[number] = "#" if image is None else f"# syntax={image}"
            break
    return "\n".join(lines)
