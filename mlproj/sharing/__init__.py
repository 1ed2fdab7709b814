"""Runs on their way to other stores: as RO-Crates in files, and on remotes that several stores share."""
