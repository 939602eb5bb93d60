"""How much is let in: calls of strangers, streams, requests and bytes of one caller, and bulk while others wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from holdfast_server.domain.access import NOBODY
from holdfast_server.errors import ResourceExhausted
from holdfast_server.services.callers import current_caller

# Methods that move much. While too much waits for disks and memory, new ones are held back, so that what is under way
# is finished and calls that carry little are answered. A commit carries little, and ends an upload.
BULK = {
    "/holdfast.v1.ArtifactService/WriteBlocks",
    "/holdfast.v1.ArtifactService/ReadFile",
    "/holdfast.v1.ArtifactService/ReadFiles",
    "/holdfast.v1.LiveArtifactService/TailArtifact",
    "/holdfast.v1.StorageService/CheckStorage",
}
HEALTH = "/grpc.health.v1.Health/"
# Seconds that a new bulk stream waits for a better moment, and how often it looks.
HOLD_SECONDS, LOOK_SECONDS = 2.0, 0.05
# Seconds after which those come back who are refused a stream.
STREAM_RETRY = 1.0
# Seconds of a rate that may be used at once, after a time in which it was not.
BURST_SECONDS = 2.0
# Callers whose use of a rate is remembered; the others have used nothing lately, or begin anew.
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitTerms:
    """What is let in; 0: any number.

    Attributes:
        streams: Streaming calls that are open at once.
        caller_streams: Those of one caller.
        strangers: Calls of one host whose caller is not known, or not yet: no message came, or it is nobody's to know.
        caller_requests: Calls of one caller in a second.
        caller_rate: Bytes of the streams of one caller in a second, in each direction together.
        waiting: Pieces of work that may wait for the database, for threads or for memory before bulk is held back.
    """

    streams: int = 0
    caller_streams: int = 0
    strangers: int = 0
    caller_requests: int = 0
    caller_rate: int = 0
    waiting: int = 0


class Limits:
    """Counts what is let in, for one event loop.

    A caller is a principal, or where nobody is asked who calls, the host that calls. Whoever comes through a Unix
    socket owns the server, and is bound by the limits of all only.

    Strangers are counted apart, by their hosts: however many calls they leave without a message, and however often they
    watch the health, the streams of known callers are not theirs.

    Args:
        terms: The limits.
        depth: How much waits now.
        clock: Seconds.
    """

    def __init__(
        self, terms: LimitTerms, depth: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._terms, self._depth, self._clock = terms, depth, clock
        self._streams = 0
        self._streams_of: dict[str, int] = {}
        self._strangers_of: dict[str, int] = {}
        self._requests = _Rates(terms.caller_requests, clock)
        self._bytes = _Rates(terms.caller_rate, clock)
        self.refused: dict[str, int] = dict.fromkeys(
            ("streams", "caller_streams", "strangers", "caller_requests", "waiting"), 0
        )

    @property
    def open_streams(self) -> int:
        """Streaming calls that are open."""
        return self._streams

    @property
    def paces(self) -> bool:
        """Whether bytes are counted."""
        return bool(self._terms.caller_rate)

    def count_request(self, method: str, context: Any) -> None:
        """Count a call; its caller is known. Who asks for the health is always answered.

        Raises:
            ResourceExhausted: The caller makes too many.
        """
        if not self._terms.caller_requests or method.startswith(HEALTH):
            return
        caller = _caller_of(context)
        if caller is None:
            return
        delay = self._requests.take(caller, 1)
        if delay:
            raise self._refusal(
                "caller_requests",
                f"{caller} makes more than {self._terms.caller_requests} calls a second; put more into each, or wait.",
                max(delay, 0.05),
            )

    def call(self, method: str, context: Any, *, is_stream: bool) -> CountedCall:
        """Count a call, from when it arrives until this is left.

        Raises:
            ResourceExhausted: Its host has too many strangers already; raised as it is entered.
        """
        return CountedCall(self, method, context, is_stream=is_stream)

    async def hold_back(self, method: str) -> None:
        """Let bulk wait while too much waits already.

        Raises:
            ResourceExhausted: It does not get better soon.
        """
        if not self._terms.waiting or method not in BULK or self._depth() <= self._terms.waiting:
            return
        until = self._clock() + HOLD_SECONDS
        while self._depth() > self._terms.waiting:
            if self._clock() >= until:
                raise self._refusal("waiting", "This server is busy with other transfers. Wait.", STREAM_RETRY)
            await asyncio.sleep(LOOK_SECONDS)

    def _add_stranger(self, host: str) -> None:
        count = self._strangers_of.get(host, 0)
        if self._terms.strangers and count >= self._terms.strangers:
            raise self._refusal(
                "strangers",
                f"{host} has {count} calls open whose caller is not known, as many as it may. End some.",
                STREAM_RETRY,
            )
        self._strangers_of[host] = count + 1

    def _add_stream(self) -> None:
        if self._terms.streams and self._streams >= self._terms.streams:
            raise self._refusal(
                "streams", f"This server has {self._streams} streams open, as many as it may. Wait.", STREAM_RETRY
            )
        self._streams += 1

    def _add_stream_of(self, caller: str) -> None:
        count = self._streams_of.get(caller, 0)
        if self._terms.caller_streams and count >= self._terms.caller_streams:
            raise self._refusal(
                "caller_streams", f"{caller} has {count} streams open, as many as it may. End some.", STREAM_RETRY
            )
        self._streams_of[caller] = count + 1

    def _end_stranger(self, host: str) -> None:
        _take_one(self._strangers_of, host)

    def _end_stream(self, caller: str) -> None:
        self._streams -= 1
        if caller:
            _take_one(self._streams_of, caller)

    def _refusal(self, limit: str, message: str, delay: float) -> ResourceExhausted:
        self.refused[limit] += 1
        return ResourceExhausted(message, metadata={"limit": limit}, retry_after=delay)


class CountedCall:
    """A call: one of its host's strangers until its caller is known, then an open stream if it is one."""

    __slots__ = ("_caller", "_context", "_host", "_is_open", "_is_stream", "_limits", "_method")

    def __init__(self, limits: Limits, method: str, context: Any, *, is_stream: bool) -> None:
        self._limits, self._method, self._context, self._is_stream = limits, method, context, is_stream
        self._host = self._caller = ""
        self._is_open = False

    def __enter__(self) -> CountedCall:  # noqa: PYI034 - Self is of Python 3.11
        host = _host_of(self._context)
        if host:
            self._limits._add_stranger(host)  # noqa: SLF001 - a part of Limits, as all below
            self._host = host
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_stranger()
        if self._is_open:
            self._limits._end_stream(self._caller)  # noqa: SLF001

    async def begin(self) -> None:
        """Count it as its caller's, who is known now, and begin when there is room. Who has no name stays a stranger.

        Raises:
            ResourceExhausted: There are too many streams, or the caller has, or makes too many calls, or the server is
                busy.
        """
        if self._method.startswith(HEALTH) or current_caller() is NOBODY:
            return
        self._end_stranger()
        limits = self._limits
        limits.count_request(self._method, self._context)
        if not self._is_stream:
            return
        limits._add_stream()  # noqa: SLF001
        self._is_open = True
        caller = _caller_of(self._context)
        if caller is not None:
            limits._add_stream_of(caller)  # noqa: SLF001
            self._caller = caller
        await limits.hold_back(self._method)

    def _end_stranger(self) -> None:
        if self._host:
            self._limits._end_stranger(self._host)  # noqa: SLF001
            self._host = ""

    async def pace(self, size: int) -> None:
        """Wait as long as the caller's rate wants after so many bytes; its peer is slowed down by that."""
        limits = self._limits
        if self._caller and limits._terms.caller_rate:  # noqa: SLF001
            delay = limits._bytes.spend(self._caller, size)  # noqa: SLF001
            if delay:
                await asyncio.sleep(delay)


class _Rates:
    """What callers used of a rate, each as the time at which all of it will have been allowed for ("GCRA")."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate, self._clock = rate, clock
        self._paid_at: dict[str, float] = {}

    def take(self, caller: str, amount: float) -> float:
        """Use some of it and return 0, or use nothing and return the seconds until that is allowed."""
        now = self._clock()
        paid_at = max(self._paid_at.get(caller, now), now) + amount / self._rate
        early = paid_at - now - BURST_SECONDS
        if early > 0:
            return early
        self._note(caller, paid_at, now)
        return 0.0

    def spend(self, caller: str, amount: float) -> float:
        """Use some of it; returns the seconds to wait for that."""
        now = self._clock()
        paid_at = max(self._paid_at.get(caller, now), now) + amount / self._rate
        self._note(caller, paid_at, now)
        return max(paid_at - now - BURST_SECONDS, 0.0)

    def _note(self, caller: str, paid_at: float, now: float) -> None:
        if len(self._paid_at) >= MAX_REMEMBERED and caller not in self._paid_at:
            self._paid_at = {name: at for name, at in self._paid_at.items() if at > now}
            if len(self._paid_at) >= MAX_REMEMBERED:
                self._paid_at.clear()
        self._paid_at[caller] = paid_at


def _take_one(counts: dict[str, int], name: str) -> None:
    left = counts[name] - 1
    if left:
        counts[name] = left
    else:
        del counts[name]


def _host_of(context: Any) -> str:
    """Where a call comes from; empty for the owner's, through a Unix socket."""
    peer: str = context.peer()
    return "" if peer.startswith("unix:") else peer.rpartition(":")[0]


def _caller_of(context: Any) -> str | None:
    """The principal, a worker's being its owner, or the host; None for the owner of the server."""
    host = _host_of(context)
    return (current_caller().grantee or host) if host else None
