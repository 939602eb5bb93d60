"""Fixtures of the fault suite. The scoreboard is a plugin of the whole run: ``tests.faults.scoreboard``."""

from __future__ import annotations

from tests.faults.backends import backend, local_backend, minio_backend, scratch

__all__ = ["backend", "local_backend", "minio_backend", "scratch"]
