"""What a conda environment is declared to be: read from an environment file or from the manifest itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproj.environments.requirements import Declared as PipPart
from mlproj.environments.requirements import read_declared
from mlproj.errors import UsageError
from mlproj.manifest.diagnostics import ManifestError
from mlproj.manifest.document import LARGEST_FILE, parse_document
from mlproj.manifest.form_fields import VARIABLE_PATTERN
from mlproj.manifest.mlproject_environments import RULES
from mlproj.text import brief, did_you_mean, is_text, one_line

if TYPE_CHECKING:
    from mlproj.manifest.models import Conda, Virtualenv

# As conda-lock has them: the platforms that locks are made for, and the words in brackets that hold on each.
SELECTORS = {
    "linux-64": {"linux64", "unix", "linux"},
    "linux-aarch64": {"aarch64", "unix", "linux"},
    "linux-ppc64le": {"ppc64le", "unix", "linux"},
    "osx-64": {"osx64", "osx", "unix"},
    "osx-arm64": {"arm64", "osx", "unix"},
    "win-64": {"win", "win64"},
}
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")
_VERSION = re.compile(r"[A-Za-z0-9_.!+-]+( [^\s]+)?")
_LONGEST, _LONGEST_LINE = 500, 5000
_CHANNEL_IN_BRACKETS = re.compile(r"\[[^\]]*\b(channel|url)\s*=")
_KEYS = (
    *("name", "channels", "dependencies", "variables", "platforms", "prefix"),
    *("category", "pip-repositories", "allow-pypi-requests"),
)
_NAME = re.compile(r"(?:\S+::)?[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Declared:
    """What is asked for. ``dependencies`` and ``pip`` are by platform, since a line may be for some alone.

    ``text`` is the environment file that says so, as conda-lock reads it.
    """

    channels: tuple[str, ...]
    dependencies: Mapping[str, tuple[str, ...]]
    pip: Mapping[str, tuple[str, ...]]
    platforms: tuple[str, ...]
    variables: Mapping[str, str]
    virtual_packages: Mapping[str, str]
    category: str
    categories: frozenset[str]
    pip_repositories: tuple[str, ...]
    source: str | None
    files: tuple[Path, ...]
    text: str = field(repr=False)


def read_declared_prefix(spec: Conda, folder: Path, platform: str) -> Declared:
    """Read what ``spec`` declares for the platforms it names, and for ``platform`` in any case.

    Raises ``UsageError`` for a file that is missing or that is no environment file.
    """
    text = _text(spec, folder)
    shown = f"`{one_line(spec.file)}`" if spec.file is not None else "`conda`"
    first = _mapping(text, shown)
    platforms = tuple(dict.fromkeys(spec.platforms or _texts(first, "platforms", shown) or (platform,)))
    every = dict.fromkeys([*platforms, platform])
    for each in every:
        if each not in SELECTORS:
            raise UsageError(
                f"{shown}: `{one_line(each)}` is no platform that can be locked for.{did_you_mean(each, SELECTORS)}",
                hint=f"there are {', '.join(SELECTORS)}",
            )
    dependencies, pip = {}, {}
    for each in every:
        selected = _mapping("\n".join(_selected(text, each)), shown)
        dependencies[each], pip[each] = _dependencies(selected, shown)
    for name, version in spec.virtual_packages.items():
        if not _VERSION.fullmatch(version):
            raise UsageError(f'`virtual_packages`: `{name}: {brief(version)}` has no version, such as "12.4"')
    category = first.get("category") or "main"
    if not isinstance(category, str):
        raise UsageError(f"{shown}: expected a text under `category`")
    variables = first.get("variables") or {}
    if not isinstance(variables, dict):
        raise UsageError(f"{shown}: expected a mapping under `variables`")
    for name, value in variables.items():
        if (problem := variable_problem(str(name), value)) is not None:
            raise UsageError(f"{shown}: the variable `{brief(name)}` {problem}")
    return Declared(
        channels=_channels(first, shown),
        dependencies=dependencies,
        pip=pip,
        platforms=platforms,
        variables={str(name): str(value) for name, value in variables.items()},
        virtual_packages=spec.virtual_packages,
        category=str(category),
        categories=frozenset(["main", str(category), *spec.categories]),
        pip_repositories=_texts(first, "pip-repositories", shown),
        source=spec.file,
        files=() if spec.file is None else (folder / spec.file,),
        text=text,
    )


def _text(spec: Conda, folder: Path) -> str:
    if spec.file is None:
        import yaml

        pip: list[Any] = [{"pip": list(spec.pip)}] if spec.pip else []
        inline = {
            "channels": list(spec.channels),
            "dependencies": [*spec.dependencies, *pip],
            "variables": dict(spec.variables),
        }
        return yaml.safe_dump(inline, sort_keys=False, width=10_000)
    path = folder / spec.file
    if path.exists() and not path.is_file():
        raise UsageError(f"the environment file `{one_line(path)}` is no regular file")
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_FILE + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read the environment file `{one_line(path)}`: {why}") from None


def _mapping(text: str, shown: str) -> dict[str, Any]:
    read = read_yaml(text, shown)
    if not isinstance(read, dict):
        raise UsageError(f"{shown}: expected a mapping with `channels` and `dependencies`")
    for key in read:
        if key not in _KEYS and did_you_mean(key, _KEYS):
            raise UsageError(f"{shown}: unknown key `{brief(key)}`.{did_you_mean(key, _KEYS)}")
    return read


def read_yaml(text: str, shown: str) -> Any:
    """The data in a file of conda's, as PyYAML reads it, within bounds. Raises ``UsageError``."""
    try:
        return parse_document(Path(shown), text.encode("utf-8", "surrogatepass"), RULES).data
    except ManifestError as error:
        first = next((each for each in error.diagnostics if each.severity == "error"), error.diagnostics[0])
        where = f", line {first.span.line}" if first.span is not None else ""
        raise UsageError(f"{shown}{where}: {first.message}") from None


def variable_problem(name: str, value: object) -> str | None:
    """Why a variable cannot be set, or may not be; what is wrong with it, after its name."""
    if not re.fullmatch(VARIABLE_PATTERN, name):
        return "has no name that can be set: expected letters, digits and `_`"
    if name.startswith("MLPROJ_"):
        return "is mlproj's own: choose another name"
    if not isinstance(value, (str, int, float)):
        return "is no text: expected one in quotes"
    if "\0" in str(value) or not is_text(str(value)):
        return "has a value that cannot be set: it holds what is no character"
    return None


def _selected(text: str, platform: str) -> list[str]:
    """The lines that hold on a platform: those without a selector (``# [linux]``), and those whose selector it has."""
    kept = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        selector = _selector(line)
        if selector is None or selector in SELECTORS[platform]:
            kept.append(line)
    return kept


def _selector(line: str) -> str | None:
    """What is in the last brackets of a line's comment without parentheses behind them, as conda-lock has it.

    conda-lock's regular expression takes the cube of the line's length.
    """
    comment = line.find("#", 1)
    if comment < 0:
        return None
    last = max(line.rfind("("), line.rfind(")"))
    found = [each for each in _BRACKETS.finditer(line, comment + 1) if each.end() > last]
    return found[-1][1] if found else None


def _texts(mapping: Mapping[str, Any], key: str, shown: str) -> tuple[str, ...]:
    value = mapping.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{shown}: expected a list of texts under `{key}`")
    return tuple(each.strip() for each in value)


def _channels(mapping: Mapping[str, Any], shown: str) -> tuple[str, ...]:
    channels = _texts(mapping, "channels", shown)
    if any(not each or len(each) > _LONGEST or not each.isprintable() or each.startswith("-") for each in channels):
        raise UsageError(f"{shown}: one of `channels` is none: expected a name, a URL or a folder")
    # It takes back the channels that conda would add.
    named = tuple(each for each in channels if each != "nodefaults")
    return named or channels


def _dependencies(mapping: Mapping[str, Any], shown: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The conda packages and the ``pip:`` lines; as conda-lock does, pip itself comes with the latter."""
    items = mapping.get("dependencies") or []
    if not isinstance(items, list):
        raise UsageError(f"{shown}: expected a list under `dependencies`")
    conda: list[str] = []
    pip: list[str] = []
    for item in items:
        if isinstance(item, str) and len(item) > _LONGEST:
            raise UsageError(
                f"{shown}: `{brief(item)}` is longer than any dependency: expected at most {_LONGEST} characters"
            )
        if isinstance(item, str) and (within := _CHANNEL_IN_BRACKETS.search(item)):
            # Not shown, since an address may hold a token.
            raise UsageError(
                f"{shown}: `[{within[1]}=…]` in a dependency is not understood",
                hint="write CHANNEL::PACKAGE, and the channel's address under `channels`",
            )
        if isinstance(item, str) and _NAME.match(item.strip()) and not item.strip().endswith("::"):
            conda.append(" ".join(item.split()))
        elif isinstance(item, dict) and list(item) == ["pip"]:
            lines = item["pip"] or []
            if not isinstance(lines, list) or not all(isinstance(line, str) and "\n" not in line for line in lines):
                raise UsageError(f"{shown}: expected a list of requirements under `pip`")
            if any(len(line) > _LONGEST_LINE for line in lines):
                raise UsageError(f"{shown}: a requirement under `pip` is longer than {_LONGEST_LINE} characters")
            pip += [line.strip() for line in lines]
        else:
            raise UsageError(
                f"{shown}: `{brief(item)}` is no dependency: expected a package such as `numpy=1.26`,"
                " or `pip:` with a list of requirements"
            )
    if pip and not any(re.match(r"(?:\S+::)?pip\b", each) for each in conda):
        conda.append("pip")
    return tuple(conda), tuple(pip)


def pip_specification(declared: Declared, platform: str) -> Virtualenv:
    """The ``pip:`` part as uv is asked for it."""
    from mlproj.manifest.models import Virtualenv

    return Virtualenv(lines=list(declared.pip[platform]), extra_index_urls=list(declared.pip_repositories))


def read_pip_part(declared: Declared, platform: str, folder: Path) -> PipPart:
    """Read the ``pip:`` part for a platform, and the requirements files it names."""
    return read_declared(pip_specification(declared, platform), folder)
