"""Models to be served, and real servers for them."""

import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier
from tests.client.serving.model_server import model_server

import holdfast.sklearn
from holdfast.models import infer_signature


@pytest.fixture(scope="session")
def iris_model(tmp_path_factory):
    """The package of a small classifier with a signature and an example."""
    path = tmp_path_factory.mktemp("packages") / "iris"
    data, target = load_iris(return_X_y=True, as_frame=True)
    data.columns = ["a", "b", "c", "d"]
    model = DecisionTreeClassifier(random_state=0).fit(data, target)
    holdfast.sklearn.save_model(
        model,
        path,
        signature=infer_signature(data, model.predict(data)),
        input_example=data.iloc[[0, 60, 120]],
        pip_requirements=["scikit-learn"],
    )
    return path


@pytest.fixture(scope="module")
def iris_server(iris_model):
    """A server of it."""
    with model_server("-m", str(iris_model), "--max-request-size", "20KiB", "--request-timeout", "30") as server:
        yield server
