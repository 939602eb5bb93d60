"""Repository of registered models."""

from __future__ import annotations

from typing import Protocol


class RegisteredModelRepository(Protocol):
    """Registered models, versions and aliases."""
