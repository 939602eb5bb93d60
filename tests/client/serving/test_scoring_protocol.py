"""Requests are read and answered as MLflow's scoring server does; scoring_answers.json is what that one says."""

import io
import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.client.serving.asgi import call

import holdfast.sklearn
from holdfast.models import ModelSignature
from holdfast.serving import decoding
from holdfast.serving.config import ServingConfig
from holdfast.serving.http_app import http_app
from holdfast.serving.metrics import ServingMetrics
from holdfast.serving.model import Identity, load_served
from holdfast.serving.predicting import Predictor
from holdfast.serving.state import ServerState

HERE = Path(__file__).parent
CASES = runpy.run_path(str(HERE / "scoring_cases.py"), run_name="scoring_cases")
ANSWERS = json.loads((HERE / "scoring_answers.json").read_text())


def save_models(directory):
    """Save all models there."""
    for name in CASES["MODELS"]:
        described = CASES["signature"](name)
        holdfast.sklearn.save_model(
            CASES["build"](name),
            directory / name,
            signature=ModelSignature.from_dict(described) if described else False,
            pip_requirements=["scikit-learn"],
        )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    save_models(directory)
    return {name: load_served(Identity(str(directory / name))) for name in CASES["MODELS"]}


async def answer_to(request, model):
    """What Holdfast answers."""
    _, kind, body = CASES["REQUESTS"][request]
    return await answer(model, kind, CASES["body_bytes"](body))


async def answer(model, kind, body, **settings):
    """What Holdfast answers to a body."""
    config = ServingConfig(model_uri="", **settings)
    metrics = ServingMetrics()
    predictor = Predictor(
        model, metrics, threads=1, max_waiting=10, batch_size=config.batch_size, batch_wait=config.batch_wait
    )
    predictor.start()
    state = ServerState(config, "0", predictor, metrics)
    try:
        return await call(http_app(state), body, kind)
    finally:
        predictor.stop()


# What is answered in another way, and why.
DIFFERENT = {
    **dict.fromkeys(
        ("params: none", "params: empty", "params: all", "params: null", "params: one is null",
         "params: an unknown one", "params: with instances", "params: with split"),
        "MLflow's scikit-learn flavor keeps parameters from estimators that take them",
    ),
    **dict.fromkeys(
        ("nested: records", "nested: inputs", "nested: optional left out", "nested: split"),
        "numbers inside nested values stay as JSON has them",
    ),
    "doubles: params as a list": "params that are no dictionary are an error for every model",
    "doubles: as APPLICATION/JSON": "media types are the same in capitals",
    "special: CSV": "MLflow cannot read times in CSV",
    "tensor: CSV": "MLflow cannot read tensors in CSV",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of pandas and numpy, about the odd data
@pytest.mark.parametrize("request_name", CASES["REQUESTS"])
async def test_a_request_is_answered_as_by_mlflow(request_name, models):
    answer = await answer_to(request_name, models[CASES["REQUESTS"][request_name][0]])
    # By their text, in which NaN equals itself.
    same = json.dumps(answer) == json.dumps(ANSWERS[request_name])
    assert same != (request_name in DIFFERENT), f"{answer}\nMLflow: {ANSWERS[request_name]}"


def test_answers_are_to_these_requests():
    assert list(ANSWERS) == list(CASES["REQUESTS"])
    assert DIFFERENT.keys() <= ANSWERS.keys()


async def test_times_and_tensors_are_read_from_csv(models):
    _, answer = await answer_to("special: CSV", models["special"])
    assert answer["predictions"]["data"]["t"] == ["datetime64[ns]", ["Timestamp 2026-01-02 00:00:00"]]
    _, answer = await answer_to("tensor: CSV", models["tensor"])
    assert answer["predictions"]["data"] == ["array", "float64", [1, 3], ["float 1.5", "float 2.0", "float 3.0"]]


async def test_parquet_is_read_and_what_unpacks_to_many_times_its_size_is_refused(models, monkeypatch):
    def parquet(rows):
        file = io.BytesIO()
        pd.DataFrame({name: np.zeros(rows) for name in "ab"}).to_parquet(file, index=False)
        return file.getvalue()

    kind = "application/vnd.apache.parquet"
    status, told = await answer(models["free"], kind, parquet(2))
    assert (status, told["predictions"]["data"]["a"]) == (200, ["float64", ["float 0.0", "float 0.0"]])
    assert await answer(models["free"], kind, b"PAR1 and more") == [400, "BAD_REQUEST"]
    monkeypatch.setattr(decoding, "_MAX_UNPACKED", 1 << 10)
    assert (await answer(models["free"], kind, parquet(100_000)))[0] == 413


async def test_parameters_reach_an_estimator_that_takes_them(models):
    _, answer = await answer_to("params: all", models["params"])
    assert answer["predictions"]["params"] == {"k": "int 2", "s": "str y", "t": ["list", ["float 1.0", "float 2.5"]]}
