"""What a bad request is, and with what it must be answered: tables of them are in the modules beside this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from tests.rpc.bad_input.world import World

PACKAGE = "holdfast.v1"


class Outcome(NamedTuple):
    """A status code and the reason in its ErrorInfo; empty: gRPC itself refuses, which knows no reasons."""

    code: str
    reason: str = ""


INVALID_VALUE = Outcome("INVALID_ARGUMENT", "INVALID_VALUE")
INVALID_PATH = Outcome("INVALID_ARGUMENT", "INVALID_PATH")
INVALID_NAME = Outcome("INVALID_ARGUMENT", "INVALID_NAME")
INVALID_FILTER = Outcome("INVALID_ARGUMENT", "INVALID_FILTER")
INVALID_PAGE_TOKEN = Outcome("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
INVALID_CURSOR = Outcome("INVALID_ARGUMENT", "INVALID_CURSOR")
LIMIT_EXCEEDED = Outcome("INVALID_ARGUMENT", "LIMIT_EXCEEDED")
MALFORMED_REQUEST = Outcome("INVALID_ARGUMENT", "MALFORMED_REQUEST")
REQUEST_ID_REUSED = Outcome("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
PARAM_IMMUTABLE = Outcome("INVALID_ARGUMENT", "PARAM_IMMUTABLE")
CONTENT_MISMATCH = Outcome("INVALID_ARGUMENT", "CONTENT_MISMATCH")
EXPERIMENT_NOT_FOUND = Outcome("NOT_FOUND", "EXPERIMENT_NOT_FOUND")
RUN_NOT_FOUND = Outcome("NOT_FOUND", "RUN_NOT_FOUND")
MODEL_NOT_FOUND = Outcome("NOT_FOUND", "MODEL_NOT_FOUND")
REGISTERED_MODEL_NOT_FOUND = Outcome("NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")
MODEL_VERSION_NOT_FOUND = Outcome("NOT_FOUND", "MODEL_VERSION_NOT_FOUND")
ALIAS_NOT_FOUND = Outcome("NOT_FOUND", "ALIAS_NOT_FOUND")
FILE_NOT_FOUND = Outcome("NOT_FOUND", "FILE_NOT_FOUND")
PRINCIPAL_NOT_FOUND = Outcome("NOT_FOUND", "PRINCIPAL_NOT_FOUND")
TOKEN_NOT_FOUND = Outcome("NOT_FOUND", "TOKEN_NOT_FOUND")
TAG_NOT_FOUND = Outcome("NOT_FOUND", "TAG_NOT_FOUND")
LIVE_ARTIFACT_NOT_FOUND = Outcome("NOT_FOUND", "LIVE_ARTIFACT_NOT_FOUND")
ALREADY_EXISTS = Outcome("ALREADY_EXISTS", "ALREADY_EXISTS")
DELETED = Outcome("FAILED_PRECONDITION", "DELETED")
MODEL_FINALIZED = Outcome("FAILED_PRECONDITION", "MODEL_FINALIZED")
MODEL_NOT_READY = Outcome("FAILED_PRECONDITION", "MODEL_NOT_READY")
PATH_CONFLICT = Outcome("FAILED_PRECONDITION", "PATH_CONFLICT")
WRITER_SUPERSEDED = Outcome("FAILED_PRECONDITION", "WRITER_SUPERSEDED")
CONFLICT = Outcome("ABORTED", "CONFLICT")
UNAUTHENTICATED = Outcome("UNAUTHENTICATED", "UNAUTHENTICATED")
TOKEN_MISSING = Outcome("UNAUTHENTICATED", "TOKEN_MISSING")
TOKEN_MALFORMED = Outcome("UNAUTHENTICATED", "TOKEN_MALFORMED")
TOKEN_UNKNOWN = Outcome("UNAUTHENTICATED", "TOKEN_UNKNOWN")
TOKEN_EXPIRED = Outcome("UNAUTHENTICATED", "TOKEN_EXPIRED")
TOKEN_REVOKED = Outcome("UNAUTHENTICATED", "TOKEN_REVOKED")
UNIMPLEMENTED = Outcome("UNIMPLEMENTED")
TOO_LARGE = Outcome("RESOURCE_EXHAUSTED")

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A call that must be refused.

    Attributes:
        method: Such as ``RunService/CreateRun``; with a slash at its beginning as it is to go over the wire.
        request: The fields of the request, or its bytes; a list of such for a stream; a function where it needs what
            only the server can make, such as a page token.
        outcome: What the answer must be.
        field: The field that BadRequest must name; empty: none may be named.
        metadata: Sent with the call.
    """

    method: str
    request: Fields | bytes | Sequence[Fields | bytes] | Callable[[World], Any]
    outcome: Outcome
    field: str = ""
    metadata: tuple[tuple[str, str | bytes], ...] = ()

    @property
    def path(self) -> str:
        """As it goes over the wire."""
        return self.method if self.method.startswith("/") else f"/{PACKAGE}.{self.method}"

    def messages(self, world: World) -> list[bytes]:
        """All messages of the request, serialized."""
        request = self.request(world) if callable(self.request) else self.request
        several = request if isinstance(request, list) else [request]
        return [one if isinstance(one, bytes) else self._serialized(one) for one in several]

    def _serialized(self, fields: Fields) -> bytes:
        service, method = self.method.split("/")
        found = descriptor_pool.Default().FindServiceByName(f"{PACKAGE}.{service}")
        message: bytes = GetMessageClass(found.methods_by_name[method].input_type)(**fields).SerializeToString()
        return message


def bad(
    method: str,
    what: str,
    request: Any,
    outcome: Outcome,
    field: str = "",
    *,
    metadata: tuple[tuple[str, str | bytes], ...] = (),
) -> Any:
    """A row of a table; ``what`` says what is wrong."""
    return pytest.param(Case(method, request, outcome, field, metadata), id=f"{method.partition('/')[2]}-{what}")


def flipped(text: str) -> str:
    """A text of base64 that is another by its first letter only."""
    return ("B" if text[0] != "B" else "C") + text[1:]
