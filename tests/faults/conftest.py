"""Fixtures of the fault suite. The scoreboard is a plugin of the whole run: ``tests.faults.scoreboard``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.backends import backend, local_backend, minio_backend, scratch
from tests.faults.journal import Journal
from tests.faults.stored_objects import objects

__all__ = ["backend", "journal", "local_backend", "minio_backend", "objects", "scratch"]


@pytest.fixture
def journal(scratch: Path) -> Iterator[Journal]:
    journal = Journal(scratch / "journal.jsonl")
    yield journal
    journal.close()
