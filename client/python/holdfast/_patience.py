"""How long and how often calls are repeated that found no server, and when they are given up."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long and how often a call is repeated that found no server.

    Attributes:
        window: Seconds to keep trying once the server has answered before, also by saying that it is busy.
        first_window: The same before its first answer: then the address is more likely wrong than the server gone.
        initial_delay: Upper bound in seconds of the first pause; it doubles with each.
        max_delay: Where that bound stops growing.
    """

    window: float = 30.0
    first_window: float = 5.0
    initial_delay: float = 0.1
    max_delay: float = 2.0

    def delay(self, attempt: int) -> float:
        """Seconds to pause after failure ``attempt``, from 0, with full jitter; clients must not come back together.

        See "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        return random.uniform(0, min(self.max_delay, self.initial_delay * 2**attempt))  # noqa: S311 - no secret


class Patience:
    """Pauses between attempts that bring nothing, until a window is over that begins with the first of them.

    Make a new one after progress.
    """

    def __init__(self, retry: RetryPolicy, window: float) -> None:
        self._retry, self._window = retry, window
        self._failures = 0
        self._give_up: float | None = None

    def pause(self, stopped: threading.Event | None = None, *, told: float | None = None) -> bool:
        """Sleep before the next attempt; False when there is to be none, as after ``stopped`` is set.

        ``told``: seconds that the server wants to be left alone. Half as much again is spread over its clients.
        """
        now = time.monotonic()
        if self._give_up is None:
            self._give_up = now + self._window
        delay = self._retry.delay(self._failures)
        if told is not None:
            delay = max(delay, told * random.uniform(1, 1.5))  # noqa: S311 - no secret
        if now + delay > self._give_up:
            return False
        self._failures += 1
        if stopped is not None:
            return not stopped.wait(delay)
        time.sleep(delay)
        return True


_give_up_at: ContextVar[float] = ContextVar("_give_up_at", default=float("inf"))


@contextlib.contextmanager
def hurried(seconds: float) -> Iterator[None]:
    """Within this block calls are given up when ``seconds`` are over: somebody waits, for the program to end or so."""
    token = _give_up_at.set(min(_give_up_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _give_up_at.reset(token)


def time_left() -> float:
    """Seconds until calls in this context are given up; infinite as a rule."""
    return max(_give_up_at.get() - time.monotonic(), 0.0)
