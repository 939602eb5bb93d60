"""The one place where gRPC's errors become Holdfast's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc

from holdfast import _tls, errors
from holdfast._config import Target

DOMAIN = "holdfast"
DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-holdfast-request-id"
# Where ``_rebinding`` notes on a call, which gRPC raises as its error, which id went with it.
SENT_ID = "_holdfast_request_id"

ERRORS: dict[grpc.StatusCode, type[errors.HoldfastError]] = {
    grpc.StatusCode.OK: errors.InternalError,  # an error that says OK is a defect
    grpc.StatusCode.CANCELLED: errors.UnavailableError,  # we never wait for what we cancel
    grpc.StatusCode.UNKNOWN: errors.InternalError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgumentError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExistsError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhaustedError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPreconditionError,
    grpc.StatusCode.ABORTED: errors.ConflictError,
    grpc.StatusCode.OUT_OF_RANGE: errors.OutOfRangeError,
    grpc.StatusCode.UNIMPLEMENTED: errors.UnimplementedError,
    grpc.StatusCode.INTERNAL: errors.InternalError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DATA_LOSS: errors.DataLossError,
}

# What gRPC makes of a connection that breaks at the wrong moment, and of a server that stops in good order. One that
# has something to say gives a reason.
_BROKEN = {grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL}
# Its text, with UNKNOWN, for a stream of which it has lost the connection before anything came.
_STREAM_REMOVED = "Stream removed"
# Seconds to wait at most, whatever a server says.
MAX_DELAY = 60.0
# How the texts begin where a repetition would fail the same way: a message of another version, and a proxy's refusal.
_LASTING = ("Exception ", "Received http2 header with status")


def status_of(error: grpc.RpcError) -> grpc.StatusCode:
    """The status of an error; UNKNOWN for one that carries none."""
    code = getattr(error, "code", None)
    status = code() if callable(code) else None
    return status if isinstance(status, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def is_interruption(failure: errors.HoldfastError) -> bool:
    """Whether the same may succeed later.

    The server went away or says when it wants to be asked again, or this side (a suspended laptop) was silent.
    """
    return isinstance(failure, errors.UnavailableError) or failure.reason == "IDLE" or retry_after(failure) is not None


def retry_after(failure: errors.HoldfastError) -> float | None:
    """Seconds that the server told to wait; None where it told nothing."""
    return failure.retry_after if isinstance(failure, errors.ResourceExhaustedError) else None


def translate(error: grpc.RpcError, target: Target) -> errors.HoldfastError:
    """Say in Holdfast's terms what went wrong, with what the server told about it and what to do."""
    status = status_of(error)
    details = getattr(error, "details", None)
    text = (details() if callable(details) else None) or str(error)
    reason, metadata = _error_info(error)
    if status is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        metadata.pop("retry_after", None)
    is_broken = status in _BROKEN or (status is grpc.StatusCode.UNKNOWN and text == _STREAM_REMOVED)
    if is_broken and not reason and not text.startswith(_LASTING):
        status = grpc.StatusCode.UNAVAILABLE
    if status is grpc.StatusCode.UNAVAILABLE and not reason:
        problem = _tls.problem(target, text)
        if problem:
            return errors.TlsError(f"{problem} ({text})")
    if status is grpc.StatusCode.UNAUTHENTICATED and target.token:
        text = f"{text} What was sent is what HOLDFAST_TOKEN holds."
    return ERRORS[status](
        # A message with a reason comes from our server and says what to do by itself.
        text if reason else _with_advice(status, text, target),
        reason=reason,
        metadata=metadata,
        request_id=_request_id(error, status) or metadata.get("error_id", ""),
    )


def _request_id(error: grpc.RpcError, status: grpc.StatusCode) -> str:
    """The id that the server answered with. One that did not answer in time may well have the call in its log."""
    answered = next((value for key, value in _trailing_metadata(error) if key == REQUEST_ID_KEY), "")
    if not answered and status is grpc.StatusCode.DEADLINE_EXCEEDED:
        answered = getattr(error, SENT_ID, "")
    return str(answered)


def _with_advice(status: grpc.StatusCode, text: str, target: Target) -> str:
    if status is grpc.StatusCode.UNAVAILABLE:
        return unreachable(target, text)
    server = f"The server at {target.uri}"
    advice = {
        grpc.StatusCode.DEADLINE_EXCEEDED: f"{server} did not answer in time; it may have done what was asked.",
        grpc.StatusCode.UNIMPLEMENTED: f"{server} does not know this call: update it, or check the port.",
        grpc.StatusCode.RESOURCE_EXHAUSTED: "A message is larger than gRPC's limit; send less at once.",
    }.get(status)
    return f"{advice} ({text})" if advice else text


def unreachable(target: Target, text: str) -> str:
    """What to tell a user whose server does not answer."""
    if target.data_dir is not None:
        return (
            f"The embedded server of {target.data_dir} does not answer; server.log in that directory says why. "
            f"Calling again starts a new one. ({text})"
        )
    host = target.address.rpartition(":")[0]
    port = target.address.rpartition(":")[2]
    if target.address.startswith("unix:"):
        start = "start one there"
    elif target.loopback:
        start = f"start one with `holdfast server --port {port}`"
    else:
        start = f"start one on {host} with `holdfast server --port {port}`"
    return f"No Holdfast server answers at {target.uri}: {start}, or set HOLDFAST_URI to where it is. ({text})"


def _trailing_metadata(error: grpc.RpcError) -> Iterable[Any]:
    trailing = getattr(error, "trailing_metadata", None)
    return (trailing() if callable(trailing) else None) or ()


def _error_info(error: grpc.RpcError) -> tuple[str, dict[str, str]]:
    """What ErrorInfo, a BadRequest's ``field`` and a RetryInfo say, as a reason and metadata; empty without them."""
    raw = next((value for key, value in _trailing_metadata(error) if key == DETAILS_KEY), None)
    if raw is None:
        return "", {}
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    reason, metadata = "", {}
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    try:
        for detail in status_pb2.Status.FromString(raw).details:
            if detail.Unpack(info) and info.domain == DOMAIN:
                reason = info.reason
                metadata.update(info.metadata)
            elif detail.Unpack(bad_request) and bad_request.field_violations:
                metadata.setdefault("field", bad_request.field_violations[0].field)
            elif detail.Unpack(retry):
                metadata["retry_after"] = f"{min(max(retry.retry_delay.ToMilliseconds() / 1000, 0.0), MAX_DELAY):g}"
    except DecodeError:
        # What a proxy put there is not ours; the status and its text still are.
        return "", {}
    return reason, metadata
