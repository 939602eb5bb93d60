"""Model servers against the real MLflow, in another Python: set HOLDFAST_MLFLOW_PYTHON to one that has it."""

import json

import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier
from tests.client.serving.model_server import model_server
from tests.client.serving.test_scoring_protocol import ANSWERS, save_models
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
