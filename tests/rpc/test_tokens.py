"""Who calls is known by tokens, over the wire."""

from __future__ import annotations

import dataclasses
import re

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.rpc.access_api import Caller

from holdfast.v1 import access_pb2, experiment_service_pb2, run_service_pb2
from holdfast.v1 import access_service_pb2 as pb
from holdfast.v1 import artifact_service_pb2 as artifact_pb
from holdfast_server.domain.access import Secret
from holdfast_server.errors import Unauthenticated

SOME_SECRET = Secret.make(bytes(range(32))).text


async def whoami(caller: Caller) -> tuple[str, int]:
    response = await caller.access.GetCaller(pb.GetCallerRequest())
    return response.principal, response.role


def test_a_token_has_a_prefix_256_random_bits_and_a_checksum_and_hides_in_reprs():
    secret = Secret.make(b"\xff" * 32)
    assert re.fullmatch(r"hft_[0-9A-Za-z]{49}", secret.text)
    assert Secret.parse(secret.text) == secret
    assert Secret.make(b"\xfe" * 32).text[:-6] != secret.text[:-6]
    assert secret.text[4:] not in repr(secret)
    assert len(Secret.make(bytes(32)).text) == 53


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(SOME_SECRET[:-1], id="cut-off"),
        pytest.param(SOME_SECRET + "0", id="too-long"),
        pytest.param(SOME_SECRET.replace("hft_", "ghp_"), id="other-prefix"),
        pytest.param(SOME_SECRET[:10] + ("A" if SOME_SECRET[10] != "A" else "B") + SOME_SECRET[11:], id="mistyped"),
        pytest.param("hft_" + "é" * 49, id="not-ascii"),
        pytest.param(SOME_SECRET[:-1] + "\n", id="newline"),
    ],
)
def test_what_cannot_be_a_token_is_refused_before_it_is_looked_up(text):
    with pytest.raises(Unauthenticated) as refused:
        Secret.parse(text)
    assert refused.value.reason.value == "TOKEN_MALFORMED"


async def test_the_owner_calls_through_the_unix_socket_without_a_token(server):
    assert await whoami(server.owner) == ("owner", access_pb2.ROLE_ADMIN)


async def test_a_token_tells_who_calls_and_what_it_allows(server):
    alice = await server.caller("alice", "manage", ceiling="read")
    assert await whoami(alice) == ("alice", access_pb2.ROLE_READ)
    capabilities = await alice.artifacts.GetCapabilities(artifact_pb.GetCapabilitiesRequest())
    assert (capabilities.authentication_enabled, capabilities.principal) == (True, "alice")


async def test_only_the_hash_of_a_token_is_kept(server):
    alice = await server.caller("alice", "read")
    await whoami(alice)
    files = [path.read_bytes() for path in (server.app.config.data_dir).glob("holdfast.db*")]
    assert files
    assert not any(alice.secret[4:].encode() in content for content in files)


METADATA = [
    pytest.param((), "TOKEN_MISSING", id="none"),
    pytest.param((("authorization", f"Bearer {SOME_SECRET}"),), "TOKEN_UNKNOWN", id="unknown"),
    pytest.param((("authorization", "Bearer nonsense"),), "TOKEN_MALFORMED", id="malformed"),
    pytest.param((("authorization", SOME_SECRET),), "TOKEN_MALFORMED", id="no-scheme"),
    pytest.param((("authorization", f"Basic {SOME_SECRET}"),), "TOKEN_MALFORMED", id="other-scheme"),
    pytest.param((("authorization", f"Bearer {SOME_SECRET}"),) * 2, "UNAUTHENTICATED", id="two"),
]


@pytest.mark.parametrize(("metadata", "reason"), METADATA)
async def test_calls_without_one_good_token_are_refused(server, refused, metadata, reason):
    nobody = Caller(server.tcp)
    await refused(nobody.access.GetCaller(pb.GetCallerRequest(), metadata=metadata), "UNAUTHENTICATED", reason)


async def test_two_authorizations_are_refused_though_both_are_good(server, refused):
    alice = await server.caller("alice", "read")
    call = alice.access.GetCaller(pb.GetCallerRequest(), metadata=alice.metadata)
    await refused(call, "UNAUTHENTICATED", "UNAUTHENTICATED")


async def test_a_bad_token_counts_through_the_unix_socket_too(server, refused):
    call = server.owner.access.GetCaller(pb.GetCallerRequest(), metadata=(("authorization", f"Bearer {SOME_SECRET}"),))
    await refused(call, "UNAUTHENTICATED", "TOKEN_UNKNOWN")


async def test_who_calls_is_asked_before_a_message_is_read(server, refused):
    call = server.tcp.unary_unary("/holdfast.v1.RunService/GetRun")
    await refused(call(b"\xff\xff"), "UNAUTHENTICATED", "TOKEN_MISSING")
    alice = await server.caller("alice", "read")
    await refused(call(b"\xff\xff", metadata=alice.metadata), "INVALID_ARGUMENT", "MALFORMED_REQUEST")


async def test_a_revoked_token_is_refused_at_once(server, refused):
    alice = await server.caller("alice", "read")
    await whoami(alice)
    revoked = await server.owner.access.RevokeToken(pb.RevokeTokenRequest(token_id=alice.token_id))
    assert revoked.token.HasField("revoke_time")
    again = await server.owner.access.RevokeToken(pb.RevokeTokenRequest(token_id=alice.token_id))
    assert again == revoked
    await refused(alice.access.GetCaller(pb.GetCallerRequest()), "UNAUTHENTICATED", "TOKEN_REVOKED")


async def test_an_expired_token_is_refused(server, refused):
    now = server.app.database._clock
    later = Timestamp(seconds=now.now_ms() // 1000 + 3600)
    alice = await server.caller("alice", "read", expire_time=later)
    await whoami(alice)
    server.app.database._clock = _Later(now, 3_600_000)
    await refused(alice.access.GetCaller(pb.GetCallerRequest()), "UNAUTHENTICATED", "TOKEN_EXPIRED")


async def test_a_removed_principal_is_not_known_any_more(server, refused):
    alice = await server.caller("alice", "read")
    await server.owner.access.DeletePrincipal(pb.DeletePrincipalRequest(name="alice"))
    await refused(alice.access.GetCaller(pb.GetCallerRequest()), "UNAUTHENTICATED", "TOKEN_UNKNOWN")


async def test_the_last_use_is_written_down_once_a_minute(server):
    alice = await server.caller("alice", "read")
    for _ in range(3):
        await whoami(alice)
    while server.app._guard._touching:
        await next(iter(server.app._guard._touching))
    (token,) = (await server.owner.access.ListTokens(pb.ListTokensRequest(principal="alice"))).tokens
    assert token.HasField("last_use_time")


async def test_health_is_told_to_anybody(server):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    answer = await health_pb2_grpc.HealthStub(server.tcp).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        pytest.param({"principal": ""}, "INVALID_ARGUMENT", "INVALID_NAME", id="no-principal"),
        pytest.param({"principal": "owner"}, "INVALID_ARGUMENT", "INVALID_NAME", id="owner"),
        pytest.param({"principal": "a b"}, "INVALID_ARGUMENT", "INVALID_NAME", id="space"),
        pytest.param({"principal": "a" * 129}, "INVALID_ARGUMENT", "LIMIT_EXCEEDED", id="long"),
        pytest.param({"principal": "nobody"}, "NOT_FOUND", "PRINCIPAL_NOT_FOUND", id="unknown"),
        pytest.param({"principal": "a", "ceiling": 1}, "INVALID_ARGUMENT", "INVALID_VALUE", id="no-ceiling"),
        pytest.param({"principal": "a", "ceiling": 77}, "INVALID_ARGUMENT", "INVALID_VALUE", id="unknown-role"),
        pytest.param(
            {"principal": "a", "description": "x" * 501}, "INVALID_ARGUMENT", "LIMIT_EXCEEDED", id="long-description"
        ),
        pytest.param(
            {"principal": "a", "expire_time": Timestamp(seconds=1)}, "INVALID_ARGUMENT", "INVALID_VALUE", id="expired"
        ),
    ],
)
async def test_bad_tokens_are_not_made(server, refused, fields, code, reason):
    await refused(server.owner.access.CreateToken(pb.CreateTokenRequest(**fields)), code, reason)


async def test_tokens_principals_and_grants_are_listed_in_pages(server):
    for name in ("a", "b", "c"):
        await server.caller(name, "none")
        await server.grant(name, "read", experiment="0")
    names, token = [], ""
    while True:
        page = await server.owner.access.ListPrincipals(pb.ListPrincipalsRequest(page_size=2, page_token=token))
        names += [principal.name for principal in page.principals]
        token = page.next_page_token
        if not token:
            break
    assert names == ["a", "b", "c"]
    first = await server.owner.access.ListTokens(pb.ListTokensRequest(page_size=2))
    rest = await server.owner.access.ListTokens(pb.ListTokensRequest(page_size=2, page_token=first.next_page_token))
    assert {token.principal for token in (*first.tokens, *rest.tokens)} == {"a", "b", "c"}
    one = await server.owner.access.ListGrants(pb.ListGrantsRequest(page_size=1))
    more = await server.owner.access.ListGrants(pb.ListGrantsRequest(page_size=9, page_token=one.next_page_token))
    assert [grant.principal for grant in (*one.grants, *more.grants)] == ["a", "b", "c"]
    assert one.grants[0].resource.experiment_id == "0"


async def test_what_is_changed_has_the_principal_of_who_did_it(server):
    alice = await server.caller("alice", "write")
    created = await alice.experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(name="e"))
    watch = server.owner.experiments.WatchExperiment(
        experiment_service_pb2.WatchExperimentRequest(experiment_id=created.experiment.experiment_id)
    )
    await watch.read()
    await alice.runs.CreateRun(run_service_pb2.CreateRunRequest(experiment_id=created.experiment.experiment_id))
    event = await watch.read()
    watch.cancel()
    assert event.event.principal == "alice"


async def test_request_ids_of_others_cannot_be_probed(server):
    alice, bob = await server.caller("alice", "write"), await server.caller("bob", "write")
    request = experiment_service_pb2.CreateExperimentRequest(name="a", request_id="r1")
    first = await alice.experiments.CreateExperiment(request)
    assert await alice.experiments.CreateExperiment(request) == first
    other = experiment_service_pb2.CreateExperimentRequest(name="b", request_id="r1")
    assert (await bob.experiments.CreateExperiment(other)).experiment.name == "b"


async def test_without_authentication_nobody_is_asked(channel):
    anyone = Caller(channel, SOME_SECRET)
    answer = await anyone.access.GetCaller(pb.GetCallerRequest())
    assert (answer.principal, answer.role, answer.authentication_enabled) == ("", access_pb2.ROLE_ADMIN, False)


@dataclasses.dataclass
class _Later:
    clock: object
    ms: int

    def now_ms(self) -> int:
        return self.clock.now_ms() + self.ms


async def test_a_retry_of_a_change_has_one_effect(server):
    await server.caller("alice", "read")
    remove = pb.DeletePrincipalRequest(name="alice", request_id="once")
    await server.owner.access.DeletePrincipal(remove)
    await server.owner.access.DeletePrincipal(remove)
