"""Moves artifacts: files are cut into blocks, hashed, compared with what the server has, and only the rest is sent."""

from __future__ import annotations

from holdfast._transfer.artifacts import Artifacts

__all__ = ["Artifacts"]
