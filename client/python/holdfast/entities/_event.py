"""What changed, as watches tell it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from holdfast.entities._run import Run

if TYPE_CHECKING:
    from holdfast.entities._experiment import Experiment
    from holdfast.entities._registry import RegisteredModel


@dataclass(frozen=True, slots=True)
class EventChange:
    """One thing that is not as it was.

    Attributes:
        field: Such as ``"status"``, ``"name"``, ``"stage"``, ``"version"``, ``"tags.<key>"`` or ``"params.<key>"``.
        old_value: What it was; None for nothing, and where it is not recorded, as for tags and params.
        new_value: What it is; None when it was removed.
    """

    field: str
    old_value: str | None
    new_value: str | None


@dataclass(frozen=True, slots=True)
class EventMetric:
    """The points of one key in one batch.

    Attributes:
        key: The metric.
        value: Of the newest of them, by step, then time, then value.
        timestamp: Its time, milliseconds since 1970, UTC.
        step: Its step.
        point_count: How many there are.
    """

    key: str
    value: float
    timestamp: int
    step: int
    point_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change, or what is watched as it was when the watch began.

    Attributes:
        type: ``"STATE"`` for the latter, else ``"CREATED"``, ``"UPDATED"``, ``"METRICS"``, ``"ARTIFACTS"``,
            ``"DELETED"``, ``"RESTORED"``, ``"LOST"`` or ``"RETURNED"``.
        subject: ``"EXPERIMENT"``, ``"RUN"``, ``"LOGGED_MODEL"``, ``"REGISTERED_MODEL"``, ``"MODEL_VERSION"`` or
            ``"ALIAS"``.
        cursor: A watch that is given it goes on behind this event.
        timestamp: When the server recorded it, milliseconds since 1970, UTC; None for a state.
        principal: Who did it; empty where that is not known.
        experiment_id: Of experiments, runs and logged models.
        run_id: Of runs.
        model_id: Of logged models.
        name: Of registered models, versions and aliases.
        version: Of versions, as text; of an alias, the version it names now, None when it was removed.
        alias: Of aliases.
        changes: What is not as it was.
        metrics: What a run logged.
        truncated: Whether changes, metrics or parts of values were left out.
        state: The run, experiment or registered model, for a state only.
    """

    type: str
    subject: str
    cursor: str
    timestamp: int | None = None
    principal: str = ""
    experiment_id: str | None = None
    run_id: str | None = None
    model_id: str | None = None
    name: str | None = None
    version: str | None = None
    alias: str | None = None
    changes: list[EventChange] = field(default_factory=list, hash=False)
    metrics: list[EventMetric] = field(default_factory=list, hash=False)
    truncated: bool = False
    state: Run | Experiment | RegisteredModel | None = field(default=None, hash=False)

    def to_dictionary(self) -> dict[str, Any]:
        """Everything as plain dicts and lists; a run as its own ``to_dictionary`` gives it."""
        plain = asdict(replace(self, state=None))
        if isinstance(self.state, Run):
            plain["state"] = self.state.to_dictionary()
        elif self.state is not None:
            plain["state"] = asdict(self.state)
        return plain
