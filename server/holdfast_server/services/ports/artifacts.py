"""Blocks, their store, and trees."""

from __future__ import annotations

from typing import Protocol


class BlockIndex(Protocol):
    """Where blocks are."""


class TreeRepository(Protocol):
    """Artifact trees."""
