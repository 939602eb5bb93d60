"""Packages and signatures against the real MLflow, in another Python, which `make interop` makes."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.autolog_rounding import rounded
from tests.interop.mlflow_python import MLFLOW_PYTHON, SECONDS, beside_mlflow

import holdfast
import holdfast.lightgbm
import holdfast.pyfunc
import holdfast.sklearn
from holdfast.models import get_model_info

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


FLAVORS = {"sklearn": holdfast.sklearn, "lightgbm": holdfast.lightgbm}


@pytest.fixture
def models():
    """The table of models; what its code defines is forgotten, so that it is found in packages only."""
    cases = runpy.run_path(str(HERE / "model_cases.py"))["MODELS"]
    yield cases
    sys.modules.pop("carried_estimator", None)


@pytest.mark.parametrize(("command", "name"), [("signatures", "signature_cases"), ("examples", "example_cases")])
def test_golden_files_are_what_mlflow_says_today(command, name):
    golden = json.loads((CASES / f"{name}.json").read_text())
    assert mlflow(command, CASES / f"{name}.py") == golden


@pytest.mark.timeout(1_000)
def test_mlflow_loads_and_serves_what_was_downloaded_from_holdfast_and_reads_all_its_fields(
    models, own_server, tmp_path
):
    for name, (flavor, model, options, _, _) in models.items():
        info = FLAVORS[flavor].log_model(model, name="model", **options)
        holdfast.artifacts.download_artifacts(artifact_uri=info.model_uri, dst_path=tmp_path / name)
        assert get_model_info(tmp_path / name).model_id == info.model_id
    for name, (flavor, model, options, _, _) in models.items():
        FLAVORS[flavor].save_model(model, tmp_path / f"{name}, saved", **options)
    told = mlflow("predict", tmp_path, timeout=900)
    answers = told["predictions"]
    for name, (_, model, options, data, method) in models.items():
        expected = getattr(model, method)(data)
        assert np.allclose(answers[name]["native"], expected), name
        if method == "transform":  # which MLflow's pyfunc does not have
            assert answers[name]["pyfunc"] is None, name
            continue
        assert np.allclose(answers[name]["pyfunc"], expected), name
        example = options.get("input_example")
        if example is None:
            assert answers[name]["served"] is None, name
            continue
        status, answer = answers[name]["served"]
        assert status == 200, name
        rows = example[0] if isinstance(example, tuple) else example
        assert np.allclose(answer["predictions"], getattr(model, method)(rows)), name
    for name in [*models, *(f"{name}, saved" for name in models)]:
        info = get_model_info(tmp_path / name)
        found = told["info"][name]
        assert (found["run_id"] is None) == name.endswith("saved"), name
        assert found == {
            "signature": info.signature_dict,
            **{key: getattr(info, key) for key in found if key != "signature"},
        }, name


def test_holdfast_loads_what_mlflow_saved(models, tmp_path):
    mlflow("save", tmp_path)
    for name, (flavor, model, options, _, _) in models.items():
        FLAVORS[flavor].save_model(model, tmp_path / f"{name} of Holdfast", **options)
    sys.modules.pop("carried_estimator", None)  # what loads has it from the package
    for name, (flavor, model, _, data, method) in models.items():
        expected = getattr(model, method)(data)
        native = FLAVORS[flavor].load_model(tmp_path / name)
        assert np.allclose(getattr(native, method)(data), expected), name
        assert np.allclose(holdfast.pyfunc.load_model(tmp_path / name).predict(data), expected), name
        theirs = get_model_info(tmp_path / name)
        ours = get_model_info(tmp_path / f"{name} of Holdfast")
        if method != "transform":  # which MLflow infers nothing from
            assert ours.signature_dict == theirs.signature_dict, name
        assert set(ours.flavors[flavor]) == set(theirs.flavors[flavor]), name


def python_cases(directory):
    """The Python models, as the main program of whoever saves them defines them."""
    return runpy.run_path(str(HERE / "python_cases.py"))["build"](holdfast.pyfunc, directory / "sources")


def test_mlflow_without_holdfast_loads_python_models_of_holdfast(tmp_path):
    for name, (options, _, _) in python_cases(tmp_path).items():
        holdfast.pyfunc.save_model(tmp_path / name, **options)
    answers = mlflow("predict_python", tmp_path)
    for name, (_, _, expected) in python_cases(tmp_path).items():
        assert answers[name] == expected, name


def test_holdfast_without_mlflow_loads_python_models_of_mlflow(tmp_path):
    mlflow("save_python", tmp_path)
    for name, (_, data, expected) in python_cases(tmp_path).items():
        answer = holdfast.pyfunc.load_model(tmp_path / name, suppress_warnings=True).predict(data)
        assert np.asarray(answer).tolist() == expected, name


@pytest.mark.timeout(1_500)
def test_what_autologging_leaves_behind_is_what_mlflow_leaves_today():
    golden = json.loads((CASES.parent / "sklearn" / "autolog_cases.json").read_text())
    answer = mlflow("autolog", CASES.parent / "sklearn" / "autolog_cases.py", timeout=1_400)
    assert answer["versions"] == golden["versions"]
    assert rounded(answer) == rounded(golden)
