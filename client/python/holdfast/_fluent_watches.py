"""Module-level functions that watch what changes on the server that ``connect`` chose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from holdfast._connection import current_client

if TYPE_CHECKING:
    from holdfast._watching import Watch


def watch_run(
    run_id: str,
    cursor: str | None = None,
    *,
    types: str | Iterable[str] | None = None,
    retry_for: float | None = None,
) -> Watch:
    """Watch a run: first as it is, then each change; see ``Client.watch_run``."""
    return current_client().watch_run(run_id, cursor, types=types, retry_for=retry_for)


def watch_experiment(
    experiment_id: str,
    cursor: str | None = None,
    *,
    types: str | Iterable[str] | None = None,
    retry_for: float | None = None,
) -> Watch:
    """Watch an experiment with its runs and logged models; see ``Client.watch_experiment``."""
    return current_client().watch_experiment(experiment_id, cursor, types=types, retry_for=retry_for)


def watch_model(
    name: str,
    alias: str | None = None,
    cursor: str | None = None,
    *,
    types: str | Iterable[str] | None = None,
    retry_for: float | None = None,
) -> Watch:
    """Watch a registered model, or one alias of it; see ``Client.watch_model``."""
    return current_client().watch_model(name, alias, cursor, types=types, retry_for=retry_for)
