"""The errors that mlproj raises for its users, each with the exit status that the command line ends with."""

from __future__ import annotations


class MlprojError(Exception):
    """Something went wrong that the user can read about and act on.

    ``message`` says what was wrong and where; ``hint``, when there is one, says what to do about it.
    """

    exit_status = 125

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class UsageError(MlprojError):
    """The command line, a manifest or a value asked for something that cannot be."""

    exit_status = 2


class SourceError(MlprojError):
    """The project could not be found or read."""

    exit_status = 2


class EnvironmentBuildError(MlprojError):
    """An environment could not be resolved, locked or built."""


class LockError(MlprojError):
    """``--locked`` or ``--frozen`` was asked for and the lock is missing, stale or unreadable."""


class ExecutionError(MlprojError):
    """The entry point's command could not be started."""


class StoreError(MlprojError):
    """The store of runs could not be opened, read or written."""


class PackagingError(MlprojError):
    """A pack or an image of a project could not be made, or not be sent where it belongs."""


class RunNotFoundError(UsageError):
    """No stored run, or more than one, answers to the name given."""
