"""Answers calls about resources that their caller may not see, as if these were not there.

What is not there is refused in many places, each after checks of its own; whoever may not know that something is there
must be refused in the same places with the same words. So such a call is not refused before it begins: it runs on a
database in which the resource is missing, and ends there. Should it get through all the same, it has no effect.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar, cast

from holdfast_server.domain.access import ResourceKind
from holdfast_server.domain.artifacts import Owner
from holdfast_server.domain.names import shown
from holdfast_server.errors import AlreadyExists, NotFound
from holdfast_server.services.ports.database import Database, RequestKey, Transaction

T = TypeVar("T")
Hidden = frozenset[tuple[ResourceKind, int]]

_hidden: ContextVar[Hidden] = ContextVar("_hidden", default=frozenset())


@contextlib.contextmanager
def hiding(hidden: Hidden) -> Iterator[None]:
    """Within this block transactions do not see what is on these resources."""
    token = _hidden.set(hidden)
    try:
        yield
    finally:
        _hidden.reset(token)


def not_there() -> NotFound:
    """For a call that came through: nothing of it is told."""
    return NotFound("There is nothing of this name or id.")


class HidingDatabase:
    """A database whose transactions lack what is hidden from the call; otherwise the one that it wraps."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner

    async def read(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` on a snapshot; it cannot write."""
        return await self._inner.read(_blind(job) if _hidden.get() else job)

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` and return when its transaction is durable. Where something is hidden it never is."""
        return await self._inner.write(_in_vain(job) if _hidden.get() else job)

    async def write_once(self, key: RequestKey | None, job: Callable[[Transaction], bytes]) -> bytes:
        """Like ``write``; when ``key`` was seen before, return its answer and do nothing."""
        if _hidden.get():
            return await self.write(job)
        return await self._inner.write_once(key, job)

    def on_events(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, from any thread, after each commit of this process that recorded events."""
        self._inner.on_events(callback)


def _blind(job: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    return lambda tx: job(cast("Transaction", _Blind(tx, _hidden.get())))


def _in_vain(job: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    def run(tx: Transaction) -> NoReturn:
        _blind(job)(tx)
        raise not_there()

    return run


class _Wrapped:
    """Passes on what is not overridden."""

    def __init__(self, inner: Any, tx: Transaction, hidden: Hidden) -> None:
        self._inner, self._tx, self._hidden = inner, tx, hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _lacks_experiment(self, number: int | None) -> bool:
        return number is not None and (ResourceKind.EXPERIMENT, number) in self._hidden

    def _lacks_name(self, name: str) -> bool:
        number = self._tx.access.number_of_model(name)
        return number is not None and (ResourceKind.REGISTERED_MODEL, number) in self._hidden


class _Blind:
    """A transaction without what is hidden. What is about to be created has a name or id that is taken."""

    def __init__(self, tx: Transaction, hidden: Hidden) -> None:
        self._tx = tx
        self.experiments = _Experiments(tx.experiments, tx, hidden)
        self.runs = _Runs(tx.runs, tx, hidden)
        self.models = _Models(tx.models, tx, hidden)
        self.registry = _Registry(tx.registry, tx, hidden)
        self.trees = _Trees(tx.trees, tx, hidden)
        self.live = _Live(tx.live, tx, hidden)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def change_registry(self, _actor: object) -> _Taken:
        return _Taken()


class _Experiments(_Wrapped):
    def get(self, experiment_id: int) -> Any:
        return None if self._lacks_experiment(experiment_id) else self._inner.get(experiment_id)

    def find(self, name: str) -> Any:
        found = self._inner.find(name)
        return None if found is None or self._lacks_experiment(found.id) else found

    def create(self, name: str, *_: Any, **__: Any) -> NoReturn:
        raise _taken("experiment", name)

    def rename(self, _number: int, name: str, **__: Any) -> NoReturn:
        raise _taken("experiment", name)


class _Runs(_Wrapped):
    def get(self, run_id: str) -> Any:
        found = self._inner.get(run_id)
        return None if found is None or self._lacks_experiment(found.experiment_id) else found

    def get_lifecycle(self, run_id: str) -> str | None:
        found: str | None = self._inner.get_lifecycle(run_id)
        return None if self._lacks_experiment(self._tx.access.experiment_of_run(run_id)) else found

    def create(self, *, run_id: str, **_: Any) -> NoReturn:
        raise _taken("run", run_id)


class _Models(_Wrapped):
    def get(self, model_id: str) -> Any:
        found = self._inner.get(model_id)
        return None if found is None or self._lacks_experiment(found.experiment_id) else found

    def get_state(self, model_id: str) -> tuple[str, str] | None:
        found: tuple[str, str] | None = self._inner.get_state(model_id)
        return None if self._lacks_experiment(self._tx.access.experiment_of_model(model_id)) else found

    def get_numbers(self, model_ids: Collection[str]) -> dict[str, int]:
        experiments = self._tx.access.experiments_of_models(model_ids)
        found: dict[str, int] = self._inner.get_numbers(model_ids)
        return {id_: number for id_, number in found.items() if not self._lacks_experiment(experiments.get(id_))}

    def create(self, *, model_id: str, **_: Any) -> NoReturn:
        raise _taken("logged model", model_id)


class _Registry(_Wrapped):
    def exists(self, name: str) -> bool:
        return not self._lacks_name(name) and bool(self._inner.exists(name))

    def get_alias(self, name: str, alias: str) -> int:
        return 0 if self._lacks_name(name) else int(self._inner.get_alias(name, alias))

    def get(self, name: str) -> Any:
        return None if self._lacks_name(name) else self._inner.get(name)

    def get_version(self, name: str, *args: Any) -> Any:
        return None if self._lacks_name(name) else self._inner.get_version(name, *args)

    def get_by_alias(self, name: str, *args: Any) -> Any:
        return None if self._lacks_name(name) else self._inner.get_by_alias(name, *args)

    def get_by_import(self, name: str, *args: Any) -> Any:
        return None if self._lacks_name(name) else self._inner.get_by_import(name, *args)

    def latest(self, name: str, *args: Any) -> Any:
        return None if self._lacks_name(name) else self._inner.latest(name, *args)


class _Trees(_Wrapped):
    def is_pinned(self, _owner: Owner, _sequence: int) -> bool:
        """What a version shows was looked at when the call was; this one is not shown by any."""
        return False


class _Live(_Wrapped):
    def get(self, live_id: str) -> Any:
        found = self._inner.get(live_id)
        if found is None:
            return None
        owner, access = found.owner, self._tx.access
        experiment = access.experiment_of_model(owner.id) if owner.is_model else access.experiment_of_run(owner.id)
        return None if self._lacks_experiment(experiment) else found


class _Taken:
    """Changes of the registry: the name that is to be made or given is that of a model that is hidden."""

    def create(self, name: str, *_: Any) -> NoReturn:
        raise _taken("registered model", name)

    def update(self, name: str, *, new_name: str | None, **_: Any) -> NoReturn:
        raise _taken("registered model", new_name or name)

    def __getattr__(self, _name: str) -> Callable[..., NoReturn]:
        return _refuse


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise not_there()


def _taken(what: str, name: str) -> AlreadyExists:
    return AlreadyExists(f"A {what} {shown(name)} cannot be made: that is taken. Choose another.", field="name")
