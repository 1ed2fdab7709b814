"""What went wrong, with the status that a browser is told."""

from __future__ import annotations

from mlproj.errors import MlprojError, RunNotFoundError, StoreError, UsageError


class PageError(MlprojError):
    """A request that cannot be answered as asked; ``status`` is HTTP's."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


def status_of(error: MlprojError) -> int:
    """The status of HTTP that an error of ours is told with."""
    if isinstance(error, PageError):
        return error.status
    if isinstance(error, RunNotFoundError):
        return 404
    if isinstance(error, UsageError):
        return 400
    return 503 if isinstance(error, StoreError) else 500
