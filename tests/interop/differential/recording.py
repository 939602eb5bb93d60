"""Calls of a store with what it answered, in a form that is the same for two stores that behave alike."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlflow.entities._mlflow_object import _MlflowObject
from mlflow.entities.dataset_summary import _DatasetSummary
from mlflow.entities.metric import MetricWithRunId
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList

# Scenarios give times of their own; later ones are of the clock.
CLOCK, CLOCK_END = 1_600_000_000_000, 4_000_000_000_000
# What has no counterpart in Holdfast; and what MLflow's store does not keep of a version, where Holdfast does: who
# registered it, and the logged model.
IGNORED = {"workspace", "trace_location", "effective_trace_archival_retention", "run_uuid", "deployment_job_state"}
OF_A_VERSION = {"user_id", "model_id"}
# MLflow lists these as its database happens to.
UNORDERED = (_DatasetSummary, ModelVersion)
_ID = re.compile(r"(?:\bm-)?\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Answer:
    """What a call was answered with; ``differs`` is why the two stores are to answer differently, else empty."""

    method: str
    arguments: str
    value: Any
    differs: str


class Notes:
    """What was seen on one side, and which of it is to differ from the other's.

    Args:
        names: What ids were called so far.
    """

    def __init__(self, names: Names) -> None:
        self.answers: list[Answer] = []
        self._names = names
        self._reason = ""

    def note(self, method: str, arguments: str, value: Any) -> None:
        shown = self._names.plain(arguments)[:400]
        self.answers.append(Answer(method, shown, self._names.plain(value), self._reason))

    @contextmanager
    def differs(self, reason: str) -> Iterator[None]:
        """What is noted in this block is to differ, for a reason that docs/mlflow.md has."""
        self._reason = reason
        try:
            yield
        finally:
            self._reason = ""


class Recorder:
    """A store whose answers are noted. Calls that it refuses return None."""

    def __init__(self, store: Any, notes: Notes) -> None:
        self._store, self._notes = store, notes
        self.differs = notes.differs

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            answer = None
            try:
                answer = noted = getattr(self._store, method)(*arguments, **options)
            except MlflowException as error:
                noted = {"error": error.error_code}
            except Exception as error:
                noted = {"error": type(error).__name__}
            shown = ", ".join([*map(str, arguments), *(f"{key}={value}" for key, value in options.items())])
            self._notes.note(method, shown, noted)
            return answer

        return call


class Seen:
    """Notes values under a label."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.differs = notes.differs

    def __call__(self, label: str, *values: Any) -> None:
        self._notes.note(label, "", values)

    def refused(self, label: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Note whether a call raises."""
        try:
            function(*arguments, **options)
        except BaseException as error:  # KeyboardInterrupt too
            self._notes.note(label, str(error), "refused")
        else:
            self._notes.note(label, "", "accepted")


class Names:
    """Gives ids, which each store makes up, names in the order in which they are seen."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def plain(self, value: Any) -> Any:
        """A value as JSON has it, without what two stores cannot have in common."""
        if isinstance(value, PagedList):
            return {"items": [self.plain(item) for item in value], "more": bool(value.token)}
        if isinstance(value, _MlflowObject | _DatasetSummary):
            return self._entity(value)
        if isinstance(value, dict):
            return {self.plain(key): self.plain(value[key]) for key in sorted(value)}
        if isinstance(value, list | tuple):
            items = [self.plain(item) for item in value]
            return sorted(items, key=repr) if value and isinstance(value[0], UNORDERED) else items
        if isinstance(value, str):
            return _ID.sub(lambda found: self._ids.setdefault(found[0], f"id {len(self._ids) + 1}"), value)
        return _number(value)

    def _entity(self, entity: Any) -> Any:
        if isinstance(entity, MetricWithRunId | _DatasetSummary):  # which are not made of properties
            return self.plain(entity.to_dict())
        ignored = IGNORED | (OF_A_VERSION if isinstance(entity, ModelVersion) else set())
        described = {key: self.plain(item) for key, item in entity if key not in ignored}
        if hasattr(entity, "_metric_objs"):  # a run's, with steps and times
            described["metric_objs"] = sorted((self.plain(item) for item in entity._metric_objs), key=repr)
        return described


def _number(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, int | float) and CLOCK < value < CLOCK_END:
        return "a time of the clock"
    return value
