"""Errors that are answers: each with its HTTP status."""

from __future__ import annotations

from perdure.errors import (
    CorruptCheckpointError,
    InvalidConfigError,
    InvalidUpdateError,
    StorageError,
    ThreadHeldError,
    UsageError,
)


class RequestError(UsageError):
    """A request that can't be done as it is.

    Attributes:
        status: The HTTP status of the answer.
    """

    status: int = 400

    @property
    def detail(self) -> str:
        """What the client is told."""
        return str(self)


class NotAuthenticatedError(RequestError):
    """Nobody knows who asks."""

    status = 401


class ForbiddenError(RequestError):
    """Who asks may not do this."""

    status = 403


class NotFoundError(RequestError):
    """There is no such thing, or it isn't for who asks."""

    status = 404


class TakenError(RequestError):
    """It is there already, or in use."""

    status = 409


class TooLargeError(RequestError):
    """The request has too many bytes."""

    status = 413


class InvalidRequestError(RequestError):
    """The request doesn't say what it must, or not in the right form."""

    status = 422


class TooManyError(RequestError):
    """The server has too many of these at once."""

    status = 429


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, (InvalidUpdateError, InvalidConfigError)):
        return 422
    if isinstance(error, ThreadHeldError):
        return 409
    if isinstance(error, CorruptCheckpointError):
        return 500
    if isinstance(error, StorageError):
        return 503
    return 422 if isinstance(error, UsageError) else 500
