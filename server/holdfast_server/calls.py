"""What is known of a call while it is answered, and what those who watch calls need: its id, its method, its end."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

# Metadata, both ways: a client may name its call; the answer tells which name the log has.
REQUEST_ID_KEY = "x-holdfast-request-id"
# The label of calls to methods that the server does not have: their names are the peer's to choose, without end.
UNKNOWN_METHOD = "unknown"

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# The id of the call that the current task or thread works for; empty outside of calls.
request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id_from(metadata: Iterable[tuple[str, Any]]) -> str:
    """The id that the metadata of a call name, or a new one: 32 hex digits.

    One that breaks the rule (1 to 64 letters, digits, ``.``, ``_`` and ``-``), or comes twice, is not passed on to logs
    and back to the peer.
    """
    given = [value for key, value in metadata if key == REQUEST_ID_KEY]
    if len(given) == 1 and isinstance(given[0], str) and _REQUEST_ID.fullmatch(given[0]):
        return given[0]
    return secrets.token_hex(16)


class Call(NamedTuple):
    """A call that begins.

    Attributes:
        method: Such as ``holdfast.v1.RunService/GetRun``; ``UNKNOWN_METHOD`` for one that the server does not have.
        is_stream: Whether one side sends any number of messages.
        request_id: What names it in logs, answers and the client's errors.
        peer: Where it comes from, as gRPC writes it: ``ipv4:127.0.0.1:40112``.
        metadata: What the peer sent along. It holds credentials: not for logs.
    """

    method: str
    is_stream: bool
    request_id: str
    peer: str
    metadata: Iterable[tuple[str, Any]]


# Is called once, with the name of the status that the call ended with, such as ``OK``.
End = Callable[[str], None]


class CallObserver(Protocol):
    """Is told of every call; it runs on the event loop and must neither block nor raise."""

    def begin(self, call: Call) -> End:
        """Note that a call begins; what is returned notes its end."""
        ...
