"""Does the same to MLflow with its stores and to Holdfast with stores on it, and prints what differs as JSON.

python -m tests.interop.differential <Holdfast's URI> <empty directory>     in a Python that has both
"""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from contextlib import redirect_stderr
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.entities import LoggedModelStatus
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as MlflowRegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as MlflowTrackingStore
from tests.interop.differential import fluent_scenarios, registry_scenarios, search_scenarios, tracking_scenarios
from tests.interop.differential.recording import Answer, Names, Notes, Recorder, Seen
from tests.interop.differential.signatures import odd_ones
from tests.interop.mlflow_store.registry_store import HoldfastRegistryStore
from tests.interop.mlflow_store.tracking_store import HoldfastTrackingStore

import holdfast

ROOT = "s3://root"
TRACKING = (*tracking_scenarios.SCENARIOS, *search_scenarios.SCENARIOS)


class Side:
    """One of the two that are compared: two stores and a module, all on the same server or database."""

    def __init__(self, tracking, registry, module, directory: str) -> None:
        self._tracking, self._registry, self._module = tracking, registry, module
        self._directory = Path(directory, module.__name__)
        self._names = Names()
        self._numbers = count()

    def play(self, scenario) -> list[Answer]:
        notes = Notes(self._names)
        if scenario in registry_scenarios.SCENARIOS:
            scenario(Recorder(self._registry, notes), self._make_model)
        elif scenario in TRACKING:
            scenario(Recorder(self._tracking, notes))
        else:
            directory, see = self._directory / scenario.__name__, Seen(notes)
            directory.mkdir(parents=True)
            scenario(self._module, see, see.refused, directory)
        return notes.answers

    def _make_model(self) -> tuple[str, str]:
        run = self._tracking.create_run("0", "ada", 1, [], "of a version")
        name = f"m{next(self._numbers)}"
        model = self._tracking.create_logged_model("0", name, run.info.run_id)
        if isinstance(self._tracking, HoldfastTrackingStore):  # which registers only what is there
            with TemporaryDirectory() as directory:
                Path(directory, "MLmodel").write_text("flavors: {}\n")
                self._tracking.client.log_model_artifacts(model.model_id, directory)
        self._tracking.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self._names.plain([model.model_id, run.info.run_id])
        return model.model_id, run.info.run_id


def compared(scenario, mlflow_side: Side, holdfast_side: Side) -> dict:
    """What differs and should not, what does not and should, and which methods were called."""
    theirs, ours = mlflow_side.play(scenario), holdfast_side.play(scenario)
    pairs = list(zip(theirs, ours, strict=True))
    wrong = [
        {
            "call": number,
            "method": one.method,
            "arguments": one.arguments,
            "mlflow": one.value,
            "holdfast": other.value,
            "differs": one.differs,
        }
        for number, (one, other) in enumerate(pairs)
        if (one.value == other.value) != (one.differs == "") or (one.differs and is_defect(other.value))
    ]
    return {
        "calls": len(theirs),
        "methods": sorted({answer.method for answer in theirs}),
        "wrong": wrong,
        "differs": sorted({answer.differs for answer in theirs} - {""}),
    }


def is_defect(value: Any) -> bool:
    """Whether an answer is an error that no difference excuses: an exception of Python's, or a fault of the server."""
    code = value.get("error", "") if isinstance(value, dict) else ""
    return code != "" and (code in {"INTERNAL_ERROR", "BAD_REQUEST"} or not code.isupper())


def contract(store: type) -> set[str]:
    """The methods that MLflow demands of a store, and those that ours has besides."""
    demanded = {name for base in store.__mro__ for name, method in vars(base).items() if is_abstract(method)}
    return demanded | {name for name, method in vars(store).items() if callable(method) and not name.startswith("_")}


def is_abstract(method: object) -> bool:
    return getattr(method, "__isabstractmethod__", False)


def main(uri: str, directory: str) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    database = f"sqlite:///{directory}/mlflow.db"
    mlflow.set_tracking_uri(database)
    holdfast.set_tracking_uri(uri)
    mlflow_side = Side(MlflowTrackingStore(database, ROOT), MlflowRegistryStore(database), mlflow, directory)
    holdfast_side = Side(HoldfastTrackingStore(uri, ROOT), HoldfastRegistryStore(uri), holdfast, directory)
    scenarios = (*TRACKING, *registry_scenarios.SCENARIOS, *fluent_scenarios.SCENARIOS)
    with redirect_stderr(io.StringIO()):  # some of MLflow's calls print
        found: dict[str, Any] = {
            scenario.__name__: compared(scenario, mlflow_side, holdfast_side) for scenario in scenarios
        }
    found["contract"] = sorted({*contract(HoldfastTrackingStore), *contract(HoldfastRegistryStore)})
    found["signatures"] = odd_ones()
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
