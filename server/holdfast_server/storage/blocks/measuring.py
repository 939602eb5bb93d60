"""Measures an object store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from holdfast_server.services.ports.artifacts import ObjectStore, StoredObject


class StoreObserver(Protocol):
    """Is told what a store did; called from any thread."""

    def stored(self, operation: str, outcome: str, seconds: float, size: int) -> None:
        """``operation`` (put, get or delete) ended as ``ok``, ``absent`` or ``failed``; ``size`` bytes were moved."""
        ...


class MeasuringObjectStore:
    """Tells an observer how long each operation of a store took, and how it ended.

    It stands next to the store itself, so that only the store is measured and not what is done to its answers.
    """

    def __init__(self, base: ObjectStore, observer: StoreObserver) -> None:
        self._base, self._observer = base, observer

    def put(self, key: str, parts: Sequence[bytes | memoryview], sha256: bytes | None = None) -> None:
        """Store the concatenated parts, durable when this returns."""
        began = time.perf_counter()
        outcome = "failed"
        try:
            self._base.put(key, parts, sha256)
            outcome = "ok"
        finally:
            size = sum(len(part) for part in parts) if outcome == "ok" else 0
            self._observer.stored("put", outcome, time.perf_counter() - began, size)

    def get(self, key: str, offset: int, length: int, *, patient: bool = True) -> bytes:
        """Read a part of an object."""
        began = time.perf_counter()
        outcome, data = "failed", b""
        try:
            data = self._base.get(key, offset, length, patient=patient)
            outcome = "ok"
            return data
        except KeyError:
            outcome = "absent"
            raise
        finally:
            self._observer.stored("get", outcome, time.perf_counter() - began, len(data))

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is passed over."""
        began = time.perf_counter()
        outcome = "failed"
        try:
            self._base.delete(key)
            outcome = "ok"
        finally:
            self._observer.stored("delete", outcome, time.perf_counter() - began, 0)

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects whose keys begin with ``prefix``; not measured, since the reader sets the pace."""
        return self._base.list_objects(prefix)

    def remove_unfinished(self, before_ms: int) -> int:
        """Remove what writers that were killed before a time left half-written."""
        return self._base.remove_unfinished(before_ms)

    def check(self) -> None:
        """Make sure that the store can be used."""
        self._base.check()
