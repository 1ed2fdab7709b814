"""Solving: from specifications and channels to the exact packages, by rattler; its reasons when there are none."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlproj.environments.environment import Report
from mlproj.environments.prefixes.channels import Channels
from mlproj.environments.prefixes.machine import as_rattler_has_them
from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.text import did_you_mean, one_line, printable

if TYPE_CHECKING:
    from rattler import Client, MatchSpec, RepoDataRecord

Result = TypeVar("Result")
_PATIENCE_S, _LIMIT_S = 10.0, 900.0


def wait_for_result(work: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine of rattler's comes to, also where the caller is in an event loop of its own (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_without_panic(work))
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(_without_panic(work)))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="rattler")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


async def _without_panic(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await work
    except BaseException as error:
        # What is no error to rattler but a mistake of its own comes as this, which nothing else catches.
        if type(error).__name__ != "PanicException":
            raise
        raise EnvironmentBuildError(
            f"rattler failed: {one_line(error)}", hint="a lock or a package is not as it should be, or it has a bug"
        ) from None


async def _within_limits(work: Coroutine[Any, Any, Result], report: Report) -> Result:
    """Have the channels' answers and the solver take their time, but not for ever, and not without a word."""
    under_way = asyncio.ensure_future(work)
    try:
        if not (await asyncio.wait({under_way}, timeout=_PATIENCE_S))[0]:
            report("waiting for the channels' answers, and for the solver")
            if not (await asyncio.wait({under_way}, timeout=_LIMIT_S))[0]:
                raise EnvironmentBuildError(
                    f"the channels have not answered within {_LIMIT_S:.0f} s, or the solver has found nothing",
                    hint="look whether their hosts are up, or narrow the specifications",
                )
        return await under_way
    finally:
        under_way.cancel()


def named_channel(specification: str) -> str | None:
    """The channel that a specification names (``channel::package``)."""
    before, separator, _ = specification.partition("::")
    if not separator:
        return None
    return re.sub(r"/(noarch|(linux|osx|win)-[a-z0-9]+)$", "", before.strip())


def parse_specifications(specifications: Sequence[str], channels: Channels) -> list[MatchSpec]:
    """Specifications as the solver takes them, with channels by URL. Raises ``UsageError`` for one that is none."""
    from rattler import MatchSpec

    addresses = {source.name: source.urls for source in channels.sources}
    parsed = []
    for specification in specifications:
        name, text = named_channel(specification), specification
        # One source of several URLs is known to the solver by its name.
        if name is not None and len(addresses.get(name, ())) == 1 and name != "defaults":
            text = f"{addresses[name][0]}::{specification.partition('::')[2]}"
        try:
            parsed.append(MatchSpec(text))
        except Exception as error:  # rattler has an error of its own for each part
            raise UsageError(
                f"`{one_line(channels.hide(specification))}` is no specification of a conda package:"
                f" {one_line(channels.hide(str(error)))}"
            ) from None
    return parsed


def solve(
    specifications: Sequence[str],
    channels: Channels,
    platform: str,
    *,
    virtual: Mapping[str, str],
    preferred: Sequence[RepoDataRecord],
    client: Client,
    index_cache: Path,
    offline: bool,
    fresh: bool,
    report: Report,
) -> list[RepoDataRecord]:
    """The packages that meet all specifications on a platform, those of ``preferred`` where they still do.

    Raises ``EnvironmentBuildError`` with the solver's reason when there are none, or when a channel cannot be read.
    """
    import rattler
    from rattler import exceptions

    sources = [
        rattler.MultiSource(source.name, [rattler.Channel(url) for url in source.urls])
        if len(source.urls) > 1 or source.name == "defaults"
        else rattler.Channel(source.urls[0])
        for source in channels.sources
    ]
    if offline:
        settings = rattler.SourceConfig(cache_action="force-cache-only")
    else:
        settings = rattler.SourceConfig(cache_action="no-cache" if fresh else "cache-or-fetch")
    gateway = rattler.Gateway(cache_dir=index_cache, default_config=settings, client=client)
    parsed = parse_specifications(specifications, channels)
    if len(sources) > 1:
        # The first channel that has a package by its name is the one for it, also when it has not the version: the
        # solver sees only what the specifications match.
        names = [each.name.normalized for each in parsed if each.channel is None]
        parsed = [*parsed, *(rattler.MatchSpec(name) for name in dict.fromkeys(names))]
    packages = as_rattler_has_them(virtual)
    try:
        given = _still_given(preferred, parsed, gateway, sources, platform, report)
        solving = rattler.solve(
            sources,
            parsed,
            gateway,
            platforms=[platform, "noarch"],  # type: ignore[list-item]
            locked_packages=given,
            virtual_packages=packages,
            # The channels that are declared, and none that these ask for beside them.
            channel_relations="disabled",
        )
        return wait_for_result(_within_limits(solving, report))
    except exceptions.SolverError as error:
        raise EnvironmentBuildError(
            f"the specifications cannot be solved for {platform}:\n{_reason(channels.hide(str(error)))}",
            hint=_advice(str(error), packages) or _what_there_is(str(error), gateway, sources, platform),
        ) from None
    except exceptions.GatewayError as error:
        said = printable(channels.hide(str(error)))
        hint = "`--offline` forbids to fetch what is not in the cache" if offline else None
        raise EnvironmentBuildError(f"a channel could not be read: {_lines(said)}", hint=hint) from None


def _still_given(
    preferred: Sequence[RepoDataRecord],
    parsed: Sequence[MatchSpec],
    gateway: Any,
    sources: Sequence[Any],
    platform: str,
    report: Report,
) -> list[RepoDataRecord]:
    """Those packages that the channels still give, as these have them: of each name, the first channel that has it.

    The solver would take them without asking any channel.
    """
    wanted = {each.name.normalized: each for each in preferred}
    # A package whose channel is named may be from a later one.
    elsewhere = {each.name.normalized: str(each.channel.base_url) for each in parsed if each.channel is not None}
    given: list[RepoDataRecord] = []
    for source in sources:
        names = [name for name in wanted if _may_be_from(source, elsewhere.get(name))]
        if not names:
            continue
        asking = gateway.query([source], [platform, "noarch"], names, recursive=False, channel_relations="disabled")
        lists = wait_for_result(_within_limits(asking, report))
        records = [record for each in lists for record in each]
        for name in {record.name.normalized for record in records}:
            before = wanted.pop(name)
            given += [each for each in records if each.name.normalized == name and _is_same(each, before)][:1]
    return given


def _may_be_from(source: Any, named: str | None) -> bool:
    return named is None or not hasattr(source, "base_url") or str(source.base_url).rstrip("/") == named.rstrip("/")


def _is_same(one: RepoDataRecord, other: RepoDataRecord) -> bool:
    if one.file_name != other.file_name:
        return False
    if one.sha256 is not None and other.sha256 is not None:
        return one.sha256 == other.sha256
    if one.md5 is not None and other.md5 is not None:
        return one.md5 == other.md5
    return str(one.url) == str(other.url)


def _reason(text: str) -> str:
    """The solver's words, without its preface."""
    text = text.removeprefix("Cannot solve the request because of: ").rstrip()
    text = text.replace("No candidates were found for", "no package was found for")
    text = re.sub(r" ?\[channel=\"([^\"]+)\"\]", r" of \1", text)
    text = re.sub(r"(?<=[\w-]) \*(?=[ .]|$)", "", text, flags=re.MULTILINE)
    return "\n".join(f"  {printable(line)}" for line in text.splitlines())


def _advice(text: str, packages: Sequence[Any]) -> str | None:
    found = re.search(r"(__[a-z0-9_]+)\b.*no candidates were found", text)
    if found is None:
        return None
    there = ", ".join(f"{package.name.source}={package.version}" for package in packages)
    return (
        f"`{found[1]}` stands for what the machine has, here {there};"
        f" `virtual_packages` of the manifest or CONDA_OVERRIDE_{found[1].strip('_').upper()} say otherwise"
    )


def _what_there_is(text: str, gateway: Any, sources: Sequence[Any], platform: str) -> str | None:
    """For a package that was not found at all: the versions that there are, or the names that are near."""
    from rattler import exceptions

    found = re.search(r"No candidates were found for (\S+)", text)
    if found is None:
        return None
    name = re.split(r"[\[=<>!~]", found[1].rpartition("::")[2])[0]
    try:
        platforms = [platform, "noarch"]
        lists = wait_for_result(
            gateway.query(sources, platforms, [name], recursive=False, channel_relations="disabled")
        )
        versions = sorted({record.version for records in lists for record in records})
        if versions:
            return f"the channels have {one_line(name)} {', '.join(one_line(version) for version in versions[-8:])}"
        names = wait_for_result(gateway.names(sources, platforms, channel_relations="disabled"))
        return did_you_mean(name, [each.normalized for each in names]).strip() or None
    except exceptions.GatewayError:
        return None


def _lines(text: str) -> str:
    """An error and its causes in one line."""
    return ": ".join(line.removeprefix("Caused by: ").strip() for line in text.splitlines() if line.strip())
