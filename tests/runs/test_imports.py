from __future__ import annotations

import subprocess
import sys

WARM_PATH = ["store", "upkeep", "intake", "artifacts", "inputs", "record"]
TOO_DEAR = {
    "pydantic",
    "rich",
    "psutil",
    "click",
    "asyncio",
    "yaml",
    "platformdirs",
    "subprocess",
    "secrets",
    "difflib",
}


def test_recording_a_run_imports_nothing_dear() -> None:
    imports = "; ".join(f"import mlproj.runs.{module}" for module in WARM_PATH)
    imports += "; import mlproj.tracking.metrics_file, mlproj.tracking.patterns, mlproj.tracking.client"
    script = f"{imports}; import sys; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert TOO_DEAR.intersection(printed.split()) == set()
