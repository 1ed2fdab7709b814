"""The manifest: from a folder to validated models, or to located findings."""
