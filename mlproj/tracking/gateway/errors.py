"""The errors that MLflow clients know, in their own form (``mlflow.exceptions``)."""

from __future__ import annotations

# As in mlflow/exceptions.py, ERROR_CODE_TO_HTTP_STATUS; but no 500, which clients try again for minutes, and in vain.
_STATUSES = {
    "BAD_REQUEST": 400,
    "INVALID_PARAMETER_VALUE": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "PERMISSION_DENIED": 403,
    "ENDPOINT_NOT_FOUND": 404,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "INVALID_STATE": 400,
    "INTERNAL_ERROR": 400,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
}


class MlflowError(Exception):
    """What a client is told instead of an answer: one of MLflow's codes, and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return _STATUSES[self.code]


def invalid(message: str) -> MlflowError:
    """The error for a value that cannot be."""
    return MlflowError("INVALID_PARAMETER_VALUE", message)


def missing(message: str) -> MlflowError:
    """The error for what is not there."""
    return MlflowError("RESOURCE_DOES_NOT_EXIST", message)
