"""What autologging leaves behind is what MLflow's does, which tests/interop asks MLflow itself about."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pandas as pd
import pytest
import sklearn
from tests.autolog_rounding import rounded

import holdfast
import holdfast.sklearn

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "autolog_cases.json").read_text())
CASES = runpy.run_path(str(HERE / "autolog_cases.py"))["CASES"]
OBSERVE = runpy.run_path(str(HERE.parents[1] / "interop" / "autolog_observed.py"))["observe"]
SAME_VERSIONS = {"sklearn": sklearn.__version__, "pandas": pd.__version__} == GOLDEN["versions"]

# MLflow takes folds for trainings of their own when cross_val_score was imported before autologging was turned on.
GOLDEN["cases"]["cross validation"] = []

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")


@pytest.fixture(autouse=True)
def _off():
    yield
    holdfast.sklearn.autolog(disable=True)


def test_every_case_was_asked_of_mlflow():
    assert set(CASES) == set(GOLDEN["cases"])


@pytest.mark.parametrize("case", CASES)
def test_a_training_leaves_what_mlflow_s_does(case, fluent, name):
    settings, train = CASES[case]
    experiment_id = holdfast.set_experiment(f"{case} {name}").experiment_id
    holdfast.sklearn.autolog(**settings)
    train()
    runs = OBSERVE(fluent, experiment_id)
    golden = GOLDEN["cases"][case]
    if not SAME_VERSIONS:
        # Defaults, digests and last digits are of the libraries; names are not.
        runs, golden = map(_names, runs), map(_names, golden)
        assert list(runs) == list(golden)
        return
    assert rounded(runs) == rounded(golden)


def _names(run):
    models = [{"name": model["name"], "metrics": sorted(model["metrics"])} for model in run["models"]]
    kept = {"status": run["status"], "artifacts": run["artifacts"], "tags": run["tags"], "models": models}
    return kept | {"metrics": sorted(run["metrics"]), "children": [_names(child) for child in run["children"]]}
