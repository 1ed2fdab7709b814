"""`mlproj artifacts`: what a run left behind, listed, located and fetched."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest


def test_list(trained: list[str], cli: Any) -> None:
    lines = cli("artifacts", "list", "better").out.splitlines()
    assert lines[0].split() == ["output", "path", "size", "sha256"]
    digest = hashlib.sha256(b"alpha=0.3").hexdigest()
    assert lines[1].split() == ["model", "model/weights.txt", "9", "B", digest[:12]]
    listed = cli("artifacts", "list", "better", "--json").json
    assert listed == [{"output": "model", "path": "model/weights.txt", "size": 9, "sha256": digest}]
    assert cli("artifacts", "list", "--json").json == []  # the last run left nothing


def test_path(trained: list[str], own_home: Path, cli: Any) -> None:
    folder = own_home / "runs" / trained[0] / "artifacts"
    assert cli("artifacts", "path", trained[0]).out == f"{folder}\n"
    for name in ("model", "model/"):
        assert cli("artifacts", "path", trained[0], name).out == f"{folder}/model\n"
    assert cli("artifacts", "path", trained[0], "model/weights.txt").out == f"{folder}/model/weights.txt\n"


def test_get(trained: list[str], wine: Path, cli: Any) -> None:
    done = cli("artifacts", "get", trained[0], "model/weights.txt")
    assert (done.status, done.out) == (0, "weights.txt\n")
    assert (wine / "weights.txt").read_text() == "alpha=0.1"
    assert cli("artifacts", "get", "better", "model", "--to", "better").out == "better\n"
    assert (wine / "better" / "weights.txt").read_text() == "alpha=0.3"
    done = cli("artifacts", "get", trained[0], "--to", "all")
    assert done.status == 0
    assert (wine / "all" / "model" / "weights.txt").read_text() == "alpha=0.1"


def test_get_does_not_overwrite_unless_forced(trained: list[str], wine: Path, cli: Any) -> None:
    (wine / "copy").write_text("mine")
    done = cli("artifacts", "get", "better", "model/weights.txt", "--to", "copy")
    assert (done.status, "`copy` is there already" in done.err) == (2, True)
    assert (wine / "copy").read_text() == "mine"
    assert cli("artifacts", "get", "better", "model/weights.txt", "--to", "copy", "--force").status == 0
    assert (wine / "copy").read_text() == "alpha=0.3"


def test_get_into_a_folder_that_is_there(trained: list[str], wine: Path, cli: Any) -> None:
    """As `cp` has it; above all `--to . --force` does not replace the folder that one is in."""
    (wine / "here").mkdir()
    (wine / "here" / "precious.txt").write_text("mine")
    assert cli("artifacts", "get", "better", "model", "--to", "here").status == 0
    assert (wine / "here" / "model" / "weights.txt").read_text() == "alpha=0.3"
    assert cli("artifacts", "get", "better", "model", "--to", "here").status == 2
    assert cli("artifacts", "get", trained[0], "model", "--to", "here", "--force").status == 0
    assert (wine / "here" / "model" / "weights.txt").read_text() == "alpha=0.1"
    assert (wine / "here" / "precious.txt").read_text() == "mine"
    assert cli("artifacts", "get", "better", "model/weights.txt", "--to", ".", "--force").status == 0
    assert (wine / "weights.txt").read_text() == "alpha=0.3"
    assert (wine / "mlproj.yaml").exists()


def test_a_changed_copy_leaves_the_store_as_it_is(trained: list[str], wine: Path, cli: Any) -> None:
    cli("artifacts", "get", "better", "model/weights.txt", "--to", "copy")
    (wine / "copy").write_text("changed")
    assert Path(cli("artifacts", "path", "better", "model").out.strip(), "weights.txt").read_text() == "alpha=0.3"


@pytest.mark.parametrize("name", ["modle", "..", "../run.json", "/etc/passwd", "."])
def test_an_artifact_that_is_none(trained: list[str], cli: Any, name: str) -> None:
    for command in ("path", "get"):
        done = cli("artifacts", command, "better", name)
        assert (done.status, done.out) == (2, "")
        assert f"has no artifact `{name}`; there are `model`" in done.err


def test_a_folder_comes_as_a_folder(project: Any, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os; [open(os.path.join('plots', n), 'w') for n in (os.makedirs('plots'), 'a.png', 'b.png')[1:]]"
    folder = project(f'entry_points: {{main: {{command: [python, -c, "{code}"], outputs: {{plots: plots/*.png}}}}}}\n')
    monkeypatch.chdir(folder)
    assert cli("run", "-q").status == 0
    assert cli("artifacts", "get", "@last", "plots", "--to", "here").status == 0
    assert sorted(path.name for path in (folder / "here").iterdir()) == ["a.png", "b.png"]


def test_a_misspelt_command(cli: Any) -> None:
    done = cli("artifacts", "lst")
    assert (done.status, "No such command" in done.err) == (2, True)


def test_a_pipe_is_not_replaced(trained: list[str], wine: Path, cli: Any) -> None:
    os.mkfifo(wine / "pipe")
    done = cli("artifacts", "get", "better", "model", "--to", wine / "pipe", "--force")
    assert (done.status, "is no file and no folder: it is not replaced" in done.err) == (2, True)
    assert (wine / "pipe").is_fifo()
