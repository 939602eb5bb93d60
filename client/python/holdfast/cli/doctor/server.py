"""Checks of a server, through the server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Generic, TypeVar

from holdfast._channel import Channel
from holdfast._config import TOKEN_VARIABLE, Target
from holdfast.cli.doctor.findings import Finding, failure, ok, skipped, warning
from holdfast.cli.doctor.machine import judge_space
from holdfast.cli.doctor.tls import check_certificate
from holdfast.errors import (
    HoldfastError,
    PermissionDeniedError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from holdfast.v1 import artifact_service_pb2, server_service_pb2
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast.v1.server_service_pb2_grpc import ServerServiceStub

TIMEOUT = 15.0
# Seconds that clocks may differ before it matters to who reads times, and before stores and certificates refuse.
_CLOCK_WARNS, _CLOCK_FAILS = 5.0, 300.0
# What is older has the WAL-reset bug, and so is used without a write-ahead log.
_SOUND_SQLITE = "3.51.3"

Info = server_service_pb2.GetServerInfoResponse
Capabilities = artifact_service_pb2.GetCapabilitiesResponse
Answer = TypeVar("Answer")


def check_server(target: Target) -> Iterator[Finding]:
    """Everything that a server can be asked, or that stands between it and this machine."""
    if target.data_dir is not None and not (target.data_dir / "holdfast.db").exists():
        yield skipped("server", f"There is no store in {target.data_dir} yet; the first call makes one.")
        return
    if target.tls:
        yield from check_certificate(target)
    channel = Channel(target)
    try:
        yield from _ask(channel, target)
    except HoldfastError as error:
        yield _judge_error(error, target)
    finally:
        channel.close()


def _ask(channel: Channel, target: Target) -> Iterator[Finding]:
    try:
        # Until this is answered an embedded server starts, a connection is made and the store is tried out; the next
        # answer tells how far away the server and its clock are.
        _info(channel)
        timed = _timed(_info, channel)
    except UnimplementedError:
        yield from _ask_older(channel, target)
        return
    info = timed.answer
    yield _judge_versions(info.server_version, target, timed.took)
    yield from _check_token(channel, target)
    yield _judge_clock(info, timed.sent, timed.took)
    for check in info.checks:
        yield _judge_check(check)
    yield judge_space("server disk", info.data_free_bytes, info.data_total_bytes, "where the server's data is")
    yield _judge_sqlite(info)


def _ask_older(channel: Channel, target: Target) -> Iterator[Finding]:
    timed = _timed(_capabilities, channel)
    yield _judge_versions(timed.answer.server_version, target, timed.took)
    yield skipped("store", "This server does not tell more of itself: it is older than this client.")


def _info(channel: Channel) -> Info:
    request = server_service_pb2.GetServerInfoRequest()
    return channel.call(channel.stub(ServerServiceStub).GetServerInfo, request, timeout=TIMEOUT, patience=0)


def _capabilities(channel: Channel) -> Capabilities:
    request = artifact_service_pb2.GetCapabilitiesRequest()
    return channel.call(channel.stub(ArtifactServiceStub).GetCapabilities, request, timeout=TIMEOUT, patience=0)


@dataclass(frozen=True, slots=True)
class _Timed(Generic[Answer]):
    """An answer, when it was asked for, in seconds since 1970, and how many seconds it took."""

    answer: Answer
    sent: float
    took: float


def _timed(ask: Callable[[Channel], Answer], channel: Channel) -> _Timed[Answer]:
    sent = time.time()
    return _Timed(ask(channel), sent, time.time() - sent)


def _judge_error(error: HoldfastError, target: Target) -> Finding:
    text = str(error)
    if isinstance(error, (UnauthenticatedError, PermissionDeniedError)):
        advice = "Ask who runs the server for a new one" if target.token else "Ask who runs the server for one"
        return failure("token", text, f"{advice}, and set {TOKEN_VARIABLE}.")
    if not isinstance(error, UnavailableError):
        return failure("server", text, "Look at the server's log.")
    if isinstance(error, TlsError) and not target.tls:
        secure = target.uri.replace("holdfast://", "holdfast+tls://", 1).partition("?")[0]
        return failure("server", f"The server at {target.uri} speaks TLS.", f"Write {secure}.")
    proxies = [name for name in ("https_proxy", "http_proxy", "grpc_proxy") if os.environ.get(name)]
    if proxies and not target.loopback:
        return failure("server", text, f"gRPC goes through {proxies[0]}: set no_proxy if that cannot reach the server.")
    return failure("server", text, "Check the address, that the server runs, and what is between: firewalls, proxies.")


def _judge_versions(server: str, target: Target, took: float) -> Finding:
    mine = version("holdfast")
    text = f"holdfast {server} at {target.uri} answered in {took * 1000:.0f} ms."
    here, there = _minor(mine), _minor(server)
    if here[0] != there[0]:
        return failure("server", text, f"This client is {mine}: use a client and a server of one major version.")
    if here > there:
        return warning("server", text, f"This client is {mine}, newer than the server: update the server first.")
    if there[1] - here[1] > 1:
        return warning("server", text, f"This client is {mine}: update it, more than one minor version is not tested.")
    return ok("server", text)


def _minor(text: str) -> tuple[int, int]:
    try:
        major, minor = text.split(".")[:2]
        return int(major), int(minor)
    except ValueError:
        return 0, 0


def _check_token(channel: Channel, target: Target) -> Iterator[Finding]:
    try:
        answer = _capabilities(channel)
    except HoldfastError as error:
        yield _judge_error(error, target)
        return
    if answer.authentication_enabled:
        yield ok("token", f"The server knows you as {answer.principal}.")
    elif target.token:
        yield warning(
            "token", "The server asks nobody who they are; the token is sent in vain.", f"Unset {TOKEN_VARIABLE}."
        )
    else:
        yield skipped("token", "The server asks nobody who they are.")
    if target.token and not target.tls and not target.loopback:
        yield failure(
            "token", "The token travels over the network in the clear.", "Use holdfast+tls://, and a new token."
        )


def _judge_clock(info: Info, sent: float, took: float) -> Finding:
    # The server looked at its clock somewhere between both, and tells whole milliseconds.
    ahead = info.server_time.ToMilliseconds() / 1000 - (sent + took)
    behind = sent - info.server_time.ToMilliseconds() / 1000
    apart = max(ahead, behind, 0.0)
    if apart < _CLOCK_WARNS:
        within = max(apart, took, 0.001) * 1000
        return ok("clock", f"The server's clock and this one agree to {within:.0f} ms or better.")
    side = "ahead of" if ahead > behind else "behind"
    text = f"The server's clock is {apart:.0f} s {side} this machine's."
    advice = "Set both by NTP: times of runs and metrics come from both."
    return failure("clock", text, advice) if apart > _CLOCK_FAILS else warning("clock", text, advice)


def _judge_check(check: server_service_pb2.ServerCheck) -> Finding:
    if check.problem:
        advice = {
            "store": "Look at the store, its disk and what the server's user may do there; the server's log says more.",
            "database": "Look at the disk of the server's data directory; the server's log says more.",
        }
        return failure(check.name, check.problem, advice.get(check.name, "Look at the server's log."))
    return ok(check.name, f"It can be written; trying it took {check.duration.ToMicroseconds() / 1000:.0f} ms.")


def _judge_sqlite(info: Info) -> Finding:
    if info.sqlite_journal == "wal":
        return ok("sqlite", f"{info.sqlite_version} with a write-ahead log.")
    return warning(
        "sqlite",
        f"{info.sqlite_version} is older than {_SOUND_SQLITE}, so the server works without a write-ahead log: slower.",
        "Install pysqlite3 where the server runs, or a Python with a newer SQLite.",
    )
