"""Recorded runs: the record, the store that keeps it, and finding runs again."""
