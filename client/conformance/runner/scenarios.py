"""Reads scenarios, and refuses what nobody would do or know."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from client.conformance.runner.errors import ScenarioFileError

FOLDER = Path(__file__).parents[1] / "scenarios"
STORES = ("local", "minio")

# Each op of the contract, with the arguments it needs and those it may have; ../README.md describes them.
OPS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    op: (frozenset(needed.split()), frozenset(optional.split()))
    for op, needed, optional in (
        ("connect", "uri", "token ca_file"),
        ("file_digest", "path", ""),
        ("tree_digest", "entries", ""),
        ("create_experiment", "name", ""),
        ("create_run", "experiment_id", "name"),
        ("log_params", "run_id params", ""),
        ("set_tags", "run_id tags", ""),
        ("log_metrics", "run_id metrics", ""),
        ("finish_run", "run_id status", ""),
        ("get_run", "run_id", ""),
        ("metric_history", "run_id key", ""),
        ("log_artifact", "run_id local_path", "artifact_path"),
        ("log_artifacts", "run_id local_dir", "artifact_path"),
        ("list_artifacts", "uri", "recursive"),
        ("download", "uri destination", ""),
        ("read_range", "uri offset length", ""),
        ("log_model", "run_id name local_dir", ""),
        ("register_model", "name model_uri", ""),
        ("set_alias", "name alias version", "expected_version"),
        ("get_alias", "name alias", ""),
        ("watch_model", "name", ""),
        ("next_alias_change", "alias", ""),
        ("close", "", ""),
    )
}
_DRIVER_STEPS = ("ask", "begin", "answer")
_FIELDS = {"with", "by", "expect", "expect_error", "save"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a scenario.

    Attributes:
        kind: ``ask``, ``begin`` and ``answer`` are the driver's, ``for_others`` has steps of its own, any other is what
            the runner does.
        op: What the driver is asked for.
        arguments: Of the op, or of what the runner does.
        by: The language that does it in place of the one on trial; empty for that one.
        expect: What the answer has; None when an error is expected.
        expect_error: What the error has.
        save: Names for fields of the answer, for later steps.
        steps: What each other language does.
    """

    kind: str
    op: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""
    expect: Mapping[str, Any] | None = None
    expect_error: Mapping[str, Any] | None = None
    save: Mapping[str, str] = field(default_factory=dict)
    steps: Sequence[Step] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.op}" if self.op else self.kind


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a client does and what must come of it.

    Attributes:
        name: Unique among all.
        about: A sentence for people.
        steps: In order.
        stores: On which it makes a difference.
    """

    name: str
    about: str
    steps: Sequence[Step]
    stores: Sequence[str] = STORES


Actions = Mapping[str, Callable[..., None]]


def load_scenarios(actions: Actions, folder: Path = FOLDER) -> list[Scenario]:
    """All scenarios, file by file.

    Args:
        actions: What the runner does, by name; the first argument is the stage, the others are a step's.
        folder: Where the files are.

    Raises:
        ScenarioFileError: One says what cannot be done.
    """
    found: dict[str, Scenario] = {}
    for path in sorted(folder.glob("*.yaml")):
        for scenario in _read(path, actions):
            if scenario.name in found:
                raise ScenarioFileError(f"{path.name}: there are two scenarios {scenario.name!r}")
            found[scenario.name] = scenario
    return list(found.values())


def _read(path: Path, actions: Actions) -> Iterator[Scenario]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    _check_keys(content, {"before", "scenarios"}, path.name)
    for name, given in content["scenarios"].items():
        where = f"{path.name}: {name}"
        _check_keys(given, {"about", "steps", "stores"}, where)
        if not given.get("about"):
            raise ScenarioFileError(f"{where} does not say what it is about")
        stores = tuple(given.get("stores", STORES))
        if not set(stores) <= set(STORES):
            raise ScenarioFileError(f"{where}: stores are among {', '.join(STORES)}")
        steps = [*content.get("before", []), *given["steps"]]
        yield Scenario(name, given["about"].strip(), _steps(steps, actions, where), stores)


def _steps(given: Sequence[Any], actions: Actions, where: str) -> tuple[Step, ...]:
    return tuple(_step(step, actions, f"{where}, step {number}") for number, step in enumerate(given, 1))


def _step(given: Any, actions: Actions, where: str) -> Step:
    if not isinstance(given, dict):
        raise ScenarioFileError(f"{where} is no mapping: {given!r}")
    kinds = [key for key in given if key not in _FIELDS]
    if len(kinds) != 1:
        raise ScenarioFileError(f"{where} is to do one thing, not {kinds}")
    (kind,) = kinds
    if kind in _DRIVER_STEPS:
        return _driver_step(kind, given, where)
    _check_keys(given, {kind}, where)
    if kind == "for_others":
        return Step(kind, steps=_steps(given[kind], actions, where))
    if kind not in actions:
        raise ScenarioFileError(f"{where}: the runner cannot {kind}")
    arguments = given[kind] or {}
    try:
        inspect.signature(actions[kind]).bind(None, **arguments)
    except TypeError as error:
        raise ScenarioFileError(f"{where}: {kind}: {error}") from None
    return Step(kind, arguments=arguments)


def _driver_step(kind: str, given: Mapping[str, Any], where: str) -> Step:
    _check_keys(given, {kind, *_FIELDS}, where)
    op, arguments = str(given[kind] or ""), given.get("with", {})
    if kind != "answer":
        if op not in OPS:
            raise ScenarioFileError(f"{where}: no driver knows {op!r}")
        needed, optional = OPS[op]
        if not needed <= arguments.keys() <= needed | optional:
            raise ScenarioFileError(f"{where}: {op} takes {sorted(needed | optional)}, not {sorted(arguments)}")
    if "expect" in given and "expect_error" in given:
        raise ScenarioFileError(f"{where} expects an answer and an error")
    error = given.get("expect_error")
    return Step(
        kind,
        op,
        arguments,
        by=given.get("by", ""),
        expect=given.get("expect", {}) if error is None else None,
        expect_error=error,
        save=given.get("save", {}),
    )


def _check_keys(given: Any, known: set[str], where: str) -> None:
    unknown = set(given) - known if isinstance(given, dict) else {repr(given)}
    if unknown:
        raise ScenarioFileError(f"{where} has what is not known: {', '.join(sorted(map(str, unknown)))}")
