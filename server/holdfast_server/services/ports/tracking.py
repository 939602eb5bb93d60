"""Repositories of experiments, runs and logged models."""

from __future__ import annotations

from typing import Protocol


class ExperimentRepository(Protocol):
    """Experiments and their tags."""


class RunRepository(Protocol):
    """Runs with params, tags, metrics and links."""


class LoggedModelRepository(Protocol):
    """Logged models."""
