"""Domain errors: one class per distinct reaction of a caller, each with the reason that travels to clients.

``rpc.errors`` maps classes to status codes; a contract test proves that every class and every reason has its place.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Reason(str, enum.Enum):
    """The names of ``holdfast.v1.ErrorReason``, without their prefix."""

    INVALID_VALUE = "INVALID_VALUE"
    INVALID_PATH = "INVALID_PATH"
    INVALID_NAME = "INVALID_NAME"
    INVALID_FILTER = "INVALID_FILTER"
    INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"  # noqa: S105 - a reason, not a secret
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    PARAM_IMMUTABLE = "PARAM_IMMUTABLE"
    CONTENT_MISMATCH = "CONTENT_MISMATCH"
    INVALID_CURSOR = "INVALID_CURSOR"
    EXPERIMENT_NOT_FOUND = "EXPERIMENT_NOT_FOUND"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    REGISTERED_MODEL_NOT_FOUND = "REGISTERED_MODEL_NOT_FOUND"
    MODEL_VERSION_NOT_FOUND = "MODEL_VERSION_NOT_FOUND"
    ALIAS_NOT_FOUND = "ALIAS_NOT_FOUND"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    TAG_NOT_FOUND = "TAG_NOT_FOUND"
    LIVE_ARTIFACT_NOT_FOUND = "LIVE_ARTIFACT_NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    DELETED = "DELETED"
    MODEL_FINALIZED = "MODEL_FINALIZED"
    PATH_CONFLICT = "PATH_CONFLICT"
    CONFLICT = "CONFLICT"
    IN_USE = "IN_USE"
    MODEL_NOT_READY = "MODEL_NOT_READY"
    SNAPSHOT_EXPIRED = "SNAPSHOT_EXPIRED"
    UPKEEP_RUNNING = "UPKEEP_RUNNING"
    STORE_MISMATCH = "STORE_MISMATCH"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    WRITER_SUPERSEDED = "WRITER_SUPERSEDED"
    NOT_OPEN = "NOT_OPEN"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    TOKEN_MISSING = "TOKEN_MISSING"  # noqa: S105 - a reason, not a secret
    TOKEN_MALFORMED = "TOKEN_MALFORMED"  # noqa: S105
    TOKEN_UNKNOWN = "TOKEN_UNKNOWN"  # noqa: S105
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105
    TOKEN_REVOKED = "TOKEN_REVOKED"  # noqa: S105
    WORKER_TOKEN = "WORKER_TOKEN"  # noqa: S105
    WORKER_BUDGET_EXHAUSTED = "WORKER_BUDGET_EXHAUSTED"
    PRINCIPAL_NOT_FOUND = "PRINCIPAL_NOT_FOUND"
    TOKEN_NOT_FOUND = "TOKEN_NOT_FOUND"  # noqa: S105
    DATA_LOSS = "DATA_LOSS"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    IDLE = "IDLE"
    INTERNAL = "INTERNAL"
    # Those of PredictionService, which the client package serves.
    PREDICTION_FAILED = "PREDICTION_FAILED"
    FORMAT_UNAVAILABLE = "FORMAT_UNAVAILABLE"
    TIMEOUT = "TIMEOUT"


class DomainError(Exception):
    """Base of what the server tells its callers.

    Attributes:
        message: Names the resource, the rule and the way out; never holds secrets or paths of this host.
        reason: What programs act on.
        metadata: Names concerned, such as ``{"run_id": …}``.
        field: The request's field that breaks a rule, when it is one.
    """

    default_reason = Reason.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        metadata: Mapping[str, str] | None = None,
        field: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.field = field


class InvalidArgument(DomainError):
    """The request breaks a rule; the caller must change it."""

    default_reason = Reason.INVALID_VALUE


class NotFound(DomainError):
    """The resource is not there. Give the reason."""

    default_reason = Reason.FILE_NOT_FOUND


class AlreadyExists(DomainError):
    """The name or id is taken."""

    default_reason = Reason.ALREADY_EXISTS


class FailedPrecondition(DomainError):
    """The state of the resource forbids the call; change the state first. Give the reason."""

    default_reason = Reason.IN_USE


class Conflict(DomainError):
    """Somebody else changed it first; read again and retry."""

    default_reason = Reason.CONFLICT


class OutOfRange(DomainError):
    """What the caller would go on with is not kept any more; read again and begin anew."""

    default_reason = Reason.CURSOR_EXPIRED


class PermissionDenied(DomainError):
    """The caller may not do this."""

    default_reason = Reason.PERMISSION_DENIED


class Unauthenticated(DomainError):
    """Credentials are missing or bad."""

    default_reason = Reason.UNAUTHENTICATED


class DataLoss(DomainError):
    """Stored bytes do not have their digest, or the database is damaged."""

    default_reason = Reason.DATA_LOSS


class ResourceExhausted(DomainError):
    """A quota or a budget is used up.

    Attributes:
        retry_after: Seconds after which the same may succeed; None where waiting does not help.
    """

    default_reason = Reason.RESOURCE_EXHAUSTED

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_after = retry_after


class Unavailable(DomainError):
    """Storage cannot be reached or the server is stopping; the same call may succeed later."""

    default_reason = Reason.UNAVAILABLE


class IdleTimeout(DomainError):
    """The peer sent or took nothing for too long."""

    default_reason = Reason.IDLE
