"""``python -m benchmarks.clients.models <peer> <address> log|load <seconds> <trees>``: log or load a model.

One program for both peers, since they have the same functions. It prints its figures as JSON, in milliseconds.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from benchmarks.clients.tracking import repeated_latency

DATA, TARGET = load_iris(return_X_y=True)


def main() -> None:
    peer, address, what, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
    tracked = importlib.import_module(peer)
    importlib.import_module(f"{peer}.sklearn")
    tracked.set_tracking_uri(f"{'http' if peer == 'mlflow' else 'holdfast'}://{address}")
    model = DecisionTreeClassifier(random_state=0).fit(DATA, TARGET)
    with tracked.start_run():
        start = time.perf_counter()
        uri = _log(tracked, model).model_uri
        first = (time.perf_counter() - start) * 1000
        if what == "log":
            figures = {"log_first": first, **repeated_latency("log", lambda: _log(tracked, model), seconds)}
            if peer == "holdfast":
                figures |= _inference(int(sys.argv[5]))
        else:
            figures = {**_loads(tracked, peer, uri, model, seconds), "process": _process(tracked, peer, uri)}
    print(json.dumps(figures))


def _log(tracked: Any, model: BaseEstimator) -> Any:
    return tracked.sklearn.log_model(
        model, name="model", serialization_format="cloudpickle", input_example=DATA[:2], registered_model_name=None
    )


def _loads(tracked: Any, peer: str, uri: str, model: BaseEstimator, seconds: float) -> dict[str, float]:
    def load() -> None:
        loaded = tracked.sklearn.load_model(uri)
        assert loaded.tree_.node_count == model.tree_.node_count

    load()
    figures = repeated_latency("load", load, seconds)
    if peer == "holdfast":
        with tempfile.TemporaryDirectory() as cache:
            os.environ["HOLDFAST_CACHE"] = cache
            load()
            figures |= repeated_latency("load_cached", load, seconds)
            del os.environ["HOLDFAST_CACHE"]
    return figures


def _process(tracked: Any, peer: str, uri: str) -> float:
    """Of a new process that loads it, with all that it has to import."""
    code = f"import {peer}.sklearn; {peer}.set_tracking_uri({tracked.get_tracking_uri()!r}); "
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"{code}{peer}.sklearn.load_model({uri!r})"], check=True)
    return (time.perf_counter() - start) * 1000


def _inference(trees: int) -> dict[str, float]:
    """CPU time of inferring the requirements of a forest: that of saving it, less the same with requirements given."""
    import holdfast.sklearn

    forest = RandomForestClassifier(trees, random_state=0).fit(DATA, TARGET)
    inferred = _cpu(lambda path: holdfast.sklearn.save_model(forest, path))
    given = _cpu(lambda path: holdfast.sklearn.save_model(forest, path, pip_requirements=["scikit-learn"]))
    return {"inference_cpu": inferred - given}


def _cpu(save: Callable[[Path], None]) -> float:
    taken = []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(8):
            start = time.process_time()
            save(Path(directory, str(number)))
            taken.append((time.process_time() - start) * 1000)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
