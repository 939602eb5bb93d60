"""Rules of names and ids. Each function returns its argument or raises ``InvalidArgument`` that states the rule."""

from __future__ import annotations

import re

from holdfast_server.errors import InvalidArgument, Reason

MAX_REQUEST_ID = 128
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_PRINTABLE_ASCII = re.compile(r"[!-~]+")


def check_request_id(request_id: str) -> str:
    """1 to 128 printable ASCII characters without space."""
    if len(request_id) > MAX_REQUEST_ID or not _PRINTABLE_ASCII.fullmatch(request_id):
        raise InvalidArgument(
            f"A request id is 1 to {MAX_REQUEST_ID} printable ASCII characters without space, such as a UUID.",
            reason=Reason.INVALID_NAME,
            field="request_id",
        )
    return request_id


def check_run_id(run_id: str, *, field: str = "run_id") -> str:
    """32 lower-case hex digits."""
    if not _RUN_ID.fullmatch(run_id):
        raise InvalidArgument(
            f"{shown(run_id)} is not a run id: 32 lower-case hex digits.", reason=Reason.INVALID_NAME, field=field
        )
    return run_id


def check_model_id(model_id: str, *, field: str = "model_id") -> str:
    """``m-`` and 32 lower-case hex digits."""
    if not _MODEL_ID.fullmatch(model_id):
        raise InvalidArgument(
            f"{shown(model_id)} is not a model id: 'm-' and 32 lower-case hex digits.",
            reason=Reason.INVALID_NAME,
            field=field,
        )
    return model_id


def shown(value: str, limit: int = 120) -> str:
    """Quote a caller's text for a message: escaped, and cut to a length that fits the metadata."""
    return ascii(value if len(value) <= limit else value[:limit] + "…")
