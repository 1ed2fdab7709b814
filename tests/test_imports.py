"""The import budget: what the warm path must not load, by name, so that a slip shows as that name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# What a warm run has no use for. Each of these costs from two milliseconds to a tenth of a second.
NOT_FOR_A_WARM_RUN = (
    *("aiohttp", "asyncio", "attr", "fsspec", "numpy", "packaging", "pathspec", "pip", "platformdirs", "psutil"),
    *("conda_lock", "docker", "rattler", "requests", "rich", "setuptools", "tqdm", "uv", "virtualenv", "yarl"),
    *("concurrent.futures", "ctypes", "http", "logging", "multiprocessing", "pdb", "queue", "ssl", "tarfile"),
    *("pydantic", "pydantic_core", "typing_extensions", "yaml", "tomli_w", "tomllib"),
    *("csv", "decimal", "email", "importlib.metadata", "importlib.resources", "zipfile", "zoneinfo"),
    *("unittest", "urllib.request", "xml", "doctest", "pydoc", "optparse", "argparse", "configparser", "graphlib"),
    *("mlproj.api.dry_run", "mlproj.api.first_manifest", "mlproj.api.locking", "mlproj.api.public", "mlproj.api.stop"),
    *("mlproj.cli.check", "mlproj.cli.crash", "mlproj.cli.entry_point_help", "mlproj.cli.envs", "mlproj.cli.runs"),
    *("mlproj.environments.install", "mlproj.environments.interpreters", "mlproj.environments.inventory"),
    *("mlproj.environments.conda", "mlproj.environments.docker", "mlproj.environments.images"),
    *("mlproj.environments.prefixes", "mlproj.execution.container", "mlproj.manifest.environment_checks"),
    *("mlproj.environments.pyproject", "mlproj.environments.resolution", "mlproj.environments.system"),
    *("mlproj.environments.uv", "mlproj.manifest.consistency", "mlproj.manifest.document", "mlproj.manifest.form"),
    *(
        "mlproj.manifest.load",
        "mlproj.manifest.scalars",
        "mlproj.parameters.consistency",
        "mlproj.manifest.schema",
        "mlproj.manifest.script_options",
        "mlproj.downloads",
    ),
    *("mlproj.parameters.bash_reader", "mlproj.parameters.code_places", "mlproj.parameters.code_words"),
    *("mlproj.parameters.shell", "mlproj.processes.strays", "mlproj.runs.compare", "mlproj.runs.filter_sql"),
    *("mlproj.runs.filter_text", "mlproj.runs.find", "mlproj.runs.query", "mlproj.runs.tags", "mlproj.runs.trash"),
    *("mlproj.packaging", "mlproj.environments.wheels", "mlproj.sources.seal"),
    *("mlproj.tracking.client", "mlproj.tracking.metrics_outputs", "mlproj.tracking.patterns"),
    # A gateway that nobody connects to is a socket and a thread.
    *("starlette", "uvicorn", "anyio", "h11", "socket", "mlproj.tracking.gateway.server"),
    *("mlproj.tracking.gateway.application", "mlproj.tracking.gateway.session"),
    *("jinja2", "markdown_it", "mlproj.web", "mlproj.runs.table", "mlproj.runs.curve_points"),
    *("rocrate", "mlproj.sharing", "mlproj.api.sharing", "mlproj.cli.crates", "mlproj.cli.remotes"),
)
# What printing the version or the help has no use for, all of the above included.
NOT_FOR_THE_VERSION = (
    *NOT_FOR_A_WARM_RUN,
    *("sqlite3", "subprocess", "tempfile", "selectors", "socket"),
    *("mlproj.api", "mlproj.environments", "mlproj.execution", "mlproj.manifest", "mlproj.parameters"),
    *("mlproj.processes", "mlproj.runs.store", "mlproj.sources", "mlproj.tracking", "mlproj.cli.run"),
)
# What `import mlproj` has no use for: an entry point that only logs imports it too.
NOT_FOR_THE_PACKAGE = (
    *NOT_FOR_THE_VERSION,
    *("click", "json", "dataclasses", "pathlib", "inspect", "datetime", "mlproj.cli", "mlproj.errors", "mlproj.text"),
)


def imported(*arguments: str | Path) -> set[str]:
    """The names of all modules that a Python process with these arguments imports."""
    # What the environment's .pth files import (coverage, editable installs) is in both processes, and not ours. A
    # module loaded by `importlib.import_module`, as commands are, is not shown; what it imports is.
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *map(str, arguments)], capture_output=True, text=True, check=True
    )
    empty = subprocess.run([sys.executable, "-X", "importtime", "-c", ""], capture_output=True, text=True, check=True)

    def names(text: str) -> set[str]:
        lines = [line for line in text.splitlines() if line.startswith("import time:")]
        return {line.rpartition("|")[2].strip() for line in lines}

    return names(done.stderr) - names(empty.stderr)


def is_among(name: str, modules: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for module in modules)


def test_the_lists_name_modules_that_would_be_seen() -> None:
    assert is_among("unittest", imported("-c", "import unittest.mock"))
    assert is_among("rich", imported("-c", "import rich.table"))


@pytest.mark.parametrize("kind", ["virtualenv", "system"])
def test_a_warm_run(project: Any, mlproj: Any, kind: str) -> None:
    folder = project(
        f"environment: {{{kind}: {{}}}}\n"
        "entry_points:\n"
        "  main:\n"
        "    command: [python, -c, 'pass', '{args}']\n"
        "    parameters: {alpha: {type: float, default: 0.5}, names: {type: 'list[str]', default: []}}\n"
    )
    cold = mlproj("run", folder)
    assert cold.returncode == 0, cold.stderr
    modules = imported("-m", "mlproj", "run", folder, "-P", "alpha=0.1", "--tag", "a=b")
    assert is_among("mlproj.execution.supervise", modules)
    assert [name for name in NOT_FOR_A_WARM_RUN if is_among(name, modules)] == []


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_version_and_the_help(option: str) -> None:
    modules = imported("-m", "mlproj", option)
    assert is_among("mlproj.cli.app", modules)
    assert [name for name in NOT_FOR_THE_VERSION if is_among(name, modules)] == []


def test_the_package_itself() -> None:
    modules = imported("-c", "import mlproj")
    assert is_among("mlproj.version", modules)
    assert [name for name in NOT_FOR_THE_PACKAGE if is_among(name, modules)] == []


def test_logging_in_an_entry_point() -> None:
    modules = imported("-c", "import mlproj; mlproj.log_metric('loss', 0.3)")
    assert is_among("mlproj.runs.metric_lines", modules)
    unwanted = [name for name in NOT_FOR_THE_VERSION if name not in ("mlproj.tracking", "mlproj.tracking.client")]
    assert [name for name in unwanted if is_among(name, modules)] == []
