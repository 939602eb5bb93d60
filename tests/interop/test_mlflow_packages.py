"""Packages and signatures against the real MLflow, in another Python, which `make interop` makes."""

import json
import os
import runpy
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.interop.mlflow_python import MLFLOW_PYTHON, needs_mlflow

import holdfast.pyfunc
import holdfast.sklearn

HERE = Path(__file__).parent
CASES = HERE.parent / "client" / "models"

pytestmark = [pytest.mark.slow, needs_mlflow]


def mlflow(command, argument):
    run = subprocess.run(
        [MLFLOW_PYTHON, str(HERE / "mlflow_side.py"), command, str(argument)],
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=170,
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
