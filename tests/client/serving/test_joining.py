"""Requests that are predicted together are answered as if each had been alone."""

import asyncio
import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.client.serving.asgi import call
from tests.client.serving.gated_models import make_counting

import holdfast.sklearn
from holdfast.serving.config import ServingConfig
from holdfast.serving.frames import NumberRows
from holdfast.serving.http_app import http_app
from holdfast.serving.joining import join, joining_key, row_count, split
from holdfast.serving.metrics import ServingMetrics
from holdfast.serving.model import Identity, load_served
from holdfast.serving.predicting import Predictor
from holdfast.serving.state import ServerState


def serve(model, **settings):
    """An application that joins; the caller starts the threads when all requests wait."""
    metrics = ServingMetrics()
    predictor = Predictor(model, metrics, threads=1, max_waiting=100, **{"batch_size": 8, "batch_wait": 0, **settings})
    return http_app(ServerState(ServingConfig(model_uri=""), "0", predictor, metrics)), predictor, metrics


async def ask_together(model, bodies, **settings):
    """The answers to requests that were all there when the thread began."""
    app, predictor, metrics = serve(model, **settings)
    predictor._loop = asyncio.get_running_loop()
    calls = [asyncio.ensure_future(call(app, json.dumps(body).encode(), "application/json")) for body in bodies]
    while len(predictor._pending) < len(bodies):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)
    predictor.start()
    try:
        return await asyncio.gather(*calls), metrics
    finally:
        predictor.stop()


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """A model that tells how many rows it was given."""
    path = tmp_path_factory.mktemp("counting") / "model"
    holdfast.sklearn.save_model(make_counting(), path, signature=False, pip_requirements=["x"])
    return load_served(Identity(str(path)))


def predictions(answers):
    return [answer["predictions"] for status, answer in answers if status == 200]


async def test_requests_are_joined_up_to_the_batch_size(counting):
    answers, metrics = await ask_together(counting, [{"inputs": [[row]]} for row in range(10)])
    assert predictions(answers) == [[[row, 8.0]] for row in range(8)] + [[[row, 2.0]] for row in (8, 9)]
    assert b"holdfast_serving_joined_requests_count 2.0" in metrics.text()


async def test_requests_of_several_rows_get_their_own(counting):
    answers, _ = await ask_together(counting, [{"inputs": [[1], [2]]}, {"inputs": [[3]]}, {"instances": [[4], [5]]}])
    assert predictions(answers) == [[[1, 5], [2, 5]], [[3, 5]], [[4, 5], [5, 5]]]


async def test_the_error_of_one_request_is_its_own(counting):
    bodies = [{"inputs": [[1]]}, {"inputs": [[-1]]}, {"rows": []}, {"inputs": [[2]]}]
    answers, _ = await ask_together(counting, bodies)
    assert [status for status, _ in answers] == [200, 400, 400, 200]
    assert predictions(answers) == [[[1, 1]], [[2, 1]]], "each was predicted alone"


async def test_only_requests_of_the_same_shape_are_joined(counting):
    bodies = [{"inputs": [[1, 0]]}, {"inputs": [[2]]}, {"inputs": [[3, 0]]}, {"inputs": [[4.5]]}]
    answers, _ = await ask_together(counting, bodies)
    assert predictions(answers) == [[[1, 2]], [[2, 1]], [[3, 2]], [[4.5, 1]]]


async def test_a_model_that_does_not_predict_by_row_is_not_joined(tmp_path):
    class Total:
        def predict(self, data):
            return float(np.sum(data))

    holdfast.sklearn.save_model(Total(), tmp_path / "m", signature=False, pip_requirements=["x"])
    model = load_served(Identity(str(tmp_path / "m")))
    answers, _ = await ask_together(model, [{"inputs": [[row], [row]]} for row in range(9)])
    assert predictions(answers) == [2.0 * row for row in range(9)]


# The worker hides this one: columns are compared with the signature's.
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
async def test_joined_rows_of_numbers_are_predicted_as_alone(iris_model):
    model = load_served(Identity(str(iris_model)))
    rows = [{"a": 5.1, "b": 3.5, "c": 1.4, "d": 0.2}, {"a": 5.0, "b": 2.0, "c": 3.5, "d": 1.0}]
    bodies = [{"dataframe_records": [row]} for row in rows] + [
        {"dataframe_split": {"columns": list("abcd"), "index": [7], "data": [list(rows[0].values())]}},
        {"dataframe_records": [{**rows[0], "a": "text"}]},
    ]
    answers, _ = await ask_together(model, bodies)
    assert [status for status, _ in answers] == [200, 200, 200, 400]
    assert predictions(answers) == [[0], [1], [0]]


INPUTS = [
    pytest.param(np.arange(6.0).reshape(3, 2), id="array"),
    pytest.param(pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]}), id="frame"),
    pytest.param({"p": np.arange(3), "q": np.zeros((3, 2))}, id="arrays"),
    pytest.param(NumberRows(np.ones((3, 2)), pd.Index(["a", "b"])), id="rows"),
]


@pytest.mark.parametrize("data", INPUTS)
def test_inputs_are_joined_by_row(data):
    assert joining_key(data, None) == joining_key(data, None) is not None
    assert joining_key(data, {"k": 1}) != joining_key(data, {"k": 2})
    assert row_count(join([data, data])) == 6


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pd.DataFrame({"a": [1]}, index=[7]), id="an index"),
        pytest.param(pd.DataFrame({"a": []}), id="no rows"),
        pytest.param({"p": np.arange(3), "q": np.arange(2)}, id="different lengths"),
        pytest.param([1, 2], id="a list"),
        pytest.param(np.array(5), id="one value"),
    ],
)
def test_inputs_that_have_no_rows_of_their_own_are_not_joined(data):
    assert joining_key(data, None) is None


@pytest.mark.parametrize(
    "predicted",
    [
        np.arange(3),
        np.ones((3, 2)),
        [1, 2, 3],
        pd.Series([1, 2, 3]),
        pd.DataFrame({"a": [1, 2, 3]}),
        sp.eye(3, format="csr"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_predictions_are_taken_apart_by_row(predicted):
    parts = split(predicted, [2, 1])
    assert [part.shape[0] if hasattr(part, "shape") else len(part) for part in parts] == [2, 1]
    assert split(predicted, [2, 2]) is None


@pytest.mark.parametrize("predicted", [None, "abc", {"a": [1, 2, 3]}, np.array(1)], ids=repr)
def test_predictions_without_rows_are_nobodys(predicted):
    assert split(predicted, [2, 1]) is None
