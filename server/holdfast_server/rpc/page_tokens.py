"""Page tokens of listings whose pages go on after a path, or at a position, of an immutable snapshot."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from holdfast_server.errors import InvalidArgument, Reason

_INT64 = 1 << 63
_POSITION = re.compile(r"[0-9]{1,18}")


def encode_path_token(sequence: int, after: str, query: str) -> str:
    """A token that goes on after ``after`` in snapshot ``sequence`` of the same query."""
    raw = f"{sequence}\0{_fingerprint(query)}\0{after}".encode()
    return base64.urlsafe_b64encode(raw).decode()


def decode_path_token(token: str, query: str) -> tuple[int, str]:
    """The snapshot and the path of a token. It gives no access, so it needs no signature: the query is checked anew.

    Raises:
        InvalidArgument: INVALID_PAGE_TOKEN, it is malformed or belongs to another query.
    """
    try:
        sequence, fingerprint, after = base64.urlsafe_b64decode(token.encode()).decode().split("\0")
        if fingerprint == _fingerprint(query) and 0 <= (number := int(sequence)) < _INT64:
            return number, after
    except (ValueError, binascii.Error):
        pass
    raise invalid_page_token()


def sequence_of_token(token: str) -> int | None:
    """The snapshot that a token goes on in, whatever its query; None for what is no token."""
    try:
        number = int(base64.urlsafe_b64decode(token.encode()).decode().split("\0")[0])
    except (ValueError, binascii.Error):
        return None
    return number if 0 <= number < _INT64 else None


def decode_position_token(token: str, query: str) -> tuple[int, int]:
    """The snapshot and the position of a token made with a position in the place of a path; raises likewise."""
    sequence, position = decode_path_token(token, query)
    if not _POSITION.fullmatch(position):
        raise invalid_page_token()
    return sequence, int(position)


def invalid_page_token() -> InvalidArgument:
    """The error of a token that this query did not give."""
    return InvalidArgument(
        "The page token does not belong to this query. Pass the next_page_token of the page before, and change nothing "
        "else.",
        reason=Reason.INVALID_PAGE_TOKEN,
        field="page_token",
    )


def _fingerprint(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:16]
