"""Objects in memory, for tests: what a process forgets when it ends is no store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from holdfast_server.services.ports.artifacts import StoredObject


class MemoryObjectStore:
    """Implements ``ObjectStore``; passes the same suite as the real ones."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, int]] = {}
        self._lock = threading.Lock()

    def put(self, key: str, parts: Sequence[bytes | memoryview], sha256: bytes | None = None) -> None:  # noqa: ARG002 - the port's
        """Keep the concatenated parts."""
        data = b"".join(parts)
        with self._lock:
            self._objects[key] = (data, time.time_ns() // 1_000_000)

    def get(self, key: str, offset: int, length: int, *, patient: bool = True) -> bytes:  # noqa: ARG002 - the port's
        """Read a part of an object; ``KeyError`` when there is none."""
        with self._lock:
            data, _ = self._objects[key]
        return data[offset : offset + length]

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is passed over."""
        with self._lock:
            self._objects.pop(key, None)

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects whose keys begin with ``prefix``, as they were when the listing began."""
        with self._lock:
            found = [StoredObject(k, len(data), ms) for k, (data, ms) in self._objects.items() if k.startswith(prefix)]
        yield from found

    def remove_unfinished(self, before_ms: int) -> int:  # noqa: ARG002 - the port's
        """Nothing is ever half-written here."""
        return 0

    def check(self) -> None:
        """Memory is always there."""
