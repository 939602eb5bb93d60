"""What a request can fail with, and how HTTP and gRPC say it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServingError", "bad_input", "bad_request"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way to fail.

    Attributes:
        status: Of HTTP.
        error_code: MLflow's word for it, in the body of an HTTP answer.
        grpc_status: Name of the gRPC status.
        reason: Name of the ``ErrorReason``.
    """

    status: int
    error_code: str
    grpc_status: str
    reason: str


class ServingError(Exception):
    """A request that is not answered with predictions.

    Attributes:
        message: What was wrong, and what to do; goes to the caller.
        kind: How to say it.
    """

    BAD_REQUEST = _Kind(400, "BAD_REQUEST", "INVALID_ARGUMENT", "INVALID_VALUE")
    BAD_INPUT = _Kind(400, "INVALID_PARAMETER_VALUE", "INVALID_ARGUMENT", "INVALID_VALUE")
    MALFORMED = _Kind(400, "BAD_REQUEST", "INVALID_ARGUMENT", "MALFORMED_REQUEST")
    PREDICTION_FAILED = _Kind(400, "BAD_REQUEST", "INVALID_ARGUMENT", "PREDICTION_FAILED")
    TOO_LARGE = _Kind(413, "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    UNSUPPORTED = _Kind(415, "BAD_REQUEST", "UNIMPLEMENTED", "FORMAT_UNAVAILABLE")
    OVERLOADED = _Kind(503, "TEMPORARILY_UNAVAILABLE", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED")
    UNAVAILABLE = _Kind(503, "TEMPORARILY_UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE")
    TIMEOUT = _Kind(504, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "TIMEOUT")
    INTERNAL = _Kind(500, "INTERNAL_ERROR", "INTERNAL", "INTERNAL")

    def __init__(self, kind: _Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def bad_request(message: str) -> ServingError:
    """The request does not have the form of one."""
    return ServingError(ServingError.BAD_REQUEST, message)


def bad_input(message: str) -> ServingError:
    """The data is not what the model's signature describes."""
    return ServingError(ServingError.BAD_INPUT, message)
