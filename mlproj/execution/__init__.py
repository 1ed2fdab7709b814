"""Execution: from a plan to an outcome."""
