"""Containers by which something is asked of an engine or an image: whatever ends mlproj's question, they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlproj.signals import held_back


@contextmanager
def probe_container(client: Any, image: str, command: Sequence[str], **options: Any) -> Iterator[Any]:
    """A container for the length of a ``with`` block, made with the ``options`` of docker's ``create_container``.

    Raises what docker's client does.
    """
    created = None
    try:
        # Between the engine's making it and our knowing its name nothing could remove it.
        with held_back():
            created = client.create_container(image, list(command), **options)
        yield created
    finally:
        if created is not None:
            with held_back():
                client.remove_container(created, force=True)
