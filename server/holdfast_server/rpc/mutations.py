"""Runs the mutation of a request once, however often it is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from holdfast_server.domain.names import check_request_id
from holdfast_server.rpc.audited import note_answer
from holdfast_server.services.callers import current_caller
from holdfast_server.services.ports.database import Database, RequestKey, Transaction

M = TypeVar("M", bound=Message)


class _Mutation(Protocol):
    """A request message that carries a request id."""

    request_id: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802 - protobuf's name
        """Serialize, in the same order each time when deterministic."""
        ...


async def mutate(database: Database, request: _Mutation, response_type: type[M], job: Callable[[Transaction], M]) -> M:
    """Run ``job`` in a write transaction and return its response; a retry of ``request`` gets the first response.

    Raises:
        InvalidArgument: The request id is malformed, or came before with another payload.
    """
    payload = request.SerializeToString(deterministic=True) if request.request_id else b""
    key = request_key(request.request_id, response_type, payload)

    def noted(tx: Transaction) -> bytes:
        response = job(tx)
        note_answer(tx, request, response)
        return response.SerializeToString()

    answer = await database.write_once(key, noted)
    return response_type.FromString(answer)


def request_key(request_id: str, response_type: type[Message], payload: bytes) -> RequestKey | None:
    """Identify a mutation; None when its request carries no id."""
    if not request_id:
        return None
    check_request_id(request_id)
    # Each principal has request ids of its own: nobody can probe those of others.
    principal = current_caller().principal
    return RequestKey(principal, request_id, response_type.DESCRIPTOR.full_name, hashlib.sha256(payload).digest())
