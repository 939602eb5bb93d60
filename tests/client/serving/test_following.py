"""`--follow`: promotions are taken over without a failed request, and bad versions not at all."""

import asyncio
import contextlib
import json
import threading

import grpc
import pytest
from benchmarks.clients.http_load import Load
from sklearn.dummy import DummyRegressor
from tests.client.conftest import ServerThread
from tests.client.serving.model_server import model_server, until

import holdfast.pyfunc
import holdfast.sklearn
from holdfast import _connection
from holdfast._client import Client
from holdfast.models import infer_signature
from holdfast.serving.model import Identity
from holdfast.v1 import prediction_service_pb2 as service
from holdfast.v1.prediction_service_pb2_grpc import PredictionServiceStub

EXAMPLE = [[0.0], [1.0]]
BODY = {"inputs": EXAMPLE}


def make_broken(how):
    """An estimator that is well until it is loaded."""

    class Broken:
        loaded = False

        def predict(self, data):
            if self.loaded:
                raise ValueError("predicts nothing any more")
            return [0.0 for _ in data]

        def __getstate__(self):
            return {"how": how}

        def __setstate__(self, state):
            if state["how"] == "load":
                raise RuntimeError("cannot be unpickled")
            if state["how"] == "exit":
                raise SystemExit("no license")
            if state["how"] == "hang":
                import threading

                threading.Event().wait()
            self.loaded = True

    return Broken()


def add_version(name, constant):
    """Log a model that predicts a constant, or is broken, as the next version."""
    if isinstance(constant, str):
        model = make_broken(constant)
    else:
        model = DummyRegressor(strategy="constant", constant=float(constant)).fit(EXAMPLE, [0, 1])
    import numpy as np

    example = np.array(EXAMPLE)
    return holdfast.sklearn.log_model(
        model,
        name="model",
        registered_model_name=name,
        signature=infer_signature(example, np.zeros(2)),
        input_example=example,
        pip_requirements=["scikit-learn"],
    )


@contextlib.contextmanager
def load_on(server, connections=8):
    """Requests all the time, from before the block's begin to after its end."""
    load = Load("127.0.0.1", server.port, json.dumps(BODY).encode())
    ended = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(load.run(connections, lambda: not ended.is_set())))
    thread.start()
    try:
        until(lambda: load.seconds)
        yield load
    finally:
        ended.set()
        thread.join(60)


def workers_with(server, version):
    """How many workers answer with a version."""
    counts = server.metrics().items()
    return sum(value for key, value in counts if "serving_workers{" in key and f'version="{version}"' in key)


@pytest.mark.parametrize("workers", [1, 2])
def test_promotions_under_load_fail_no_request(fluent, name, workers):
    for constant in (1, 2, "load", "example", 5):
        add_version(name, constant)
    fluent.set_registered_model_alias(name, "prod", 1)
    arguments = ["-m", f"models:/{name}@prod", "--follow", "--workers", str(workers)]
    with model_server(*arguments, uri=fluent.tracking_uri) as server:
        assert f"version 1 of {name}" in server.line
        with load_on(server) as load:
            fluent.set_registered_model_alias(name, "prod", 2)
            until(lambda: workers_with(server, 2) == workers)
            for bad, text in ((3, "cannot be unpickled"), (4, "does not answer its own input example")):
                fluent.set_registered_model_alias(name, "prod", bad)
                refused = 'holdfast_serving_swaps_total{result="refused"}'
                until(lambda: server.metrics().get(refused) == workers * (bad - 2))  # noqa: B023
                assert workers_with(server, 2) == workers
                status, details = server.ready()
                assert status == 200, "what answers is well"
                assert details["model"]["version"] == "2"
                assert details["following"]["refused"]["version"] == str(bad)
                assert text in details["following"]["refused"]["reason"]
                assert any(f"version {bad} is not taken over" in line and text in line for line in server.lines)
            assert server.predict(BODY) == (200, {"predictions": [2.0, 2.0]})
            fluent.set_registered_model_alias(name, "prod", 5)
            until(lambda: workers_with(server, 5) == workers)
            answered = len(load.seconds)
            until(lambda: len(load.seconds) > answered)
        assert load.broken == 0
        assert set(load.statuses) == {200}
        assert list(load.versions) == ["1", "2", "5"]
        assert server.predict(BODY) == (200, {"predictions": [5.0, 5.0]})
        until(lambda: any(f"version 2 of {name} answered its last request" in line for line in server.lines))
        with grpc.insecure_channel(server.grpc_address) as channel:
            model = PredictionServiceStub(channel).GetModel(service.GetModelRequest(), timeout=120)
        assert (model.name, model.version, model.alias) == (name, "5", "prod")


def test_a_restart_of_the_server_is_survived_and_the_end_of_the_model_told(tmp_path, monkeypatch):
    data = ServerThread(tmp_path / "data")
    monkeypatch.setenv("HOLDFAST_URI", data.uri)
    from tests.client.conftest import forget_connection

    forget_connection(monkeypatch)
    monkeypatch.setenv("HOLDFAST_URI", data.uri)
    name = "followed"
    for constant in (1, 2):
        add_version(name, constant)
    with Client(data.uri) as client:
        client.set_registered_model_alias(name, "prod", 1)
        with model_server("-m", f"models:/{name}@prod", "--follow", uri=data.uri) as server:
            data.stop()
            assert server.predict(BODY) == (200, {"predictions": [1.0, 1.0]})
            assert server.ready()[0] == 200, "the server is looked for"
            data = ServerThread(tmp_path / "data", f"127.0.0.1:{data.port}")
            client.set_registered_model_alias(name, "prod", 2)
            until(lambda: server.predict(BODY) == (200, {"predictions": [2.0, 2.0]}))
            client.delete_registered_model_alias(name, "prod")
            until(lambda: any("the alias prod was removed" in line for line in server.lines))
            assert server.ready()[0] == 200
            client.rename_registered_model(name, "renamed")
            client.set_registered_model_alias("renamed", "prod", 1)
            until(lambda: server.predict(BODY) == (200, {"predictions": [1.0, 1.0]}))
            assert server.ready()[1]["model"]["name"] == "renamed"
            client.delete_registered_model("renamed")
            _, details = until(lambda: (answer := server.ready())[0] == 503 and answer)
            assert "deleted" in details["following"]["problem"] or "renamed" in details["following"]["problem"]
            assert server.metrics()["holdfast_serving_watch_alive"] == 0
            assert server.predict(BODY) == (200, {"predictions": [1.0, 1.0]})
            assert server.stop() == 0
    # Otherwise the end of the run that logging began would wait in this process's journal for a server that is gone.
    holdfast.end_run()
    _connection.current_client().close()
    data.stop()


def make_unconnected():
    """A model that is well until its context is loaded."""

    class Unconnected(holdfast.pyfunc.PythonModel):
        def load_context(self, context):
            raise ConnectionRefusedError("the feature store is away")

        def predict(self, context, model_input, params=None):
            return [0.0]

    return Unconnected()


def test_a_connection_that_a_model_itself_misses_refuses_the_version(fluent, name):
    add_version(name, 1)
    holdfast.pyfunc.log_model(
        name="model", python_model=make_unconnected(), registered_model_name=name, pip_requirements=["cloudpickle"]
    )
    fluent.set_registered_model_alias(name, "prod", 1)
    with model_server("-m", f"models:/{name}@prod", "--follow", uri=fluent.tracking_uri) as server:
        fluent.set_registered_model_alias(name, "prod", 2)
        _, details = until(lambda: (answer := server.ready())[1]["following"]["refused"] and answer)
        assert details["following"]["refused"]["version"] == "2"
        assert "ConnectionRefusedError: the feature store is away" in details["following"]["refused"]["reason"]
        assert server.predict(BODY) == (200, {"predictions": [1.0, 1.0]})


def test_an_alias_that_names_nothing_is_told(fluent, name):
    from holdfast.errors import NotFoundError
    from holdfast.serving.resolving import alias_of, identify

    assert alias_of(f"models:/{name}@prod") == (name, "prod")
    with pytest.raises(NotFoundError):
        identify(fluent, f"models:/{name}@prod")
    assert identify(fluent, "models:/x/3") == Identity("models:/x/3", "x", "3")
    assert identify(fluent, "runs:/1/model") == Identity("runs:/1/model")


SCALE = """
def apply(data):
    import sys
    import numpy as np
    from hf_served_late import factor  # also when it predicts, each version its own

    assert not {"hf_served", "hf_served_late"} & set(sys.modules)
    assert not [path for path in sys.path if "holdfast-code" in path]
    return np.asarray(data) * factor()
"""


def add_version_with_code(name, factor, folder, monkeypatch):
    """Log a model whose modules have the same names in every version, and multiply by another factor."""
    import importlib
    import sys

    import numpy as np
    from sklearn.preprocessing import FunctionTransformer

    folder.mkdir()
    (folder / "hf_served.py").write_text(SCALE)
    (folder / "hf_served_late.py").write_text(f"def factor():\n    return {factor}\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        module = importlib.import_module("hf_served")
        holdfast.sklearn.log_model(
            FunctionTransformer(module.apply),
            name="model",
            registered_model_name=name,
            pyfunc_predict_fn="transform",
            code_paths=[folder / "hf_served.py", folder / "hf_served_late.py"],
            signature=infer_signature(np.array(EXAMPLE)),
            pip_requirements=["scikit-learn"],
        )
        del sys.modules["hf_served"]


def test_versions_with_modules_of_the_same_names_each_answer_by_their_own(fluent, name, tmp_path, monkeypatch):
    for factor in (10, 20):
        add_version_with_code(name, factor, tmp_path / str(factor), monkeypatch)
    fluent.set_registered_model_alias(name, "prod", 1)
    with model_server("-m", f"models:/{name}@prod", "--follow", uri=fluent.tracking_uri) as server:

        def answered_by(version):
            """Whether an answer came from this version; each version's answers are its own whenever they come."""
            status, headers, text = server.ask("/invocations", BODY)
            assert (status, json.loads(text)["predictions"][1]) == (
                200,
                [10.0 * int(headers["holdfast-model-version"])],
            )
            return headers["holdfast-model-version"] == version

        assert answered_by("1")
        for version in ("2", "1", "2"):
            fluent.set_registered_model_alias(name, "prod", version)
            until(lambda: answered_by(version))  # noqa: B023
        assert all(answered_by("2") for _ in range(5))


@pytest.mark.parametrize(
    ("how", "options", "reason"),
    [
        pytest.param("exit", [], "cannot be loaded: SystemExit: no license", id="ends the program"),
        pytest.param("hang", ["--load-timeout", "5"], "is not there after 5 s (--load-timeout)", id="never ends"),
    ],
)
def test_after_a_load_that_ends_otherwise_the_next_version_is_taken_over(fluent, name, how, options, reason):
    for constant in (1, how, 3):
        add_version(name, constant)
    fluent.set_registered_model_alias(name, "prod", 1)
    with model_server("-m", f"models:/{name}@prod", "--follow", *options, uri=fluent.tracking_uri) as server:
        fluent.set_registered_model_alias(name, "prod", 2)
        _, details = until(lambda: (answer := server.ready())[1]["following"]["refused"] and answer)
        assert details["following"]["refused"]["version"] == "2"
        assert reason in details["following"]["refused"]["reason"]
        until(lambda: any("version 2 is not taken over" in line and reason in line for line in server.lines))
        status, details = server.ready()
        assert (status, details["model"]["version"], details["following"]["alive"]) == (200, "1", True)
        assert server.predict(BODY) == (200, {"predictions": [1.0, 1.0]})
        fluent.set_registered_model_alias(name, "prod", 3)
        until(lambda: server.predict(BODY) == (200, {"predictions": [3.0, 3.0]}))
        assert server.ready()[1]["following"]["refused"] is None
        assert server.stop() == 0
