"""What a virtualenv is asked to hold, read from the manifest and the files it names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlproj.environments.credentials import credentials_in, without_credentials
from mlproj.errors import UsageError
from mlproj.text import one_line

if TYPE_CHECKING:
    from mlproj.manifest.models import Virtualenv

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_HASH = re.compile(r"\s--hash(?:=|\s+)(\S+)")
_OPTION = re.compile(r"(--[A-Za-z-]+|-[A-Za-z])(?:\s*=\s*|\s+)?(.*)")
_INDEX_OPTIONS = frozenset(
    [
        "--index-url",
        "--extra-index-url",
        "--find-links",
        "--no-index",
        "--no-binary",
        "--only-binary",
        "--pre",
    ]
)
_LONG_FORMS = {
    "-r": "--requirement",
    "--requirements": "--requirement",
    "-c": "--constraint",
    "--constraints": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "--pypi-url": "--index-url",
    "-f": "--find-links",
}


@dataclass(frozen=True)
class Declared:
    """What was declared, in words to store and compare (no credentials), and what uv needs beside it.

    ``hashes`` gives the hashes that a package's files may have, for the packages that name some. ``files``
    are the files read, ``index_options`` their lines that say where packages are; ``sources`` the ones to
    give to uv, with ``lines`` as one more, and ``arguments``.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    options: tuple[str, ...]
    hashes: Mapping[str, frozenset[str]]
    all_hashed: bool
    files: tuple[Path, ...]
    find_links: tuple[str, ...]
    sources: tuple[Path, ...]
    lines: tuple[str, ...]
    arguments: tuple[str, ...]
    index_options: tuple[str, ...]
    credentials: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class _Lines:
    """The logical lines of a requirements file and of those it includes, sorted by what they are."""

    requirements: list[str]
    constraints: list[str]
    options: list[str]
    find_links: list[str]
    files: list[Path]
    raw: list[str]


def package_name(requirement: str) -> str | None:
    """The normalised name (PEP 503) that a requirement starts with, or ``None`` for a path or a URL."""
    found = _NAME.match(requirement)
    if found is None or re.match(r"\s*(://|[/\\:])", requirement[found.end() :]):
        return None
    return normalised_name(found[0])


def normalised_name(name: str) -> str:
    """A package's name as PEP 503 compares it: ``scikit-learn`` for ``scikit_learn``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_declared(spec: Virtualenv, folder: Path) -> Declared:
    """Read what ``spec`` declares, in the project at ``folder``.

    Raises ``UsageError`` for a file that is missing or that is not of the form it should have.
    """
    found = _Lines([], [], [], [], [], [])
    sources: list[Path] = []
    lines: list[str] = []
    arguments: list[str] = []
    for dependency in spec.dependencies:
        if dependency.rstrip().endswith("\\"):
            raise UsageError(f"`{one_line(dependency)}` is not one requirement: it ends in a `\\`")
        found.requirements.append(_expanded(dependency.strip()))
        lines.append(dependency.strip())
    if spec.requirements is not None:
        path = folder / spec.requirements
        if path.suffix in (".toml", ".py", ".cfg", ".lock"):
            raise UsageError(
                f"`requirements: {one_line(spec.requirements)}` does not name a requirements file",
                hint="a `pyproject.toml` is named with `project:`",
            )
        _read_file(path, found, constraining=False, including=())
        sources.append(path)
    if spec.project is not None:
        from mlproj.environments import pyproject

        project = pyproject.read_project(folder, spec.project, spec.extras, spec.groups)
        found.requirements.extend(project.requirements)
        found.files.append(folder / spec.project)
        sources.extend(project.sources)
        lines.extend(project.lines)
        arguments.extend(project.arguments)
    if spec.lines:
        for line in _logical_lines("\n".join(spec.lines)):
            _hold_inside(line, folder)
        _read_lines("\n".join(spec.lines), folder / "python_env.yaml", found, constraining=False, including=())
        for path in found.files:
            _hold_inside(f"-r {path}", folder)
        lines.extend(_anchored(line, folder) for line in _logical_lines("\n".join(spec.lines)))
    index_options = [line for line in found.options if line.split(" ")[0] in _INDEX_OPTIONS]
    indexes = [*([spec.index_url] if spec.index_url else []), *spec.extra_index_urls, *spec.find_links]
    found.options.extend([f"--index-url {spec.index_url}"] if spec.index_url else [])
    found.options.extend(f"--extra-index-url {url}" for url in spec.extra_index_urls)
    found.options.extend(f"--find-links {place}" for place in spec.find_links)
    hashes: dict[str, frozenset[str]] = {}
    for line in (*found.requirements, *found.constraints):
        name = package_name(line)
        if name is not None and (given := _HASH.findall(line)):
            hashes[name] = hashes.get(name, frozenset()) | frozenset(given)
    return Declared(
        requirements=_shown(found.requirements),
        constraints=_shown(found.constraints),
        options=_shown(found.options),
        hashes=hashes,
        all_hashed="--require-hashes" in found.options,
        files=tuple(found.files),
        find_links=(*found.find_links, *spec.find_links),
        sources=tuple(sources),
        lines=tuple(lines),
        arguments=tuple(arguments),
        index_options=_shown(index_options),
        credentials=credentials_in([*found.raw, *lines, *indexes, *found.requirements]),
    )


def _shown(lines: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(without_credentials(" ".join(line.split())) for line in lines))


def _expanded(line: str) -> str:
    return _VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), line)


def _logical_lines(text: str) -> Iterator[str]:
    """Lines as pip reads them: continued after a backslash, without comments, variables filled in."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        if bare:
            yield _expanded(bare)


def _read_file(path: Path, found: _Lines, *, constraining: bool, including: tuple[Path, ...]) -> None:
    if path in including:
        raise UsageError(f"`{one_line(path)}` includes itself")
    if path.exists() and not path.is_file():
        raise UsageError(f"the requirements file `{one_line(path)}` is no regular file")
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read the requirements file `{one_line(path)}`: {why}") from None
    found.files.append(path)
    _read_lines(text, path, found, constraining=constraining, including=including)


def _option_and_path(line: str) -> tuple[str, str | None]:
    """The option that a line begins with, in its long form (``""`` for a package), and the path that it names."""
    matched = _OPTION.match(line) if line.startswith("-") else None
    option = _LONG_FORMS.get(matched[1], matched[1]) if matched else ""
    value = matched[2].strip().strip("'\"") if matched else line
    names_path = option in ("--requirement", "--constraint", "--editable", "--find-links") or (
        not option and re.match(r"\.{0,2}/|\.{1,2}($|\[)", value) is not None
    )
    return option, value if names_path and not re.match(r"[a-z+]+://", value) else None


def _anchored(line: str, folder: Path) -> str:
    """A line whose paths are the project's, as it can stand in a file elsewhere."""
    option, path = _option_and_path(line)
    if path is None:
        return line
    placed = os.path.normpath(folder / path)
    return f"{option} {placed}" if option else placed


def _hold_inside(line: str, folder: Path) -> None:
    """Refuse a line of an MLproject's environment that has a file outside of the project's folder read.

    MLflow runs pip in another folder, so that it finds none there by a relative name either.
    """
    option, path = _option_and_path(line)
    if path is None or option == "--find-links":
        return
    if not (folder / path.partition("[")[0]).resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"`{one_line(line)}`: it names what is outside of the project's folder")


def _read_lines(text: str, path: Path, found: _Lines, *, constraining: bool, including: tuple[Path, ...]) -> None:
    for line in _logical_lines(text):
        found.raw.append(line)
        if not line.startswith("-"):
            (found.constraints if constraining else found.requirements).append(line)
            continue
        matched = _OPTION.match(line)
        option, value = (matched[1], matched[2].strip().strip("'\"")) if matched else (line, "")
        option = _LONG_FORMS.get(option, option)
        if option in ("--requirement", "--constraint"):
            if re.match(r"[a-z]+://", value):
                found.options.append(f"{option} {value}")
                continue
            # Relative to the file that says so, as pip and uv read it.
            included = Path(os.path.normpath(path.parent / value))
            _read_file(
                included,
                found,
                constraining=constraining or option == "--constraint",
                including=(*including, path),
            )
        elif option == "--editable":
            (found.constraints if constraining else found.requirements).append(f"-e {value}")
        else:
            if option == "--find-links":
                found.find_links.append(value)
            found.options.append(f"{option} {value}".strip())
