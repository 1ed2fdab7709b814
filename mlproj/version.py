"""The one place that holds mlproj's version."""

__version__ = "0.1.0"
