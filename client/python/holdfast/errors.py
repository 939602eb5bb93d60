"""Every error that Holdfast raises.

::

    HoldfastError
    ├── InvalidArgumentError (ValueError)      a value breaks a rule; the message names the rule
    ├── NotFoundError (LookupError)            a run, experiment, model, file or alias is not there
    ├── AlreadyExistsError                     a name or id is taken
    ├── FailedPreconditionError                the state forbids it: a deleted run, a finalized model
    │   └── ConflictError                      somebody else changed it first; read again and retry
    ├── PermissionDeniedError (PermissionError)
    │   └── UntrustedModelError                loading the model would run somebody else's code; say that you trust it
    ├── UnauthenticatedError
    ├── ResourceExhaustedError                 a quota or a message limit
    ├── OutOfRangeError                        what was to be gone on with is not kept any more: read again, begin anew
    ├── DataLossError                          stored or received bytes do not have their digest
    ├── UnavailableError (ConnectionError)     the server cannot be reached, or is stopping
    │   ├── TlsError                           no secure connection with these certificates and addresses; change them
    │   └── UnsentError                        what was logged waits in the journal, or was refused
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
    "TlsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnsentError",
    "UntrustedModelError",
]


class HoldfastError(Exception):
    """Base of all errors of this package.

    Its text ends with the request id, where there is one; ``message`` does not.

    Attributes:
        message: What went wrong and what to do about it.
        reason: A name of the ``ErrorReason`` enum, such as ``"RUN_NOT_FOUND"``; empty for errors found on this side.
        metadata: What the server adds, such as the names concerned.
        request_id: Names the call in the server's log; empty when no server answered.
    """

    def __init__(
        self, message: str, *, reason: str = "", metadata: Mapping[str, str] | None = None, request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.request_id = request_id

    def __str__(self) -> str:
        """The message, and what to tell the one who has the server's log."""
        return f"{self.message} [request {self.request_id}]" if self.request_id else self.message

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


class UntrustedModelError(PermissionDeniedError):
    """Loading a model would run code that somebody else chose; the message names the setting that allows it."""


class UnauthenticatedError(HoldfastError):
    """The server wants credentials, or does not accept these."""


class ResourceExhaustedError(HoldfastError):
    """A quota or a limit of size is reached."""

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the server, which is busy, wants to be asked again; None where that would not help.

        Calls wait as told by themselves; who sees this error has waited as long as a client does.
        """
        told = self.metadata.get("retry_after")
        return None if told is None else float(told)


class OutOfRangeError(HoldfastError):
    """What the caller would go on with, such as a watch after a week, is not kept; read again and begin anew."""


class DataLossError(HoldfastError):
    """Stored or received bytes do not have their digest."""


class UnavailableError(HoldfastError, ConnectionError):
    """The server cannot be reached or is stopping; the call may be repeated."""


class TlsError(UnavailableError):
    """No secure connection can be made: a certificate, a name or a file is wrong, or TLS is on one side only.

    The message says which, and what to change. Waiting does not help, so that a first connection is not tried again;
    what was logged before is kept as when the server is away.
    """


class UnsentError(UnavailableError):
    """What was logged has not all arrived at the server.

    Attributes:
        waiting: Points and changes that wait in the journal.
        refused: Those that the server refused since this was told last; they are kept there, too.
        lost: Those for which neither the disk nor memory had room.
        uploading: Uploads in the background that are not over.
        failed_uploads: Those that failed since this was told last. They are kept nowhere: log the files again.
        journal: The directory that they wait in; empty when it is in memory and ends with the process.
    """

    @classmethod
    def of(
        cls,
        uri: str,
        *,
        waiting: int,
        refused: int,
        lost: int,
        journal: str,
        cause: BaseException | None,
        uploading: int = 0,
        failed_uploads: int = 0,
    ) -> UnsentError:
        """The error for what waits, was refused and is lost, of what was logged for the server at ``uri``."""
        found = [
            f"{waiting:,} points and changes wait in {journal or 'memory'}" if waiting else "",
            f"{refused:,} points and changes were refused and are kept in {journal or 'memory'}" if refused else "",
            f"{lost:,} points and changes are lost, since neither disk nor memory had room" if lost else "",
            f"{_uploads(uploading)} did not end yet" if uploading else "",
            f"{_uploads(failed_uploads)} failed, whose files are to be logged again" if failed_uploads else "",
        ]
        text = f"Not all that was logged is at {uri}: {', '.join(part for part in found if part)}."
        if waiting and journal:
            text += " They are sent when the server answers, or after this program's end by `holdfast sync`."
        elif refused and journal:
            text += " `holdfast sync` tries them again after this program's end."
        if cause is not None:
            text += f" ({cause})"
        metadata = {
            "waiting": str(waiting),
            "refused": str(refused),
            "lost": str(lost),
            "journal": journal,
            "uploading": str(uploading),
            "failed_uploads": str(failed_uploads),
        }
        return cls(text, reason=cause.reason if isinstance(cause, HoldfastError) else "", metadata=metadata)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return int(self.metadata["waiting"])

    @property
    def refused(self) -> int:
        """How many were refused."""
        return int(self.metadata["refused"])

    @property
    def lost(self) -> int:
        """How many are lost."""
        return int(self.metadata["lost"])

    @property
    def uploading(self) -> int:
        """How many uploads are not over."""
        return int(self.metadata["uploading"])

    @property
    def failed_uploads(self) -> int:
        """How many uploads failed."""
        return int(self.metadata["failed_uploads"])

    @property
    def journal(self) -> str:
        """Where they wait."""
        return self.metadata["journal"]


def _uploads(count: int) -> str:
    return f"{count:,} upload{'' if count == 1 else 's'} in the background"


class DeadlineExceededError(HoldfastError, TimeoutError):
    """The call took longer than its deadline."""


class UnimplementedError(HoldfastError):
    """The server does not know this call; it is older than this client."""


class InternalError(HoldfastError):
    """A defect of the server; ``request_id`` names the entry in its log."""


class LocalFileError(HoldfastError, OSError):
    """A local file cannot be logged or written as asked: a socket, an escaping symlink, a colliding name."""
