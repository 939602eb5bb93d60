"""Sends a bad request and checks all that must hold of its answer, and of the server after it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2, status_pb2
from tests.rpc.bad_input.cases import PACKAGE, Case
from tests.rpc.bad_input.world import WAIT, World

# What the inside of a server looks like; none of it is for callers.
_INSIDE = re.compile(
    r"Traceback|\bFile \"|\.py\b|site-packages|holdfast_server|sqlite|SELECT |INSERT |UPDATE |\bNoneType\b|object at 0x"
    r"|AKIA|AWS4-HMAC|HOLDFAST_S3",
    re.IGNORECASE,
)


def refusal(world: World, case: Case) -> grpc.RpcError:
    """The error of a call that must have one."""
    try:
        answer = send(world, case)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"{case.method} accepted {case.request!r}: {answer}")


def send(world: World, case: Case) -> Any:
    """Send the request; whatever the method answers, all of it."""
    service, _, method = case.method.partition("/")
    try:
        found = descriptor_pool.Default().FindServiceByName(f"{PACKAGE}.{service}").methods_by_name.get(method)
    except KeyError:
        found = None
    messages = case.messages(world)
    takes, gives = bool(found and found.client_streaming), bool(found and found.server_streaming)
    kind = getattr(world.channel, f"{'stream' if takes else 'unary'}_{'stream' if gives else 'unary'}")
    call = kind(case.path, request_serializer=None, response_deserializer=None)
    answer = call(_paced(messages) if takes else messages[0], timeout=WAIT, metadata=case.metadata or None)
    return list(answer) if gives else answer


def _paced(messages: list[bytes]) -> Iterator[bytes]:
    yield from messages


def check_refused(world: World, case: Case, *, caller: World | None = None) -> None:
    """The answer is the one of the table and tells nothing of the inside; nothing changed, and the server works.

    ``caller`` is the world as another one than its owner has it, who sends the request.
    """
    before, complaints = world.contents(), world.complaints()
    error = refusal(caller or world, case)
    code, message = error.code().name, error.details()
    reason, field = described(error)
    assert (code, reason, field) == (*case.outcome, case.field), message
    assert world.complaints() == complaints, world.server.lines
    check_tells_nothing(world, error)
    after = world.contents()
    changed = {name: (before.get(name), after[name]) for name in after if after[name] != before.get(name)}
    assert not changed, changed
    world.check_works()


def described(error: grpc.RpcError) -> tuple[str, str]:
    """Reason and field of an error; empty where it has none."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if details is None:
        return "", ""
    status = status_pb2.Status.FromString(details)
    info, violations = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(violations)
    assert info.domain == "holdfast"
    assert status.message == error.details()
    assert status.code == error.code().value[0]
    return info.reason, violations.field_violations[0].field if violations.field_violations else ""


def check_tells_nothing(world: World, error: grpc.RpcError) -> None:
    """No answer has a traceback, a path of the host, a statement, a secret or a character that steers a terminal."""
    told = f"{error.details()} {error.trailing_metadata()}"
    assert str(world.data_dir) not in told
    assert not any(secret in told for _, secret in world.secrets.values())
    found = _INSIDE.search(told)
    assert found is None, found
    assert (error.details() or "").isprintable(), error.details()
