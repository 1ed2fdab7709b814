"""Packaging: a project as one file that runs elsewhere (a pack), and as an image."""
