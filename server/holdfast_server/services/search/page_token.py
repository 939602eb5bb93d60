"""Opaque page tokens: where the next page begins, signed, and good for one query only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json

from holdfast_server.errors import InvalidArgument, Reason
from holdfast_server.services.search.query import Position

_MAC_SIZE = 16


def seal_token(key: bytes, query: object, position: Position) -> str:
    """A token for the page after ``position`` of ``query``, whatever has a stable ``repr``."""
    body = json.dumps(position, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mac(key, query, body) + body).decode()


def open_token(key: bytes, query: object, token: str, *, field: str = "page_token") -> Position:
    """The position in a token, which came in ``field`` of the request.

    Raises:
        InvalidArgument: INVALID_PAGE_TOKEN, it is forged or was made for another query.
    """
    try:
        sealed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _refused(field) from error
    mac, body = sealed[:_MAC_SIZE], sealed[_MAC_SIZE:]
    if not hmac.compare_digest(mac, _mac(key, query, body)):
        raise _refused(field)
    return tuple(json.loads(body))


def _mac(key: bytes, query: object, body: bytes) -> bytes:
    fingerprint = hashlib.sha256(repr(query).encode()).digest()
    return hmac.digest(key, fingerprint + body, "sha256")[:_MAC_SIZE]


def _refused(field: str) -> InvalidArgument:
    return InvalidArgument(
        f"The {field} is not one of this query. Pass the one that came last, with the same filter, order and scope, or"
        " start again without one.",
        reason=Reason.INVALID_PAGE_TOKEN,
        field=field,
    )
