"""Unpacking archives so that nothing leaves its folder."""
