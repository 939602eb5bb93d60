"""Whose pickles are loaded on a server that knows its callers: with real tokens, over the wire."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from tests.client.conftest import ServerThread, forget_connection
from tests.client.test_access import GuardedServer

import holdfast
import holdfast.models
import holdfast.pyfunc
import holdfast.sklearn
from holdfast import _active_run, _connection
from holdfast._client import Client
from holdfast.errors import NotFoundError, UntrustedModelError

MODEL = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
Speaking = Callable[[str], contextlib.AbstractContextManager[Client]]


@pytest.fixture(scope="module")
def guarded() -> Iterator[GuardedServer]:
    folder = Path(tempfile.mkdtemp(prefix="hf"))
    server = GuardedServer(folder)
    yield server
    server.thread.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def owner(guarded: GuardedServer) -> Iterator[Client]:
    with Client(f"unix:{guarded.socket}") as client:
        yield client


@pytest.fixture(scope="module")
def secrets(owner: Client) -> dict[str, str]:
    """Tokens of some principals."""
    roles = {"ada": "write", "bob": "write", "kim": "none"}
    return {who: owner.create_token(who, new_principal_role=role).secret for who, role in roles.items()}


@pytest.fixture
def speaking_as(guarded: GuardedServer, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Speaking:
    """Lets the fluent functions speak as a principal, or by another token, for a block."""

    @contextlib.contextmanager
    def speaking(who: str) -> Iterator[Client]:
        with monkeypatch.context() as patched:
            forget_connection(patched)
            patched.setenv("HOLDFAST_URI", guarded.uri)
            patched.setenv("HOLDFAST_TOKEN", secrets.get(who, who))
            client = _connection.current_client()
            try:
                yield client
            finally:
                _active_run.end_all("FINISHED")
                client.close()

    return speaking


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (self.path,))


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A package that makes the directory ``exploded`` beside it when it is loaded."""
    package = tmp_path / "evil"
    holdfast.sklearn.save_model(MODEL, package)
    mlmodel = holdfast.models.MLmodel.load(package)
    mlmodel.digests = None
    mlmodel.save(package)
    (package / "model.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    return package


def test_what_one_logged_oneself_is_loaded_and_what_others_logged_is_not(speaking_as, name):
    with speaking_as("ada"), holdfast.start_run():
        info = holdfast.sklearn.log_model(MODEL, name="m", registered_model_name=name)
        uris = [info.model_uri, f"models:/{name}/1", f"runs:/{info.run_id}/m"]
        for uri in uris:
            assert holdfast.sklearn.load_model(uri).coef_.tolist() == MODEL.coef_.tolist()
    with speaking_as("bob"):
        for uri in uris:
            with pytest.raises(UntrustedModelError, match="logged by 'ada', not by 'bob'"):
                holdfast.sklearn.load_model(uri)


@pytest.mark.parametrize("who", ["bob", "a worker"])
@pytest.mark.parametrize("status", ["PENDING", "READY"])
def test_a_model_that_somebody_else_filled_is_not_loaded_as_one_s_own(speaking_as, evil, name, who, status):
    with speaking_as("ada") as ada, holdfast.start_run() as run:
        model = holdfast.initialize_logged_model("m")
        token = who if who == "bob" else ada.create_worker_token(run.info.run_id).secret
        with speaking_as(token) as other:
            other.log_model_artifacts(model.model_id, evil)
            if status == "READY":
                other.finalize_logged_model(model.model_id, "READY")
    with speaking_as("ada") as ada:
        assert ada.get_logged_model(model.model_id).principal is None
        uris = [model.model_uri]
        if status == "READY":
            ada.register_logged_model(name, model.model_id)
            uris += [f"models:/{name}/1", f"runs:/{run.info.run_id}/m"]
        for uri in uris:
            for load in (holdfast.sklearn.load_model, holdfast.pyfunc.load_model):
                with pytest.raises(UntrustedModelError, match=r"does not know .* written by more than one"):
                    load(uri)
        assert not (evil.parent / "exploded").exists()
        holdfast.sklearn.load_model(model.model_uri, allow_pickle=True)
    assert (evil.parent / "exploded").exists(), "it would have done harm"


def test_who_may_read_a_registered_model_alone_loads_versions_that_are_directories_of_runs(
    owner, speaking_as, name, tmp_path
):
    holdfast.sklearn.save_model(MODEL, tmp_path / "m", serialization_format="skops")
    with speaking_as("ada") as ada, holdfast.start_run() as run:
        holdfast.log_text("of nobody's business", "other.txt")
        holdfast.log_artifacts(tmp_path / "m", "in/model")
        ada.create_model_version(name, f"runs:/{run.info.run_id}/in/model", create_registered_model=True)
        ada.create_model_version(name, f"runs:/{run.info.run_id}/in", create_registered_model=True)
    owner.set_grant("kim", "read", registered_model=name)
    with speaking_as("kim") as kim:
        (tmp_path / "copy").mkdir()
        for uri, dst_path in (
            (f"models:/{name}/1", None),
            (f"models:/{name}/1", tmp_path / "copy"),
            (f"models:/{name}/2/model", None),
        ):
            assert holdfast.sklearn.load_model(uri, dst_path=dst_path).coef_.tolist() == MODEL.coef_.tolist()
        with pytest.raises(NotFoundError):
            kim.artifacts.read_bytes(f"runs:/{run.info.run_id}/other.txt")


def test_an_imported_model_is_not_loaded_as_the_importer_s_own(speaking_as, other, name, tmp_path):
    model = other.create_logged_model("0", "m")
    other.log_model_artifacts(model.model_id, _package(tmp_path))
    other.finalize_logged_model(model.model_id, "READY")
    other.register_logged_model(name, model.model_id)
    other.export_model_version(name, 1, tmp_path / "archive")
    with speaking_as("ada") as ada:
        version = ada.import_model_version(tmp_path / "archive")
        assert (version.principal, ada.get_logged_model(version.model_id).principal) == (None, None)
        with pytest.raises(UntrustedModelError, match=r"does not know .*imported"):
            holdfast.sklearn.load_model(f"models:/{name}/1")
        assert holdfast.sklearn.load_model(f"models:/{name}/1", allow_pickle=True)


def _package(folder: Path) -> Path:
    holdfast.sklearn.save_model(MODEL, folder / "package")
    return folder / "package"


def test_a_synced_model_is_not_loaded_as_the_own_of_who_synced_it(speaking_as, tmp_path, name):
    server = ServerThread(tmp_path / "source")
    try:
        with Client(server.uri) as source:
            experiment_id = source.create_experiment(name)
            model = source.create_logged_model(experiment_id, "m")
            source.log_model_artifacts(model.model_id, _package(tmp_path))
            source.finalize_logged_model(model.model_id, "READY")
        with speaking_as("ada") as ada:
            ada.sync_from(server.uri)
            assert ada.get_logged_model(model.model_id).principal is None
            with pytest.raises(UntrustedModelError, match="does not know"):
                holdfast.sklearn.load_model(model.model_uri)
            assert holdfast.sklearn.load_model(model.model_uri, allow_pickle=True)
    finally:
        server.stop()
