"""Measures a database."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from holdfast_server.services.ports.database import Database, RequestKey, Transaction

T = TypeVar("T")


class DatabaseObserver(Protocol):
    """Is told what a database did; called from the event loop."""

    def transacted(self, kind: str, seconds: float) -> None:
        """A transaction (``read`` or ``write``) took so long, with its wait for others, whether or not it was kept."""
        ...


class MeasuringDatabase:
    """Tells an observer how long callers wait for each transaction: in the queue, in SQLite and for the disk."""

    def __init__(self, base: Database, observer: DatabaseObserver) -> None:
        self._base, self._observer = base, observer

    async def read(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` on a snapshot."""
        began = time.perf_counter()
        try:
            return await self._base.read(job)
        finally:
            self._observer.transacted("read", time.perf_counter() - began)

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` and return when its transaction is durable."""
        began = time.perf_counter()
        try:
            return await self._base.write(job)
        finally:
            self._observer.transacted("write", time.perf_counter() - began)

    async def write_once(self, key: RequestKey | None, job: Callable[[Transaction], bytes]) -> bytes:
        """Like ``write``; when ``key`` was seen before, return its answer and do nothing."""
        began = time.perf_counter()
        try:
            return await self._base.write_once(key, job)
        finally:
            self._observer.transacted("write", time.perf_counter() - began)

    def on_events(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after each commit of this process that recorded events."""
        self._base.on_events(callback)
