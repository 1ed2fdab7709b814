"""The pages in docs/: complete where they promise it, and without a link that leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mlproj.manifest import form, form_environments
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
        ("Top level", form.Manifest),
        ("An environment", form_environments.EnvironmentSpec),
        ("`virtualenv`", form_environments.Virtualenv),
        ("`conda`", form_environments.Conda),
        ("`docker`", form_environments.Docker),
        ("Docker build", form_environments.DockerBuild),
        ("An entry point", form.EntryPoint),
        ("A parameter", form.Parameter),
        ("An output", form.Output),
        ("Reproducibility", form.Reproducibility),
    ],
)
def test_the_manifests_reference_has_every_key_and_no_other(heading: str, model: Any) -> None:
    assert keys_under(heading) == set(model.model_fields)


def test_every_attribute_of_a_filter_and_every_status_is_told() -> None:
    for name in ATTRIBUTES:
        assert f"`{name}`" in text_of("filter.md"), name
    for status in STATUSES:
        assert f"| `{status}` |" in text_of("runs.md"), status


def test_every_key_of_the_record_is_told() -> None:
    fields = set(RunRecord.__dataclass_fields__) - {"ended_at", "deleted_at", "supervisor", "schema_version", "other"}
    assert [name for name in fields if f"`{name}`" not in text_of("runs.md")] == []


def code_in(page: str, language: str, holding: str) -> str:
    """The first block of code on a page that holds a text."""
    blocks = re.findall(rf"(?ms)^```{language}\n(.*?)^```", text_of(page))
    return next(block for block in blocks if holding in block)


def test_the_manifest_shown_is_sound(project: Any, cli: Any) -> None:
    done = cli("check", project(code_in("manifest.md", "yaml", "name: wine-quality")))
    assert (done.status, "warning" in done.out) == (0, False), done.out


def test_the_function_shown_logs_without_mlproj(project: Any, cli: Any) -> None:
    script = code_in("api.md", "python", "def log_metric") + 'log_metric("loss", 0.31, step=7)\n'
    assert "import mlproj" not in script
    folder = project("entry_points: {main: {command: [python, main.py]}}", {"main.py": script})
    assert cli("run", folder, "-q").status == 0
    assert cli("show", "--json").json["metrics"] == {"loss": 0.31}


@pytest.mark.parametrize(
    "line",
    re.findall(r"(?m)^\| `(\{.*?\})`(?:, `(\{.*?\})`)?", text_of("runs.md")),
    ids=lambda line: line[0],
)
def test_the_lines_shown_are_read(project: Any, cli: Any, line: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("".join(f"{each}\n" for each in line if each))
    command = "cat {file} >> $MLPROJ_METRICS"
    folder = project(
        f"entry_points:\n  main:\n    shell: bash\n    command: {command}\n    parameters: {{file: {{type: path}}}}\n"
    )
    assert cli("run", folder, "-q", "-P", f"file={tmp_path / 'lines'}").status == 0
    record = cli("show", "--json").json
    assert record["metrics"] or "seed" in record["parameters"] or record["tags"] == {"stage": "draft"}
    assert record["notices"] == []


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
