"""`holdfast models serve` over its sockets: the protocol by curl, limits, health, metrics, workers and its end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest
from tests.client.serving.gated_models import make_gated
from tests.client.serving.model_server import ROW, model_server, refused, until

import holdfast.sklearn
from holdfast.models._mlmodel import FORMAT_VERSION


def curl(server, *arguments):
    """Status and body."""
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@needs_curl
@pytest.mark.parametrize(("path", "body"), [("ping", "\n"), ("health", "\n"), ("version", FORMAT_VERSION)])
def test_curl_is_told_that_the_server_is_well(iris_server, path, body):
    assert curl(iris_server, f"{iris_server.url}/{path}") == (200, body)


@needs_curl
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", json.dumps(ROW)),
        ("application/json", json.dumps({"inputs": [{"a": 5.1, "b": 3.5, "c": 1.4, "d": 0.2}]})),
        ("text/csv", "a,b,c,d\n5.1,3.5,1.4,0.2\n"),
    ],
)
def test_curl_gets_predictions(iris_server, kind, body):
    arguments = ["-H", f"Content-Type: {kind}", "--data-binary", body, f"{iris_server.url}/invocations"]
    assert curl(iris_server, *arguments) == (200, '{"predictions": [0]}')


@needs_curl
@pytest.mark.parametrize("transfer", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]])
def test_curl_is_told_that_a_request_is_too_large(iris_server, tmp_path, transfer):
    file = tmp_path / "large.json"
    file.write_text(json.dumps({"inputs": [0.5] * 200_000}))
    status, body = curl(
        iris_server, *transfer, "-H", "Content-Type: application/json", "--data-binary", f"@{file}",
        f"{iris_server.url}/invocations",
    )  # fmt: skip
    assert status == 413
    assert json.loads(body)["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert "20480" in body
    assert iris_server.predict(ROW) == (200, {"predictions": [0]})


def test_an_error_names_what_the_schema_expects(iris_server):
    status, error = iris_server.predict({"inputs": [{"a": 5.1, "b": 3.5, "c": 1.4}]})
    assert (status, error["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "['d']" in error["message"]
    assert "'d': double (required)" in error["message"]
    status, error = iris_server.predict({"dataframe_records": [{"a": "x", "b": 1, "c": 2, "d": 3}]})
    assert (status, error["error_code"]) == (400, "BAD_REQUEST")
    assert "'a'" in error["message"]
    assert "double" in error["message"]
    status, error = iris_server.predict({"rows": []})
    assert "dataframe_split, dataframe_records, instances, inputs" in error["message"]


@pytest.mark.parametrize("content_type", ["application/xml", "application/json; charset=latin-1", ""])
def test_other_content_types_are_415(iris_server, content_type):
    status, error = iris_server.predict(ROW, content_type=content_type)
    assert status == 415
    assert error.keys() == {"error_code", "message"}


def test_unknown_paths_and_methods_are_told_in_json(iris_server):
    status, _, text = iris_server.ask("/predict", ROW)
    assert (status, json.loads(text)["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    status, headers, text = iris_server.ask("/invocations")
    assert (status, headers["allow"]) == (405, "POST")
    assert "POST /invocations" in json.loads(text)["message"]


def test_openapi_has_the_models_columns_and_its_example(iris_server):
    document = json.loads(iris_server.ask("/openapi.json")[2])
    forms = {form["title"]: form for form in document["components"]["schemas"]["Request"]["oneOf"]}
    record = forms["dataframe_records"]["properties"]["dataframe_records"]["items"]
    assert record["required"] == ["a", "b", "c", "d"]
    assert record["properties"]["a"] == {"type": ["number", "null"], "format": "double"}
    predictions = document["components"]["schemas"]["Predictions"]["properties"]["predictions"]
    assert predictions == {"type": "array", "items": {"type": "integer"}}
    example = document["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert iris_server.predict(example) == (200, {"predictions": [0, 1, 2]})


def test_metrics_count_answers_by_their_status(iris_server):
    before = iris_server.metrics()
    iris_server.predict(ROW)
    iris_server.predict({})
    after = iris_server.metrics()
    for code in ("200", "400"):
        sample = f'holdfast_serving_requests_total{{code="{code}",protocol="http"}}'
        assert after[sample] == before.get(sample, 0) + 1
    assert after['holdfast_serving_request_seconds_count{protocol="http"}'] >= 2
    assert after["holdfast_serving_requests_in_progress"] == 0


def test_it_is_ready_with_its_model(iris_server, iris_model):
    status, details = iris_server.ready()
    assert (status, details["ready"], details["following"]) == (200, True, None)
    assert details["model"]["uri"] == str(iris_model)


def test_a_body_that_does_not_come_is_not_waited_for_beyond_the_limit(iris_model):
    with model_server("-m", str(iris_model), "--request-timeout", "5") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
            assert connection.recv(65536).startswith(b"HTTP/1.1 504 ")
        assert server.predict(ROW)[0] == 200


@pytest.fixture
def gated(tmp_path):
    """A model whose predictions for negative numbers wait for the file ``go``."""
    holdfast.sklearn.save_model(make_gated(str(tmp_path)), tmp_path / "model", signature=False, pip_requirements=["x"])
    return tmp_path


def wait_for(path):
    until(path.exists)


class Asking(threading.Thread):
    """A request in a thread of its own."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self._server, self._number = server, number
        self.answer = None
        self.start()

    def run(self):
        self.answer = self._server.predict({"inputs": [[self._number]]})


def test_health_is_answered_while_predictions_go_on(gated):
    with model_server("-m", str(gated / "model"), "--threads", "1") as server:
        asking = Asking(server, -1)
        wait_for(gated / "began-1")
        assert server.ask("/ping")[0] == 200
        assert server.ready()[0] == 200
        assert server.metrics()["holdfast_serving_requests_in_progress"] == 1
        (gated / "go").touch()
        asking.join(60)
        assert asking.answer == (200, {"predictions": [-1.0]})


def test_a_prediction_that_takes_too_long_is_504_and_what_waits_too_much_503(gated):
    arguments = ["--threads", "1", "--request-timeout", "10", "--max-waiting", "1"]
    with model_server("-m", str(gated / "model"), *arguments) as server:
        first = Asking(server, -1)
        wait_for(gated / "began-1")
        second = Asking(server, -2)
        until(lambda: server.metrics()["holdfast_serving_requests_in_progress"] == 2)
        status, error = server.predict({"inputs": [[1]]})
        assert (status, error["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        first.join(60)
        second.join(60)
        assert [asking.answer[0] for asking in (first, second)] == [504, 504]
        (gated / "go").touch()
        assert server.predict({"inputs": [[2]]}) == (200, {"predictions": [2.0]})
    assert not (gated / "began-2").exists(), "what had timed out was predicted all the same"


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_in_progress_is_answered_after_sigterm(gated, workers):
    with model_server("-m", str(gated / "model"), "--workers", str(workers), "--drain-timeout", "60") as server:
        asking = Asking(server, -1)
        wait_for(gated / "began-1")
        server.process.terminate()
        while True:  # until nobody listens any more
            try:
                socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
            except OSError:
                break
        (gated / "go").touch()
        asking.join(60)
        assert asking.answer == (200, {"predictions": [-1.0]})
        assert server.process.wait(60) == 0


def test_what_takes_longer_than_the_drain_is_told_so(gated):
    with model_server("-m", str(gated / "model"), "--drain-timeout", "1") as server:
        asking = Asking(server, -1)
        wait_for(gated / "began-1")
        assert server.stop() == 0
        asking.join(60)
        assert asking.answer[0] == 503


def test_ctrl_c_ends_it_as_well(iris_model):
    with model_server("-m", str(iris_model)) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0


def test_workers_answer_on_the_same_port_and_their_counts_are_added_up(iris_model):
    with model_server("-m", str(iris_model), "--workers", "2") as server:
        assert "2 workers" in server.line
        for _ in range(40):
            assert server.predict(ROW)[0] == 200
        metrics = server.metrics()
        assert metrics['holdfast_serving_requests_total{code="200",protocol="http"}'] == 40
        workers = [value for name, value in metrics.items() if name.startswith("holdfast_serving_workers{")]
        assert workers == [2]
        assert server.stop() == 0


def test_a_worker_that_dies_is_replaced(iris_model):
    with model_server("-m", str(iris_model), "--workers", "2") as server:
        victim = children(server)[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(children(server)) == 2 and victim not in children(server))
        until(lambda: server.metrics().get('holdfast_serving_workers{model_id="",name="",version=""}') == 2)
        assert any(f"worker {victim} ended with code -9" in line for line in server.lines)
        assert server.predict(ROW)[0] == 200


def children(server):
    found = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True, check=False)
    return list(map(int, found.stdout.split()))


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(iris_model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for workers in ("1", "2"):
            code, text = refused("-m", str(iris_model), "-p", str(port), "--workers", workers)
            assert code == 1
            assert f"Port {port} of 127.0.0.1 is in use" in text


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_model_that_is_not_there_is_told_in_one_line(tmp_path, workers):
    code, text = refused("-m", str(tmp_path / "nothing"), "-p", "0", "--workers", workers)
    assert code == 1
    assert "There is no model at" in text
    assert "Traceback" not in text


def test_a_model_that_does_not_answer_its_own_example_is_not_served(iris_model, tmp_path):
    package = tmp_path / "broken"
    shutil.copytree(iris_model, package)
    example = {"dataframe_split": {"columns": ["a"], "data": [[1]]}}
    (package / "serving_input_example.json").write_text(json.dumps(example))
    mlmodel = (package / "MLmodel").read_text()
    (package / "MLmodel").write_text(
        mlmodel[: mlmodel.index("holdfast:\n")] + mlmodel[mlmodel.index("holdfast_version") :]
    )
    code, text = refused("-m", str(package), "-p", "0")
    assert code == 1
    assert "does not answer its own input example" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--host", "0.0.0.0"], "not a loopback address", id="host"),
        pytest.param(["--follow"], "Only an alias can be followed", id="follow"),
        pytest.param(["--max-request-size", "large"], "a size is a number of bytes", id="size"),
        pytest.param(["--grpc-port", "70000"], "a port from 0 to 65535", id="grpc port"),
        pytest.param(["--env-manager", "conda"], "in the environment that it runs in", id="environment"),
    ],
)
def test_settings_that_cannot_be_are_told(iris_model, arguments, message):
    code, text = refused("-m", str(iris_model), *arguments)
    assert code != 0
    assert message in " ".join(text.split())
