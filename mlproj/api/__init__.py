"""The Python API: the line from a source to a stored run, and what can be asked of stored runs."""
