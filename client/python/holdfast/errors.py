"""Every error that Holdfast raises.

::

    HoldfastError
    ├── InvalidArgumentError (ValueError)      a value breaks a rule; the message names the rule
    ├── NotFoundError (LookupError)            a run, experiment, model, file or alias is not there
    ├── AlreadyExistsError                     a name or id is taken
    ├── FailedPreconditionError                the state forbids it: a deleted run, a finalized model
    │   └── ConflictError                      somebody else changed it first; read again and retry
    ├── PermissionDeniedError (PermissionError)
    ├── UnauthenticatedError
    ├── ResourceExhaustedError                 a quota or a message limit
    ├── OutOfRangeError                        what was to be gone on with is not kept any more: read again, begin anew
    ├── DataLossError                          stored or received bytes do not have their digest
    ├── UnavailableError (ConnectionError)     the server cannot be reached, or is stopping
    ├── DeadlineExceededError (TimeoutError)
    ├── UnimplementedError                     the server is older than this client
    ├── InternalError                          a defect of the server; the id is in its log
    └── LocalFileError                         a local file cannot be logged or written as asked

Missing local files are Python's own ``FileNotFoundError``.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "AlreadyExistsError",
    "ConflictError",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "HoldfastError",
    "InternalError",
    "InvalidArgumentError",
    "LocalFileError",
    "NotFoundError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
]


class HoldfastError(Exception):
    """Base of all errors of this package.

    Attributes:
        message: What went wrong and what to do about it.
        reason: A name of the ``ErrorReason`` enum, such as ``"RUN_NOT_FOUND"``; empty for errors found on this side.
        metadata: What the server adds, such as the names concerned.
        request_id: Names the call in the server's log; empty when no server was involved.
    """

    def __init__(
        self, message: str, *, reason: str = "", metadata: Mapping[str, str] | None = None, request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.request_id = request_id

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the keyword attributes, so that errors cross process pools whole."""
        return (_rebuild, (type(self), self.message, self.reason, self.metadata, self.request_id))


def _rebuild(
    cls: type[HoldfastError], message: str, reason: str, metadata: dict[str, str], request_id: str
) -> HoldfastError:
    return cls(message, reason=reason, metadata=metadata, request_id=request_id)


class InvalidArgumentError(HoldfastError, ValueError):
    """A value breaks a rule; the message names the rule."""


class NotFoundError(HoldfastError, LookupError):
    """A run, experiment, model, file or alias is not there."""


class AlreadyExistsError(HoldfastError):
    """A name or id is taken."""


class FailedPreconditionError(HoldfastError):
    """The state of the resource forbids the call."""


class ConflictError(FailedPreconditionError):
    """Somebody else changed the resource first; read it again and retry."""


class PermissionDeniedError(HoldfastError, PermissionError):
    """The caller may not do this."""


class UnauthenticatedError(HoldfastError):
    """The server wants credentials, or does not accept these."""


class ResourceExhaustedError(HoldfastError):
    """A quota or a limit of size is reached."""


class OutOfRangeError(HoldfastError):
    """What the caller would go on with, such as a watch after a week, is not kept; read again and begin anew."""


class DataLossError(HoldfastError):
    """Stored or received bytes do not have their digest."""


class UnavailableError(HoldfastError, ConnectionError):
    """The server cannot be reached or is stopping; the call may be repeated."""


class DeadlineExceededError(HoldfastError, TimeoutError):
    """The call took longer than its deadline."""


class UnimplementedError(HoldfastError):
    """The server does not know this call; it is older than this client."""


class InternalError(HoldfastError):
    """A defect of the server; ``request_id`` names the entry in its log."""


class LocalFileError(HoldfastError, OSError):
    """A local file cannot be logged or written as asked: a socket, an escaping symlink, a colliding name."""
