"""What the server refuses of a change for its size.

A change that is held in the journal is refused by the call that makes it, as it would be if the server were there:
later nobody waits for the answer, and what is larger than a segment could not be held at all.
"""

from __future__ import annotations

from typing import Any

from holdfast._calls import MAX_BATCH_LINKS, MAX_BATCH_METRICS, MAX_BATCH_PARAMS, MAX_BATCH_TAGS
from holdfast._journal import segment
from holdfast.errors import InvalidArgumentError

# Of a LogBatch, whole.
MAX_LOG_BATCH_BYTES = 1 << 20
# How many each list has at most, and how it is called.
_MOST: dict[str, dict[str, tuple[int, str]]] = {
    "CreateRun": {"tags": (MAX_BATCH_TAGS, "tags")},
    "LogBatch": {
        "params": (MAX_BATCH_PARAMS, "params"),
        "tags": (MAX_BATCH_TAGS, "tags"),
        "deleted_tag_keys": (MAX_BATCH_TAGS, "tags to remove"),
    },
    "LogInputs": {"datasets": (MAX_BATCH_LINKS, "dataset inputs"), "models": (MAX_BATCH_LINKS, "model inputs")},
    "LogOutputs": {"models": (MAX_BATCH_LINKS, "model outputs")},
}


def check_limits(method: str, request: Any) -> None:
    """Refuse a change of which there is more than the server takes at once.

    Raises:
        InvalidArgumentError: LIMIT_EXCEEDED. Nothing of it is kept.
    """
    for field, (limit, what) in _MOST.get(method, {}).items():
        _check_count(len(getattr(request, field)), limit, what)
    if method == "LogBatch":
        _check_count(len(request.metrics) + len(request.metric_columns.values), MAX_BATCH_METRICS, "metrics")
        if request.ByteSize() > MAX_LOG_BATCH_BYTES:
            raise _refusal(
                f"The batch has {request.ByteSize()} bytes; the limit is {MAX_LOG_BATCH_BYTES}. Send several.",
                MAX_LOG_BATCH_BYTES,
            )


def check_fits(method: str, record: bytes) -> None:
    """Refuse a record that no segment has room for; waiting for one that has would not end.

    Raises:
        InvalidArgumentError: LIMIT_EXCEEDED. Nothing of it is kept.
    """
    room = segment.SIZE - segment.START
    if len(record) > room:
        raise _refusal(
            f"{method} has {len(record)} bytes, which are too many for one request; the limit is {room}. Send several"
            " requests, or log what is long as an artifact.",
            room,
        )


def _check_count(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise _refusal(
            f"{count} {what} are too many for one request; the limit is {limit}. Send several requests.", limit
        )


def _refusal(message: str, limit: int) -> InvalidArgumentError:
    return InvalidArgumentError(message, reason="LIMIT_EXCEEDED", metadata={"limit": str(limit)})
