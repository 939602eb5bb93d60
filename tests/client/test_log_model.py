"""log_model against a real server: what becomes visible, and what does not."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

import holdfast
import holdfast.sklearn
from holdfast.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from holdfast.models import ModelInfo, get_model_info

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def forest():
    return RandomForestClassifier(3, random_state=0).fit(X, Y)


def models_of(client, run):
    return client.search_logged_models(source_run_id=run.info.run_id)


def test_logged_model_is_ready_linked_to_its_run_and_loads_by_every_uri(fluent, forest, name):
    with holdfast.start_run() as run:
        holdfast.log_param("depth", 3)
        info = holdfast.sklearn.log_model(
            forest,
            name="forest",
            input_example=X[:2],
            params={"trees": 3},
            tags={"team": "iris"},
            model_type="classifier",
            metadata={"note": "x"},
            step=7,
            registered_model_name=name,
        )
    assert isinstance(info, ModelInfo)
    assert info.model_uri == f"models:/{info.model_id}"
    assert info.model_uuid == info.model_id
    assert (info.name, info.run_id, info.step) == ("forest", run.info.run_id, 7)
    assert info.registered_model_version == "1"
    assert info.params == {"trees": "3", "depth": "3"}
    assert info.tags["team"] == "iris"
    assert info.model_type == "classifier"
    assert info.metadata == {"note": "x"}
    model = fluent.get_logged_model(info.model_id)
    assert model.status == "READY"
    outputs = fluent.get_run(run.info.run_id).outputs.model_outputs
    assert [(output.model_id, output.step) for output in outputs] == [(info.model_id, 7)]
    for uri in (info.model_uri, f"runs:/{run.info.run_id}/forest", f"models:/{name}/1"):
        assert (holdfast.sklearn.load_model(uri).predict(X) == forest.predict(X)).all()
        assert (holdfast.pyfunc.load_model(uri).predict(X) == forest.predict(X)).all()
        assert get_model_info(uri).model_id == info.model_id
        assert get_model_info(uri).params == info.params


def test_download_directory_stays_when_it_is_named(fluent, forest, tmp_path):
    info = holdfast.sklearn.log_model(forest, name="forest")
    before = set(tmp_path.iterdir())
    (tmp_path / "here").mkdir()
    holdfast.sklearn.load_model(info.model_uri, dst_path=tmp_path / "here")
    assert list((tmp_path / "here").rglob("MLmodel"))
    assert set(tmp_path.iterdir()) - before == {tmp_path / "here"}


def test_without_an_active_run_one_is_started(fluent, forest):
    assert holdfast.active_run() is None
    info = holdfast.sklearn.log_model(forest, name="forest")
    assert holdfast.active_run().info.run_id == info.run_id


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        pytest.param({"name": "a/b"}, InvalidArgumentError, "name 'a/b'", id="slash in name"),
        pytest.param({"name": ""}, InvalidArgumentError, "non-empty", id="empty name"),
        pytest.param({"name": "a", "artifact_path": "b"}, InvalidArgumentError, "not both", id="two names"),
        pytest.param({"registered_model_name": "a/b"}, InvalidArgumentError, "registered model name", id="registered"),
        pytest.param(
            {"serialization_format": "joblib"}, InvalidArgumentError, "cloudpickle, pickle, skops", id="format"
        ),
        pytest.param({"model_id": "m-" + "0" * 32}, NotFoundError, "m-0000", id="unknown model"),
        pytest.param({"code_paths": ["nowhere"]}, FileNotFoundError, "nowhere", id="missing code"),
        pytest.param({"extra_files": ["nowhere"]}, FileNotFoundError, "nowhere", id="missing file"),
        pytest.param({"input_example": {1}}, InvalidArgumentError, "input example", id="example"),
        pytest.param({"step": "1"}, InvalidArgumentError, "step", id="step"),
        pytest.param({"nmae": "a"}, TypeError, "unexpected keyword argument 'nmae'", id="unknown keyword"),
    ],
)
def test_bad_argument_is_refused_before_anything_is_sent(fluent, forest, options, error, rule):
    with holdfast.start_run() as run:
        with pytest.raises(error, match=rule):
            holdfast.sklearn.log_model(forest, **options)
        assert models_of(fluent, run) == []


def test_model_that_cannot_be_saved_is_failed_and_says_why(fluent):
    class Unpicklable:
        def predict(self, data):
            return data

        def __reduce__(self):
            raise pickle.PicklingError("it holds a socket")

    with holdfast.start_run() as run, pytest.raises(InvalidArgumentError, match="it holds a socket"):
        holdfast.sklearn.log_model(Unpicklable(), name="bad")
    (model,) = models_of(fluent, run)
    assert model.status == "FAILED"
    assert "it holds a socket" in model.status_message


def test_untrusted_type_is_listed(fluent, forest):
    with holdfast.start_run(), pytest.raises(InvalidArgumentError, match=r"sklearn\.tree\._tree\.Tree"):
        holdfast.sklearn.log_model(forest, name="forest", serialization_format="skops")


def test_model_created_earlier_is_written_once(fluent, forest):
    with holdfast.start_run() as run:
        model = fluent.create_logged_model(run.info.experiment_id, name="early", params={"a": "1"})
        info = holdfast.sklearn.log_model(forest, model_id=model.model_id, params={"b": 2}, tags={"t": "u"})
        assert (info.model_id, info.name) == (model.model_id, "early")
        assert info.params == {"a": "1", "b": "2"}
        assert info.tags["t"] == "u"
        with pytest.raises(FailedPreconditionError, match="only a PENDING model"):
            holdfast.sklearn.log_model(forest, model_id=model.model_id)
    assert fluent.get_logged_model(model.model_id).status == "READY"


def test_artifact_path_is_deprecated(fluent, forest):
    with holdfast.start_run(), pytest.warns(DeprecationWarning, match="use name instead") as caught:
        assert holdfast.sklearn.log_model(forest, "old").name == "old"
    assert Path(caught[0].filename).samefile(__file__)


def test_model_without_the_served_method_has_no_pyfunc_flavor(fluent):
    with holdfast.start_run(), pytest.warns(UserWarning, match="no method 'predict'"):
        info = holdfast.sklearn.log_model(StandardScaler().fit(X), name="scaler")
    assert set(info.flavors) == {"sklearn"}
    assert np.allclose(holdfast.sklearn.load_model(info.model_uri).mean_, X.mean(axis=0))


def test_each_registration_is_a_new_version(fluent, forest, name):
    with holdfast.start_run():
        versions = [
            holdfast.sklearn.log_model(forest, name="f", registered_model_name=name).registered_model_version
            for _ in range(2)
        ]
    assert versions == ["1", "2"]


def test_any_number_of_tags_reaches_model_and_version(fluent, forest, name):
    tags = {f"t{number:03}": str(number) for number in range(230)}
    with holdfast.start_run():
        info = holdfast.sklearn.log_model(forest, name="forest", tags=tags, registered_model_name=name)
    assert info.registered_model_version == "1"
    assert fluent.get_model_version(name, 1).tags == tags


def test_tags_too_large_for_a_version_are_refused_before_a_model_exists(fluent, forest, name):
    tags = {f"t{number}": "x" * 90_000 for number in range(6)}
    with holdfast.start_run() as run:
        with pytest.raises(InvalidArgumentError, match="registered_model_name") as caught:
            holdfast.sklearn.log_model(forest, name="forest", tags=tags, registered_model_name=name)
        assert caught.value.reason == "LIMIT_EXCEEDED"
        assert models_of(fluent, run) == []
        info = holdfast.sklearn.log_model(forest, name="forest", tags=tags)
    assert info.tags == tags


def test_being_refused_by_an_open_model_leaves_it_open(fluent, forest):
    with holdfast.start_run() as run:
        model = fluent.create_logged_model(run.info.experiment_id, params={"a": 1})
        with pytest.raises(InvalidArgumentError):
            holdfast.sklearn.log_model(forest, model_id=model.model_id, params={"a": 2})
        assert fluent.get_logged_model(model.model_id).status == "PENDING"
        holdfast.sklearn.log_model(forest, model_id=model.model_id, params={"a": 1})
    assert fluent.get_logged_model(model.model_id).status == "READY"


def test_a_package_whose_model_the_server_does_not_know_is_described_by_itself(fluent, forest, tmp_path):
    with holdfast.start_run() as run:
        info = holdfast.sklearn.log_model(forest, name="forest")
        path = fluent.download_artifacts(artifact_uri=info.model_uri, dst_path=tmp_path / "copy")
        holdfast.log_artifacts(path, "copy")
        fluent.delete_logged_model(info.model_id)
    uri = f"runs:/{run.info.run_id}/copy"
    found = get_model_info(uri)
    assert (found.model_uri, found.model_id, found.tags) == (uri, info.model_id, None)


def test_a_step_may_be_numpy_s(fluent, forest):
    with holdfast.start_run():
        info = holdfast.sklearn.log_model(forest, name="forest", step=np.int64(3))
        assert info.step == 3
        for step in (1.5, "1", True, 2**63):
            with pytest.raises(InvalidArgumentError, match="step must be an integer"):
                holdfast.sklearn.log_model(forest, name="forest", step=step)


def test_a_model_without_params_in_its_signature_is_given_none(forest):
    given = []

    class Served:
        def call(self, method, data, params):
            given.append(params)

    class Metadata:
        signature = None

    holdfast.pyfunc.PyFuncModel(Metadata(), Served(), "predict").predict(X)
    assert given == [None]
