"""Model servers against the real MLflow, in another Python: set HOLDFAST_MLFLOW_PYTHON to one that has it."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier
from tests.client.serving.model_server import model_server
from tests.client.serving.test_scoring_protocol import ANSWERS, save_models
from tests.interop.mlflow_python import MLFLOW_PYTHON
from tests.interop.test_mlflow_packages import mlflow, pytestmark  # noqa: F401 - skips without MLflow

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


def test_mlflow_serves_a_package_of_holdfast(tmp_path):
    data, target = load_iris(return_X_y=True)
    model = DecisionTreeClassifier(random_state=0).fit(data, target)
    holdfast.sklearn.save_model(model, tmp_path / "model", input_example=data[:2])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
        request = urllib.request.Request(
            f"{address}/invocations",
            json.dumps({"inputs": data[::50].tolist()}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer) == {"predictions": model.predict(data[::50]).tolist()}
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except OSError:
        return False
