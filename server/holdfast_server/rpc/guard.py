"""Asks who makes a call and whether it may, before anything of it is handled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast_server.domain.access import NOBODY, OWNER, Caller, Secret
from holdfast_server.errors import DomainError, PermissionDenied, Reason, Unauthenticated
from holdfast_server.rpc.admission import Verdict, judge
from holdfast_server.rpc.open_calls import OpenCall, OpenCalls
from holdfast_server.rpc.policy import POLICY, Access, Rule
from holdfast_server.services.access import authenticate, authenticate_again
from holdfast_server.services.auditing import auditing
from holdfast_server.services.callers import calling
from holdfast_server.services.hiding import hiding, not_there
from holdfast_server.services.ports.database import Database, Transaction

logger = logging.getLogger(__name__)

# How often at most the last use of a token is written down, and of how many that is remembered.
TOUCH_SECONDS = 60
MAX_TOUCHED = 10_000
# Bytes of a message that are decoded before it is known who sent them, so that all is looked up in one transaction.
SMALL_MESSAGE = 64 << 10
_EMPTY = Verdict()


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that may be handled.

    Attributes:
        request: Its message, or those of a stream.
        in_vain: It names what its caller may not see. It is handled to find that this is not there, and whatever comes
            of that is no answer.
    """

    request: Any
    in_vain: bool = False


@dataclass(frozen=True, slots=True)
class _Seen:
    """Who calls, as one transaction saw it. ``is_unnoted``: the last use of the token was not written down lately."""

    caller: Caller
    expire_time: int | None
    generation: int
    verdict: Verdict
    is_unnoted: bool


class Guard:
    """Lets calls in by the policy, and ends streams when their callers lose what they need."""

    def __init__(self, database: Database, policy: Mapping[str, Rule] = POLICY) -> None:
        self._database, self._policy = database, policy
        self.open_calls = OpenCalls(database)
        self._touched: dict[str, float] = {}
        self._touching: set[asyncio.Task[None]] = set()

    def secret_of(self, method: str, context: Any) -> Secret | None:
        """What a call shows, to be looked at before its message is waited for; None where nothing needs to be shown.

        Raises:
            Unauthenticated: It shows nothing, or what can be no token.
            PermissionDenied: Nobody may call this.
        """
        return None if self._rule(method).access is Access.PUBLIC else _secret_of(context)

    def _rule(self, method: str) -> Rule:
        rule = self._policy.get(method)
        if rule is None:
            raise PermissionDenied(f"This server has no rule for who may call {method}, and so nobody may.")
        return rule

    @contextlib.asynccontextmanager
    async def admitted(
        self,
        method: str,
        secret: Secret | None,
        request: Any,
        decode: Callable[[Any], Any],
        *,
        streams: tuple[bool, bool],
    ) -> AsyncIterator[Admitted]:
        """Within this block a call is handled, as its caller.

        A large message is decoded once it is known who sent it; for a small one all is looked up in one transaction.

        Args:
            method: Its name.
            secret: What ``secret_of`` found.
            request: Its message, or messages.
            decode: Makes of it what the method takes.
            streams: Whether requests and answers are streams.

        Raises:
            Unauthenticated: No good token came, or it lost its validity meanwhile.
            PermissionDenied: The caller may not do this, or lost what it needs meanwhile.
            NotFound: The call got through although something is hidden from its caller.
        """
        rule = self._rule(method)
        if rule.access is Access.PUBLIC:
            with calling(NOBODY):
                yield Admitted(decode(request))
            return
        if secret is not None and not streams[0] and len(request) > SMALL_MESSAGE:
            await self._database.read(lambda tx: authenticate(tx, secret))
        message, malformed = (None, None) if streams[0] else _decoded(decode, request)
        waits = malformed is not None or rule.first_message
        seen = await self._database.read(lambda tx: _look(tx, secret, None if waits else rule, message))
        self._touch(seen)
        if malformed is not None:
            raise malformed
        if not any(streams):
            async with self._handled(method, seen, seen.verdict) as in_vain:
                yield Admitted(message, in_vain)
            return
        task = asyncio.current_task()
        assert task is not None
        call = OpenCall(task, seen.caller, seen.generation, seen.expire_time, seen.verdict.held)
        self.open_calls.add(call)
        try:
            messages: Any = decode(request) if streams[0] else message
            if rule.first_message:
                messages, verdict = await self._with_first(messages, rule, call)
            else:
                verdict = seen.verdict
            async with self._handled(method, seen, verdict) as in_vain:
                yield Admitted(messages, in_vain)
        except asyncio.CancelledError:
            if call.failure is None:
                raise
        finally:
            self.open_calls.remove(call)
        if call.failure is not None:
            raise call.failure

    @contextlib.asynccontextmanager
    async def _handled(self, method: str, seen: _Seen, verdict: Verdict) -> AsyncIterator[bool]:
        in_vain = bool(verdict.hidden)
        with calling(seen.caller), auditing(method.lstrip("/")), hiding(verdict.hidden):
            yield in_vain
        if in_vain:
            raise not_there()

    async def _with_first(
        self, messages: AsyncIterator[Any], rule: Rule, call: OpenCall
    ) -> tuple[AsyncIterator[Any], Verdict]:
        """Judge a stream by its first message; returns all of them."""
        first = await anext(messages, None)
        if first is None:
            return _chained([], messages), _EMPTY

        def look(tx: Transaction) -> tuple[Caller, int, Verdict]:
            # As of now: the caller may have got another role since the stream was opened.
            caller = authenticate_again(tx, call.caller.token_id).caller if call.caller.token_id else call.caller
            return caller, tx.access.generation(), judge(tx, caller, rule, first)

        call.caller, call.generation, verdict = await self._database.read(look)
        call.held = verdict.held
        return _chained([first], messages), verdict

    def _touch(self, seen: _Seen) -> None:
        """Write down that a token is used, now and then and without anybody waiting for it."""
        token_id, now = seen.caller.token_id, time.monotonic()
        if not seen.is_unnoted or now - self._touched.get(token_id, -TOUCH_SECONDS) < TOUCH_SECONDS:
            return
        if len(self._touched) >= MAX_TOUCHED:
            self._touched = {known: at for known, at in self._touched.items() if now - at < TOUCH_SECONDS}
        self._touched[token_id] = now
        task = asyncio.create_task(self._write_use(token_id))
        self._touching.add(task)
        task.add_done_callback(self._touching.discard)

    async def _write_use(self, token_id: str) -> None:
        try:
            await self._database.write(lambda tx: tx.access.touch_token(token_id))
        except DomainError as error:
            logger.warning("the last use of token %s was not written down: %s", token_id, error.message)


def _look(tx: Transaction, secret: Secret | None, rule: Rule | None, message: Any) -> _Seen:
    """Find out who calls, and judge the call by its rule; None: later."""
    caller, expire_time, is_unnoted = OWNER, None, False
    if secret is not None:
        found = authenticate(tx, secret)
        caller, expire_time = found.caller, found.expire_time
        is_unnoted = tx.now_ms - (found.last_use_time or 0) >= TOUCH_SECONDS * 1_000
    verdict = _EMPTY if rule is None else judge(tx, caller, rule, message)
    return _Seen(caller, expire_time, tx.access.generation(), verdict, is_unnoted)


def _secret_of(context: Any) -> Secret | None:
    """The token of a call; None for the owner's, who calls through the server's own Unix socket without one.

    Raises:
        Unauthenticated: There is none, more than one, or what there is cannot be one.
    """
    given = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if not given:
        if context.peer().startswith("unix:"):
            return None
        raise Unauthenticated(
            "This server asks who calls: send a token, as metadata `authorization: Bearer hft_…`. Clients take it from"
            " HOLDFAST_TOKEN; `holdfast token create` makes one.",
            reason=Reason.TOKEN_MISSING,
        )
    if len(given) > 1:
        raise Unauthenticated("Two authorizations were sent; send one.")
    scheme, _, text = given[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("The authorization is not of the form `Bearer hft_…`.", reason=Reason.TOKEN_MALFORMED)
    return Secret.parse(text.strip())


def _decoded(decode: Callable[[Any], Any], request: Any) -> tuple[Any, DomainError | None]:
    try:
        return decode(request), None
    except DomainError as error:
        return None, error


async def _chained(first: list[Any], rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    for message in first:
        yield message
    async for message in rest:
        yield message
