"""Turns domain errors into gRPC statuses with machine-readable details."""

from __future__ import annotations

import logging
import math
import secrets
import string
import urllib.parse

import grpc
from google.rpc import error_details_pb2, status_pb2

from holdfast_server import errors

logger = logging.getLogger(__name__)

DOMAIN = "holdfast"
DETAILS_KEY = "grpc-status-details-bin"

STATUS: dict[type[errors.DomainError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.DataLoss: grpc.StatusCode.DATA_LOSS,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.IdleTimeout: grpc.StatusCode.DEADLINE_EXCEEDED,
}

# Errors travel as metadata. Of more than 8 KiB in all, clients are shown the size in place of the error. The message is
# there twice, once in ASCII, where a byte beyond it takes three, and once in what BASE64 makes a third longer.
MAX_MESSAGE = 2_000
MAX_METADATA = 256
MAX_VIOLATION = 500
_UNQUOTED = string.punctuation.replace("%", "") + " "


def to_domain_error(error: Exception, method: str) -> errors.DomainError:
    """Return ``error`` if it is meant for callers, else an INTERNAL one that only names an entry of the log."""
    if isinstance(error, errors.DomainError):
        return error
    error_id = secrets.token_hex(8)
    logger.error("%s failed, error id %s", method, error_id, exc_info=error)
    return errors.DomainError(
        f"The server failed to handle this call; its log has the details under error id {error_id}.",
        metadata={"error_id": error_id},
    )


def status_code(error: errors.DomainError) -> grpc.StatusCode:
    """The gRPC status of a domain error."""
    return STATUS.get(type(error), grpc.StatusCode.INTERNAL)


def told_message(error: errors.DomainError) -> str:
    """The text for callers, of bounded size and without characters that steer a terminal or forge a line of a log."""
    return _cut(error.message, MAX_MESSAGE)


def trailing_metadata(error: errors.DomainError) -> tuple[tuple[str, bytes], ...]:
    """``google.rpc.Status`` with ErrorInfo, and BadRequest or RetryInfo where they help."""
    message = told_message(error)
    status = status_pb2.Status(code=status_code(error).value[0], message=message)
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN)
    for key, value in error.metadata.items():
        info.metadata[key] = _cut(value, MAX_METADATA)
    status.details.add().Pack(info)
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=_cut(message, MAX_VIOLATION)
        )
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    delay = _retry_after(error)
    if delay is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(delay * 1000))
        status.details.add().Pack(retry)
    return ((DETAILS_KEY, status.SerializeToString()),)


def _retry_after(error: errors.DomainError) -> float | None:
    if isinstance(error, errors.Unavailable):
        return 0.5
    return error.retry_after if isinstance(error, errors.ResourceExhausted) else None


def _cut(text: str, limit: int) -> str:
    """As much of a text as takes ``limit`` bytes in a header; what is not printable is escaped."""
    if len(text) <= limit and text.isascii() and text.isprintable() and "%" not in text:
        return text
    kept: list[str] = []
    size = 0
    for character in text:
        shown = character if character.isprintable() else ascii(character)[1:-1]
        size += len(urllib.parse.quote(shown, safe=_UNQUOTED))
        if size > limit:
            return "".join(kept) + "..."
        kept.append(shown)
    return "".join(kept)
