"""What clients log, as plain dictionaries, and changes of it: each knows its request, and what it does or why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar


class RefusedError(Exception):
    """Why a change is not made; the argument is the reason that the server gives."""


@dataclass
class Run:
    running: bool = True
    deleted: bool = False
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: list[tuple[str, float, int, str]] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    datasets: dict[str, dict[str, str]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    produced: dict[str, int] = field(default_factory=dict)


@dataclass
class Model:
    run_id: str
    status: str = "PENDING"
    deleted: bool = False
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class World:
    """All that an example has. Indices of changes count ``run_ids``, ``model_ids`` and ``experiment_ids``.

    Attributes:
        prefix: What the names of this example begin with.
        names: Of experiments, by their ids.
        runs: By their ids.
        model_ids: Those that models get which are begun.
        models: Those that were.
        aliases: Of the one registered model, which has two versions.
    """

    prefix: str
    names: dict[str, str]
    runs: dict[str, Run]
    model_ids: list[str]
    models: dict[str, Model] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)

    def run_id(self, index: int) -> str:
        return list(self.runs)[index]

    def active_run(self, index: int) -> Run:
        run = self.runs[self.run_id(index)]
        if run.deleted:
            raise RefusedError("DELETED")
        return run

    def model(self, index: int) -> Model:
        if self.model_ids[index] not in self.models:
            raise RefusedError("MODEL_NOT_FOUND")
        return self.models[self.model_ids[index]]

    def active_model(self, index: int) -> Model:
        model = self.model(index)
        if model.deleted:
            raise RefusedError("DELETED")
        return model


@dataclass(frozen=True)
class Change:
    """One call."""

    service: ClassVar[Callable[[Any], Any]]
    method: ClassVar[str]

    def request(self, world: World) -> Any:
        """What is sent."""
        raise NotImplementedError

    def apply(self, world: World) -> Any:
        """Change ``world``, and return what ``answer`` finds in the response; a refused change changes nothing."""
        raise NotImplementedError

    def answer(self, response: Any) -> Any:
        """What of a response is compared."""
        return None
