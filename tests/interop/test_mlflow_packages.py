"""Packages and signatures against the real MLflow, in another Python, which `make interop` makes."""

import json
import os
import runpy
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.interop.mlflow_python import MLFLOW_PYTHON, SECONDS, beside_mlflow

import holdfast.pyfunc
import holdfast.sklearn

HERE = Path(__file__).parent
CASES = HERE.parent / "client" / "models"

pytestmark = beside_mlflow


def mlflow(command, argument, timeout=SECONDS):
    run = subprocess.run(
        [MLFLOW_PYTHON, str(HERE / "mlflow_side.py"), command, str(argument)],
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=timeout,
    )
    return json.loads(run.stdout.decode().splitlines()[-1])


@pytest.fixture
def models():
    return runpy.run_path(str(HERE / "model_cases.py"))["MODELS"]


@pytest.mark.parametrize(("command", "name"), [("signatures", "signature_cases"), ("examples", "example_cases")])
def test_golden_files_are_what_mlflow_says_today(command, name):
    golden = json.loads((CASES / f"{name}.json").read_text())
    assert mlflow(command, CASES / f"{name}.py") == golden


def test_mlflow_loads_what_holdfast_saved(models, tmp_path):
    for name, (model, options, _) in models.items():
        holdfast.sklearn.save_model(model, tmp_path / name, **options)
    answers = mlflow("predict", tmp_path)
    for name, (model, _, data) in models.items():
        native, served = answers[name]
        assert np.allclose(native, model.predict(data)), name
        assert np.allclose(served, model.predict(data)), name


def test_holdfast_loads_what_mlflow_saved(models, tmp_path):
    mlflow("save", tmp_path)
    for name, (model, _, data) in models.items():
        assert np.allclose(holdfast.sklearn.load_model(tmp_path / name).predict(data), model.predict(data)), name
        assert np.allclose(holdfast.pyfunc.load_model(tmp_path / name).predict(data), model.predict(data)), name


@pytest.mark.timeout(1_500)
def test_what_autologging_leaves_behind_is_what_mlflow_leaves_today():
    golden = json.loads((CASES.parent / "sklearn" / "autolog_cases.json").read_text())
    answer = mlflow("autolog", CASES.parent / "sklearn" / "autolog_cases.py", timeout=1_400)
    assert answer["versions"] == golden["versions"]
    assert without_times(answer) == without_times(golden)


def without_times(value):
    if isinstance(value, dict):
        return {key: "a time" if key.endswith("_time") else without_times(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return pytest.approx(value, rel=1e-5, abs=1e-7) if isinstance(value, float) else value
