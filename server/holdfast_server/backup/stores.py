"""The stores that blocks are copied from and to."""

from __future__ import annotations

from pathlib import Path

from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.storage.blocks.local import LocalObjectStore


def open_store(store: str, data_dir: Path, credentials_file: Path | None) -> ObjectStore:
    """The store that a setting names, or the one below a data directory.

    Raises:
        InvalidArgument: The setting breaks a rule.
    """
    if not store:
        return LocalObjectStore(data_dir / "store")
    from holdfast_server.storage.blocks.s3 import open_s3_store  # which takes a while

    return open_s3_store(store, credentials_file)


def shown(store: str, place: Path) -> str:
    """A store as it is written in messages."""
    return store or str(place)
