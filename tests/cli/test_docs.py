"""The pages in docs/: complete where they promise it, and without a link that leads nowhere."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from mlproj.manifest import models
from mlproj.runs.filter_sql import ATTRIBUTES
from mlproj.runs.record import STATUSES, RunRecord

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


def keys_under(heading: str) -> set[str]:
    """The keys in the first column of the table under a heading of the manifest's reference."""
    section = re.split(r"(?m)^#+ ", text_of("manifest.md").partition(f"# {heading}\n")[2])[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Top level", models.Manifest),
        ("An environment", models.EnvironmentSpec),
        ("`virtualenv`", models.Virtualenv),
        ("An entry point", models.EntryPoint),
        ("A parameter", models.Parameter),
        ("An output", models.Output),
    ],
)
def test_the_manifests_reference_has_every_key_and_no_other(heading: str, model: type) -> None:
    assert keys_under(heading) == {each.name for each in dataclasses.fields(model)}


def test_every_attribute_of_a_filter_and_every_status_is_told() -> None:
    for name in ATTRIBUTES:
        assert f"`{name}`" in text_of("filter.md"), name
    for status in STATUSES:
        assert f"| `{status}` |" in text_of("runs.md"), status


def test_every_key_of_the_record_is_told() -> None:
    fields = set(RunRecord.__dataclass_fields__) - {"ended_at", "deleted_at", "supervisor", "schema_version", "other"}
    assert [name for name in fields if f"`{name}`" not in text_of("runs.md")] == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name) if name else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target
