"""What is left of reading for a worker, whose token logs to one run and reads nothing (``docs/security.md``)."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from holdfast.errors import HoldfastError, PermissionDeniedError

T = TypeVar("T")
Known = TypeVar("Known")


def is_worker_refusal(error: HoldfastError) -> bool:
    """Whether a call was refused because the token is a worker's."""
    return isinstance(error, PermissionDeniedError) and error.reason == "WORKER_TOKEN"


def unless_worker(read: Callable[[], T], known: Known) -> T | Known:
    """What ``read`` returns; where the token is a worker's, what is known without reading."""
    try:
        return read()
    except PermissionDeniedError as error:
        if not is_worker_refusal(error):
            raise
        return known


@dataclass
class WorkerTable:
    """A table as this process logged it; ``content`` None: not yet."""

    content: bytes | None = None


class WorkerTables:
    """The tables that a client logged with a worker's token, since nobody tells it what they hold."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], WorkerTable] = {}
        self._lock, self._pid = threading.Lock(), os.getpid()

    @contextlib.contextmanager
    def changing(self, run_id: str, path: str) -> Iterator[WorkerTable]:
        """The table at ``path``, for this thread alone while it appends to it."""
        if self._pid != os.getpid():  # another thread may have held it when this process was forked
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            yield self._tables.setdefault((run_id, path), WorkerTable())
