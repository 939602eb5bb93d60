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
CLOCK = 1_600_000_000_000
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


class Recorder:
    """A store whose answers are kept. Calls that it refuses return None.

    Args:
        store: Whose methods are called.
        names: What ids were called so far, shared by the stores of a side.
        answers: Where to keep them.
    """

    def __init__(self, store: Any, names: Names, answers: list[Answer]) -> None:
        self._store, self._names, self._answers = store, names, answers
        self._reason = ""

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            answer = None
            try:
                answer = getattr(self._store, method)(*arguments, **options)
                recorded = self._names.plain(answer)
            except MlflowException as error:
                recorded = {"error": error.error_code}
            except Exception as error:
                recorded = {"error": type(error).__name__}
            shown = ", ".join([*map(str, arguments), *(f"{key}={value}" for key, value in options.items())])
            self._answers.append(Answer(method, self._names.plain(shown)[:400], recorded, self._reason))
            return answer

        return call

    @contextmanager
    def differs(self, reason: str) -> Iterator[None]:
        """The calls in this block are to be answered differently, for a reason that docs/mlflow.md has."""
        self._reason = reason
        try:
            yield
        finally:
            self._reason = ""


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
    if isinstance(value, int | float) and value > CLOCK:
        return "a time of the clock"
    return value
