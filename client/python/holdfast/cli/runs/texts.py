"""How runs and what they log are written for people."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast._own_tags import without_own
from holdfast.cli.sizes import seconds_text
from holdfast.entities import Run

# Tags with this prefix say how a run came to be; they are shown as attributes, or on request.
SYSTEM_TAGS = "mlflow."


def pairs_text(values: Mapping[str, object]) -> str:
    """Values with their keys, on one line; numbers rounded."""
    return " ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )


def own_tags(run: Run) -> dict[str, str]:
    """Tags that somebody set, without those that record how the run came to be, or what of it a sync has sent."""
    return {key: value for key, value in without_own(run.data.tags).items() if not key.startswith(SYSTEM_TAGS)}


def duration_text(run: Run) -> str:
    """How long a run took; ``-`` for one that goes on or has no start."""
    if run.info.start_time is None or run.info.end_time is None:
        return "-"
    return seconds_text(max(0, run.info.end_time - run.info.start_time) / 1000)
