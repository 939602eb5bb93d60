"""Model servers against the real MLflow, in another Python: set HOLDFAST_MLFLOW_PYTHON to one that has it."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier
from tests.client.serving.model_server import model_server
from tests.client.serving.test_scoring_protocol import ANSWERS, save_models
from tests.interop.mlflow_python import MLFLOW_PYTHON
from tests.interop.test_mlflow_packages import mlflow, pytestmark  # noqa: F401 - skips without MLflow
from tests.ports import free_port

import holdfast
import holdfast.sklearn
from holdfast.models import infer_signature
from holdfast.models._mlmodel import FORMAT_VERSION


def test_the_answers_on_record_are_those_of_mlflow_today(tmp_path):
    save_models(tmp_path)
    answers = mlflow("score", tmp_path)
    assert json.dumps(answers) == json.dumps(ANSWERS)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_mlflows_own_client_is_answered(tmp_path, workers):
    data, target = load_iris(return_X_y=True, as_frame=True)
    data.columns = list("abcd")
    model = DecisionTreeClassifier(random_state=0).fit(data, target)
    holdfast.sklearn.save_model(
        model,
        tmp_path / "model",
        signature=infer_signature(data, model.predict(data)),
        pip_requirements=["scikit-learn"],
    )
    with model_server("-m", str(tmp_path / "model"), "--workers", workers) as server:
        answers = mlflow("ask", server.port)
    assert answers == {"version": FORMAT_VERSION, "frame": [0, 2], "records": [0, 2], "array refused": True}


# There is no JSON of a sparse matrix for a server to take, and MLflow's pyfunc knows no `transform` of a transformer.
SERVED = ["classifier", "regressor", "pipeline", "clusterer", "several outputs", "carried code"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SERVED)
def test_mlflow_serves_a_package_of_holdfast(name, own_server, tmp_path):
    cases = runpy.run_path(str(Path(__file__).with_name("model_cases.py")))["ESTIMATORS"]
    sys.modules.pop("carried_estimator", None)
    model, method, options, data, example = cases[name]
    info = holdfast.sklearn.log_model(model, name="model", input_example=example, **options)
    holdfast.artifacts.download_artifacts(artifact_uri=info.model_uri, dst_path=tmp_path / "model")
    request = (
        {"dataframe_split": data.to_dict("split", index=False)}
        if hasattr(data, "to_dict")
        else {"inputs": data.tolist()}
    )
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [
            *(MLFLOW_PYTHON, "-m", "mlflow", "models", "serve", "--env-manager", "local"),
            *("-m", str(tmp_path / "model"), "-h", "127.0.0.1", "-p", str(port)),
        ],
        env={
            **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true",
            "PATH": f"{Path(MLFLOW_PYTHON).parent}{os.pathsep}{os.environ['PATH']}",
        },
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not _answers(f"{address}/ping"):
            assert server.poll() is None
            time.sleep(0.5)
        asked = urllib.request.Request(
            f"{address}/invocations", json.dumps(request).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert np.allclose(json.load(answer)["predictions"], getattr(model, method)(data))
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except OSError:
        return False
