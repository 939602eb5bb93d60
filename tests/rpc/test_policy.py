"""Every RPC has a rule, and each role gets from each RPC what the rule says, over the wire."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from tests.rpc.access_api import AccessServer, Caller, serving
from tests.rpc.access_requests import REQUESTS, Absent, There, World

from holdfast.v1.access_service_pb2 import CreateWorkerTokenRequest
from holdfast_server.domain.access import Caller as DomainCaller
from holdfast_server.domain.access import Role
from holdfast_server.rpc.guard import Guard
from holdfast_server.rpc.places import anywhere
from holdfast_server.rpc.places import server as whole_server
from holdfast_server.rpc.policy import POLICY, Access
from holdfast_server.rpc.registration import SERVICES

# One server for all of these tests: each of them makes what it is about.
in_module = pytest.mark.asyncio(loop_scope="module")

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
POOL = descriptor_pool.Default()
METHODS = {
    f"/{service}/{method.name}": method
    for service in (*SERVICES, REFLECTION)
    for method in POOL.FindServiceByName(service).methods
}
ROLES = [None, "none", "read", "write", "manage", "admin"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[AccessServer]:
    async with serving(reflection=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def callers(server: AccessServer) -> dict[str | None, Caller]:
    found = {role: await server.caller(f"{role}-er", role) for role in ROLES if role}
    return {None: Caller(server.tcp), **found}


async def call(caller: Caller, path: str, request: Message | list[Message]) -> str:
    """Make a call and return the name of its code; of a stream of answers the first one is enough."""
    return (await outcome(caller, path, request))[0]


async def outcome(caller: Caller, path: str, request: Message | list[Message]) -> tuple[str, str, str, str]:
    """The code, message, reason and metadata of a call."""
    method = METHODS[path]
    kinds = {True: "stream", False: "unary"}
    make = getattr(caller.channel, f"{kinds[isinstance(request, list)]}_{kinds[method.server_streaming]}")
    respond = message_factory.GetMessageClass(method.output_type).FromString
    stub = make(path, request_serializer=lambda m: m.SerializeToString(), response_deserializer=respond)
    started = stub(iter(request) if isinstance(request, list) else request, metadata=caller.metadata)
    try:
        if method.server_streaming:
            await started.read()
            started.cancel()
        else:
            await started
    except grpc.aio.AioRpcError as error:
        details = dict(tuple(error.trailing_metadata() or ())).get("grpc-status-details-bin", b"")
        info = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(details).details:
            detail.Unpack(info)
        return error.code().name, error.details() or "", info.reason, str(dict(info.metadata))
    return "OK", "", "", ""


def test_every_rpc_of_every_service_has_a_rule_and_the_reverse():
    assert set(POLICY) == set(METHODS)


def test_every_rpc_is_tried():
    assert set(REQUESTS) == set(METHODS)


def needing(role: Role) -> set[str]:
    """Names of the RPCs that need a role, whatever the request."""
    return {path.rpartition("/")[2] for path, rule in POLICY.items() if any(need.role is role for need in rule.needs)}


def test_writing_does_not_delete_and_registering_does_not_promote():
    assert needing(Role.MANAGE) == {
        "DeleteFiles",
        "DeleteExperiment",
        "RestoreExperiment",
        "DeleteRun",
        "RestoreRun",
        "DeleteLoggedModel",
        "RestoreLoggedModel",
        "DeleteRegisteredModel",
        "DeleteModelVersion",
        "PromoteModelVersion",
        "SetAlias",
        "DeleteAlias",
    }


def test_the_upkeep_of_the_store_and_of_access_needs_an_administrator():
    services = {path.split("/")[1] for path, rule in POLICY.items() if any(n.role is Role.ADMIN for n in rule.needs)}
    assert services == {"holdfast.v1.AccessService", "holdfast.v1.AuditService", "holdfast.v1.StorageService"}
    rest = [path for path, rule in POLICY.items() if path.split("/")[1] in services and not rule.needs]
    assert rest == ["/holdfast.v1.AccessService/GetCaller"]


def test_only_health_is_for_everybody():
    public = {path.split("/")[1] for path, rule in POLICY.items() if rule.access is Access.PUBLIC}
    assert public == {"grpc.health.v1.Health"}


UNUSUAL: dict[tuple[str, str | None], str] = {
    # The health service of gRPC's library does not do it.
    ("/grpc.health.v1.Health/List", "any"): "UNIMPLEMENTED",
    # As for a name that is free, which takes a role on the server to be made.
    ("/holdfast.v1.ModelRegistryService/CopyModelVersion", "none"): "PERMISSION_DENIED",
}


def expected(path: str, role: str | None, request: Any) -> str:
    """The code that the rule of an RPC gives to a role on the server."""
    rule = POLICY[path]
    if (path, role) in UNUSUAL or (path, "any") in UNUSUAL:
        return UNUSUAL.get((path, role)) or UNUSUAL[path, "any"]
    if rule.access is Access.PUBLIC:
        return "OK"
    if role is None:
        return "UNAUTHENTICATED"
    has = Role[role.upper()]
    on_server = [need for need in rule.needs if need.find in (whole_server, anywhere)]
    if any(has < need.role_for(request) for need in on_server):
        return "PERMISSION_DENIED"
    on_resources = [need for need in rule.needs if need not in on_server]
    if any(has < need.role_for(request) for need in on_resources):
        return "NOT_FOUND" if has is Role.NONE and not on_server else "PERMISSION_DENIED"
    return "OK"


@pytest.mark.parametrize("path", [pytest.param(path, id=path.removeprefix("/holdfast.v1.")) for path in REQUESTS])
@in_module
async def test_each_role_gets_what_the_rule_says(server, callers, path):
    for role in ROLES:
        request = await REQUESTS[path](There(server.owner))
        assert (role, await call(callers[role], path, request)) == (role, expected(path, role, request))


ON_RESOURCES = [
    path
    for path, rule in POLICY.items()
    if rule.needs and not any(need.find in (whole_server, anywhere) for need in rule.needs)
]


@pytest.mark.parametrize("path", [pytest.param(path, id=path.removeprefix("/holdfast.v1.")) for path in ON_RESOURCES])
@in_module
async def test_a_role_by_a_grant_is_as_good_as_one_on_the_server(server, path):
    caller = await server.caller("granted", "none")
    for role in ("read", "write", "manage"):
        there = There(server.owner)
        request = await REQUESTS[path](there)
        for name in there.names:
            await grant(server, "granted", role, name)
        assert (role, await call(caller, path, request)) == (role, expected(path, role, request))


# What a worker's token may do whatever the request says: it names nothing, or others' things are passed over.
ALWAYS = {"GetCaller", "GetCapabilities", "FindMissingBlocks", "WriteBlocks", "RenewLeases"}


@pytest.mark.parametrize("path", [pytest.param(path, id=path.removeprefix("/holdfast.v1.")) for path in REQUESTS])
@in_module
async def test_a_worker_gets_nothing_of_what_is_not_its_own_run(server, callers, path):
    """Alike for what is there and what is absent."""
    run_id = await There(server.owner).run()
    made = await callers["admin"].access.CreateWorkerToken(CreateWorkerTokenRequest(run_id=run_id))
    worker = Caller(server.tcp, made.secret)
    answers = [await outcome(worker, path, await REQUESTS[path](world)) for world in (There(server.owner), Absent())]
    assert answers[0] == answers[1]
    if POLICY[path].access is Access.PUBLIC:
        return
    if path.rpartition("/")[2] in ALWAYS:
        assert answers[0][0] == "OK"
    else:
        assert (answers[0][0], answers[0][2]) == ("PERMISSION_DENIED", "WORKER_TOKEN")


RESOURCES = [
    path
    for path, rule in POLICY.items()
    if rule.needs and ("AccessService" not in path or path.endswith("/CreateWorkerToken"))
]


@pytest.mark.parametrize("path", [pytest.param(p, id=p.removeprefix("/holdfast.v1.")) for p in RESOURCES])
@pytest.mark.parametrize("role", ["none", "read", "write"])
@in_module
async def test_what_is_hidden_is_refused_as_what_is_not_there(server, callers, path, role):
    """Whoever may do things elsewhere learns nothing of what is hidden from it."""
    caller = await server.caller("hidden-from", role)
    await server.set_role("hidden-from", role)
    hidden, absent = There(server.owner), Absent()
    requests = [await REQUESTS[path](world) for world in (hidden, absent)]
    for name in hidden.names:
        await grant(server, "hidden-from", "none", name)
    for spoil, value in SPOILED:
        # What is wrong with the rest of a request is found before or after, alike for both.
        spoiled = [spoiled_by(request, spoil, value) for request in requests]
        if spoil and spoiled == requests:
            continue
        found, missed = [
            told_without(await outcome(caller, path, request), world)
            for request, world in zip(spoiled, (hidden, absent), strict=True)
        ]
        assert (spoil, found) == (spoil, missed)


SPOILED = [
    ("", None),
    ("request_id", "not an id"),
    ("page_token", "forged"),
    ("page_size", -1),
    ("alias", "../x"),
    ("path", "../x"),
    ("user_id", "x" * 999),
    ("cursor", "forged"),
    ("offset", -1),
    ("sequence", 99),
    ("key", "\0"),
    ("name", "a/b:c"),
]


def spoiled_by(request: Message | list[Message], name: str, value: Any) -> Message | list[Message]:
    """A request with a bad value in one of its fields, if it has that; fields that name what it is about stay."""
    if isinstance(request, list) or name not in request.DESCRIPTOR.fields_by_name:
        return request
    if name == "name" and "RegisteredModel" not in request.DESCRIPTOR.name:
        return request
    spoiled = type(request)()
    spoiled.CopyFrom(request)
    setattr(spoiled, "new_name" if name == "name" and hasattr(spoiled, "new_name") else name, value)
    return spoiled


async def grant(server: AccessServer, principal: str, role: str, name: str) -> None:
    """Give a role on an experiment or registered model; other names go by these."""
    if name.isdecimal():
        await server.grant(principal, role, experiment=name)
    elif name.startswith("m") and not name.startswith("m-"):
        await server.grant(principal, role, model=name)


def told_without(told: tuple[str, ...], world: World) -> list[str]:
    """What a call was answered, without the names that it was about."""
    texts = list(told)
    for name in world.names:
        # A number stands for an experiment where it is called so; another may be a limit or a length.
        named = rf"(?<=experiment ){name}\b|(?<='experiment_id': '){name}(?=')" if name.isdecimal() else name
        texts = [re.sub(named, "NAME", text) for text in texts]
    return texts


@in_module
async def test_an_rpc_without_a_rule_is_refused(server):
    rules = {path: rule for path, rule in POLICY.items() if not path.endswith("/GetRun")}
    guard = Guard(server.app.database, rules)
    with pytest.raises(Exception, match="no rule"):
        async with guard.admitted("/holdfast.v1.RunService/GetRun", b"", bytes, None, streams=(False, False)):
            pass


def test_a_grant_counts_in_place_of_the_role_on_the_server_and_a_ceiling_over_both():
    anna = DomainCaller("anna", Role.WRITE, ceiling=Role.MANAGE)
    assert [anna.role_by(grant) for grant in (None, Role.NONE, Role.READ, Role.MANAGE)] == [
        Role.WRITE,
        Role.NONE,
        Role.READ,
        Role.MANAGE,
    ]
    reader = DomainCaller("anna", Role.ADMIN, ceiling=Role.READ)
    assert reader.role_by(Role.NONE) is Role.READ
    assert not reader.is_admin
