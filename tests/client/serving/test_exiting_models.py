"""Models that raise what is no `Exception`, as `sys.exit()` does: it is their error, and the server goes on."""

import asyncio
import threading

import grpc
import numpy as np
import pytest
from tests.client.serving.gated_models import make_exiting
from tests.client.serving.model_server import model_server

import holdfast.sklearn
from holdfast.models import infer_signature
from holdfast.serving.metrics import ServingMetrics
from holdfast.serving.predicting import Predictor
from holdfast.v1 import prediction_service_pb2 as service
from holdfast.v1.prediction_service_pb2_grpc import PredictionServiceStub

THREADS = 2
RAISED = {-1: "SystemExit: the model exits", -2: "KeyboardInterrupt", -3: "GeneratorExit"}


@pytest.fixture(scope="module", params=[1, 4], ids=["alone", "joined"])
def server(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("packages") / "exiting"
    holdfast.sklearn.save_model(
        make_exiting(), path, signature=infer_signature(np.zeros((2, 1))), pip_requirements=["scikit-learn"]
    )
    options = ["--threads", str(THREADS), "--batch-size", str(request.param), "--request-timeout", "30"]
    with model_server("-m", str(path), *options) as server:
        yield server


@pytest.mark.parametrize(("value", "text"), RAISED.items())
def test_over_http_it_is_the_models_error_however_often(server, value, text):
    for _ in range(2 * THREADS):
        status, answer = server.predict({"inputs": [[value]]})
        assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
        assert f"The model raised an error for this input: {text}" in answer["message"]
    assert server.predict({"inputs": [[7.0]]}) == (200, {"predictions": [7.0]})
    status, details = server.ready()
    assert (status, details["predicting_threads"]) == (200, THREADS)


def test_over_grpc_it_is_the_models_error_however_often(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = PredictionServiceStub(channel)
        for _ in range(2 * THREADS):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(service.PredictRequest(input={"json": '{"inputs": [[-1]]}'}), timeout=120)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "SystemExit: the model exits" in caught.value.details()
        answer = stub.Predict(service.PredictRequest(input={"json": '{"inputs": [[7.0]]}'}), timeout=120)
    assert answer.HasField("output")


def test_a_predictor_that_lost_a_thread_is_not_whole(monkeypatch):
    def lose(self):
        raise MemoryError

    monkeypatch.setattr(Predictor, "_work", lose)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    predictor = Predictor(None, ServingMetrics(), threads=1, max_waiting=1, batch_size=1, batch_wait=0)
    assert predictor.is_whole, "it has not begun"

    async def start():
        predictor.start()

    asyncio.run(start())
    for thread in predictor._threads:
        thread.join()
    assert not predictor.is_whole
