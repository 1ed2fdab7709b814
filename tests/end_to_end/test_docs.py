"""What the documentation shows is what happens: its console blocks are run, line by line."""

from __future__ import annotations

import re
import shutil

import pytest
import yaml

from .conftest import EXAMPLES, REPOSITORY
from .console import Block, Console, blocks, commands, missing_line

pytestmark = pytest.mark.usefixtures("index")


@pytest.fixture
def console(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    console = Console(folder, tmp_path / "state")
    yield console
    console.close()


def follow(console: Console, block: Block, *, compare: bool = True, form_only: bool = False) -> None:
    for command in commands(block):
        said = console.run(command.text)
        place = f"line {command.line}: $ {command.text}\n{said}"
        if command.status is None:
            assert console.status != 0, place
        else:
            assert console.status == command.status, place
        if compare:
            missing = missing_line(command.expected, said, form_only=form_only)
            assert missing is None, f"not said: {missing}\nat {place}"


def without_progress(block: Block) -> Block:
    """Without what is said of an environment's building: here it may be there already."""
    lines = [line for line in block.text.splitlines(keepends=True) if not line.startswith("  environment ")]
    return Block(block.language, "".join(lines), block.line)


def write(console: Console, block: Block) -> None:
    """A block whose first line is a comment with a file's name is that file."""
    first = block.text.partition("\n")[0]
    if re.fullmatch(r"# [\w.]+\.(py|yaml)", first):
        (console.folder / first[2:]).write_text(block.text)


def test_the_tutorial(console, tmp_path):
    console.variables["MLPROJ_CACHE"] = str(tmp_path / "cache")
    for block in blocks((REPOSITORY / "docs" / "tutorial.md").read_text()):
        if block.language == "console":
            follow(console, block)
        else:
            write(console, block)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_an_example_s_readme(console, name, request, tmp_path):
    if "docker" in name:
        request.getfixturevalue("public_images")
    if name == "conda-penguins":  # conda-forge is a channel in a folder here
        condarc = tmp_path / "condarc"
        condarc.write_text(f"channel_alias: file://{request.getfixturevalue('conda_channel')}\n")
        console.variables["CONDARC"] = str(condarc)
    shutil.copytree(EXAMPLES / name, console.folder / "example-projects" / name)
    found = [block for block in blocks((EXAMPLES / name / "README.md").read_text()) if block.language == "console"]
    assert found
    for block in found:
        # The figures are those of one version of a library, on one machine.
        follow(console, without_progress(block), form_only=True)


def test_the_page_on_packs(console):
    shutil.copytree(EXAMPLES / "hello-params", console.folder / "example-projects" / "hello-params")
    found = [each for each in blocks((REPOSITORY / "docs" / "packaging.md").read_text()) if each.language == "console"]
    assert found
    for block in found:
        follow(console, block, form_only=True)


README = (REPOSITORY / "README.md").read_text()


def readme_blocks() -> list[Block]:
    """README's console blocks, without the two of set-up, which ``.ci/run`` runs."""
    by_ci = {found.end() for found in re.finditer(r"^<!-- ci: .* -->\n", README, re.MULTILINE)}
    lines = {README.count("\n", 0, end) + 1 for end in by_ci}
    return [block for block in blocks(README) if block.language == "console" and block.line not in lines]


def test_the_readme_s_first_block_has_the_form_of_what_happens(console):
    name = "elasticnet-diabetes"
    shutil.copytree(EXAMPLES / name, console.folder / "example-projects" / name)
    first = readme_blocks()[0]
    follow(console, without_progress(first), form_only=True)


def test_the_readme_s_other_blocks(console):
    shutil.copytree(EXAMPLES / "elasticnet-diabetes", console.folder, dirs_exist_ok=True)
    for block in readme_blocks()[1:]:
        # The beginnings of ids that no reader has either.
        text = block.text.replace("0193 01938", "@best:rmse @last")
        follow(console, Block("console", text, block.line), compare=False)


def test_the_readme_s_manifest_is_valid(mlproj, project):
    manifest = next(block.text for block in blocks(README) if block.language == "yaml")
    checked = mlproj("check", project(manifest, {"train.py": ""}))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert yaml.safe_load(manifest)["name"] in checked.stdout


PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("example-projects/*/*.md")]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target
