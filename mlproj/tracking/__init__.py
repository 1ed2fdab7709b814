"""What entry points log, by file, by their output and by functions, on its way into a run."""
