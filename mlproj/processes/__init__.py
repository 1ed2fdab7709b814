"""Child processes that never outlive mlproj: every one runs under a guardian that ends it when mlproj dies."""

from mlproj.processes.tools import run_tool

__all__ = ["run_tool"]
