"""Whether the server can do its work: what it stands on is tried out again and again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from holdfast_server.errors import DomainError
from holdfast_server.timing_out import within

logger = logging.getLogger(__name__)

# Seconds that a probe may take before it counts as failed. It goes on meanwhile: a thread cannot be stopped.
PROBE_LIMIT = 5.0

Probe = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found.

    Attributes:
        problem: What is wrong, and what to look at; empty when it works. Fit for callers.
        seconds: How long it took.
    """

    problem: str
    seconds: float

    @property
    def is_fine(self) -> bool:
        """Whether it works."""
        return not self.problem


Report = Callable[[Mapping[str, Finding]], Awaitable[None]]


class Readiness:
    """Probes what the server stands on, at an interval and on request, and reports each round.

    Args:
        probes: By the name of what each tries out; a probe raises when that does not work.
        interval: Seconds between two rounds.
        report: Is told what each round found.
        limit: Seconds that a probe may take.
    """

    def __init__(
        self, probes: Mapping[str, Probe], *, interval: float, report: Report, limit: float = PROBE_LIMIT
    ) -> None:
        self._probes, self._interval, self._report, self._limit = probes, interval, report, limit
        self._running: dict[str, asyncio.Future[None]] = {}
        self._findings: dict[str, Finding] = {}
        self._found_at = float("-inf")
        self._turn = asyncio.Lock()
        self._rounds: asyncio.Task[None] | None = None

    @property
    def findings(self) -> Mapping[str, Finding]:
        """What the last round found; empty before the first."""
        return self._findings

    async def start(self) -> None:
        """Begin to probe, in rounds that have an interval between them."""
        self._rounds = asyncio.create_task(self._probe_for_ever())

    async def stop(self) -> None:
        """Report nothing more."""
        if self._rounds is not None:
            self._rounds.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._rounds
        for running in self._running.values():
            running.cancel()
        self._running.clear()

    async def recent(self) -> Mapping[str, Finding]:
        """What was found within the interval; probes when that is longer ago. However many ask, one round is run."""
        async with self._turn:
            if time.monotonic() - self._found_at >= self._interval:
                await self._round()
        return self._findings

    async def _probe_for_ever(self) -> None:
        while True:
            async with self._turn:
                await self._round()
            await asyncio.sleep(self._interval)

    async def _round(self) -> None:
        names = list(self._probes)
        found = await asyncio.gather(*(self._find(name) for name in names))
        before, self._findings = self._findings, dict(zip(names, found, strict=True))
        self._found_at = time.monotonic()
        for name, finding in self._findings.items():
            was_fine = name not in before or before[name].is_fine
            if was_fine and not finding.is_fine:
                logger.error("not ready: %s: %s", name, finding.problem)
            elif finding.is_fine and not was_fine:
                logger.warning("ready again: %s", name)
        await self._report(self._findings)

    async def _find(self, name: str) -> Finding:
        began = time.perf_counter()
        problem = await self._problem(name)
        return Finding(problem, time.perf_counter() - began)

    async def _problem(self, name: str) -> str:
        # One that hangs is waited for again, not joined by others.
        running = self._running.get(name) or asyncio.ensure_future(self._probes[name]())
        self._running[name] = running
        try:
            async with within(self._limit):
                await asyncio.shield(running)
        except asyncio.TimeoutError:
            return f"It did not answer a probe within {self._limit:g} seconds."
        except DomainError as error:
            self._running.pop(name)
            return error.message
        except Exception:
            self._running.pop(name)
            logger.exception("the probe of the %s failed", name)
            return "A probe failed; the server's log says why."
        self._running.pop(name)
        return ""
