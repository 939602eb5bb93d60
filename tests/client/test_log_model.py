"""log_model against a real server: what becomes visible, and what does not."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

import holdfast
import holdfast.sklearn
from holdfast.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from holdfast.models import ModelInfo, get_model_info, infer_signature
from holdfast.models._reader import open_package

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
        *(
            pytest.param({"name": f"a{sign}b"}, InvalidArgumentError, "name 'a.b'|name \"a.b\"", id=f"{sign} in name")
            for sign in "/:.%\"'"
        ),
        pytest.param({"name": 7}, InvalidArgumentError, "non-empty string", id="number as name"),
        pytest.param({"artifact_path": "a/b"}, InvalidArgumentError, "name 'a/b'", id="bad artifact path"),
        pytest.param({"signature": "x"}, InvalidArgumentError, "must be a ModelSignature", id="signature"),
        pytest.param({"signature": True}, InvalidArgumentError, "must be a ModelSignature", id="signature True"),
        pytest.param({"conda_env": "nowhere.yaml"}, FileNotFoundError, "nowhere", id="missing conda file"),
        pytest.param({"pip_requirements": "nowhere.txt"}, FileNotFoundError, "nowhere", id="missing requirements"),
        pytest.param({"extra_pip_requirements": [7]}, InvalidArgumentError, "requirement strings", id="extra type"),
        pytest.param(
            {"conda_env": {"dependencies": []}, "pip_requirements": ["a"]},
            InvalidArgumentError,
            "at most one of conda_env, pip_requirements, extra_pip_requirements",
            id="two environments",
        ),
        pytest.param({"code_paths": "a.py"}, InvalidArgumentError, "must be a list", id="code no list"),
        pytest.param({"extra_files": "a.txt"}, InvalidArgumentError, "must be a list", id="files no list"),
        pytest.param({"params": ["a"]}, InvalidArgumentError, "params must be a dictionary", id="params"),
        pytest.param({"params": {"k": "x" * 6_001}}, InvalidArgumentError, "6,?000", id="long param"),
        pytest.param({"tags": "a"}, InvalidArgumentError, "tags must be a dictionary", id="tags"),
        pytest.param({"model_type": 7}, InvalidArgumentError, "model_type|model type", id="model type"),
        pytest.param({"model_type": "x" * 501}, InvalidArgumentError, "500", id="long model type"),
        pytest.param({"metadata": [1]}, InvalidArgumentError, "must be a dictionary", id="metadata"),
        pytest.param({"metadata": {"a": object()}}, InvalidArgumentError, "Only strings", id="metadata values"),
        pytest.param({"model_id": "m-x"}, (InvalidArgumentError, NotFoundError), "m-x", id="malformed model id"),
        pytest.param({"await_registration_for": "soon"}, InvalidArgumentError, "await_registration_for", id="await"),
        pytest.param({"await_registration_for": -1}, InvalidArgumentError, "await_registration_for", id="negative"),
        pytest.param({"skops_trusted_types": "a.b"}, InvalidArgumentError, "must be a list", id="trusted no list"),
        pytest.param(
            {"serialization_format": "skops", "skops_trusted_types": [int]},
            InvalidArgumentError,
            "skops_trusted_types must be a list of names",
            id="trusted class",
        ),
        pytest.param({"sk_model": RandomForestClassifier}, InvalidArgumentError, "sk_model must be", id="class"),
        pytest.param({"registered_model_name": ""}, InvalidArgumentError, "registered model", id="no registered name"),
        pytest.param({"pyfunc_predict_fn": 7}, InvalidArgumentError, "pyfunc_predict_fn", id="predict function"),
        pytest.param({"nmae": "a"}, TypeError, "unexpected keyword argument 'nmae'", id="unknown keyword"),
    ],
)
def test_bad_argument_is_refused_before_anything_is_sent(fluent, forest, options, error, rule):
    with holdfast.start_run() as run:
        with pytest.raises(error, match=rule):
            holdfast.sklearn.log_model(**{"sk_model": forest, **options})
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


# Each argument, used as it is meant to be.


@pytest.mark.parametrize("serialization_format", ["cloudpickle", "pickle", "skops"])
def test_a_logged_model_of_each_format_predicts_the_same(fluent, forest, serialization_format):
    trusted = ["sklearn.tree._tree.Tree"] if serialization_format == "skops" else None
    with holdfast.start_run():
        info = holdfast.sklearn.log_model(
            forest, name="f", serialization_format=serialization_format, skops_trusted_types=trusted
        )
    assert info.flavors["sklearn"]["serialization_format"] == serialization_format
    assert info.flavors["sklearn"]["skops_trusted_types"] == trusted
    assert (holdfast.sklearn.load_model(info.model_uri).predict(X) == forest.predict(X)).all()


@pytest.mark.parametrize(
    ("example", "kind", "columns"),
    [
        pytest.param(X[:2], "ndarray", None, id="array"),
        pytest.param(pd.DataFrame(X[:2], columns=list("abcd")), "dataframe", list("abcd"), id="frame"),
        pytest.param([{"a": 1.0}, {"a": 2.0}], "json_object", ["a"], id="list"),
        pytest.param({name: [1.0, 2.0] for name in "abcd"}, "json_object", list("abcd"), id="dict"),
        pytest.param(sparse.csr_matrix(X[:2]), "sparse_matrix_csr", None, id="sparse"),
        pytest.param((X[:2], {"depth": 3}), "ndarray", None, id="with params"),
    ],
)
def test_an_example_of_each_kind_is_kept_and_gives_the_signature(fluent, example, kind, columns):
    class Rows(BaseEstimator):
        def predict(self, data, params=None):
            return np.zeros(2)

    with holdfast.start_run():
        info = holdfast.sklearn.log_model(Rows(), name="m", input_example=example)
    assert info.saved_input_example_info["type"] == kind
    assert info.signature is not None
    assert (info.signature.inputs.input_names() if columns else None) == columns
    assert ("depth" in str(info.signature.params)) is isinstance(example, tuple)
    with open_package(info.model_uri) as package:
        assert package.read(info.saved_input_example_info["artifact_path"])


def test_a_signature_is_kept_inferred_or_left_out(fluent, forest):
    given = infer_signature(X)
    with holdfast.start_run():
        infos = [
            holdfast.sklearn.log_model(forest, name="f", input_example=X[:1], signature=signature)
            for signature in (given, None, False)
        ]
        without = holdfast.sklearn.log_model(forest, name="f")
    assert infos[0].signature == given
    assert infos[1].signature.outputs is not None
    assert [info.signature for info in (infos[2], without)] == [None, None]
    assert get_model_info(infos[1].model_uri).signature == infos[1].signature


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"pip_requirements": ["scikit-learn", "x>=2"]}, ["scikit-learn", "x>=2"], id="list"),
        pytest.param({"pip_requirements": "<file>"}, ["a==1", "b", "-c constraints.txt"], id="file with -r and -c"),
        pytest.param({"extra_pip_requirements": ["x>=2"]}, [..., "x>=2"], id="extra"),
        pytest.param({"conda_env": {"dependencies": ["gcc", {"pip": ["y"]}]}}, ["y"], id="conda"),
        pytest.param({"conda_env": "<conda>"}, ["z"], id="conda file"),
    ],
)
def test_requirements_are_those_that_were_said(fluent, forest, tmp_path, options, expected):
    (tmp_path / "r.txt").write_text("a==1\n-r more.txt\n-c c.txt\n")
    (tmp_path / "more.txt").write_text("b\n")
    (tmp_path / "c.txt").write_text("numpy<99\n")
    (tmp_path / "conda.yaml").write_text("dependencies: [{pip: [z]}]\n")
    files = {"<file>": str(tmp_path / "r.txt"), "<conda>": tmp_path / "conda.yaml"}
    filled = {key: files[value] if isinstance(value, str) else value for key, value in options.items()}
    with holdfast.start_run():
        info = holdfast.sklearn.log_model(forest, name="f", **filled)
    with open_package(info.model_uri) as package:
        lines = package.read("requirements.txt").decode().splitlines()
    assert (lines[-1:] if expected[0] is ... else lines) == [line for line in expected if line is not ...]
    assert expected[0] is not ... or any(line.startswith("scikit-learn==") for line in lines)


def test_code_and_extra_files_also_of_a_server_come_along(fluent, forest, tmp_path):
    (tmp_path / "hf_logged.py").write_text("x = 1\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("hello")
    with holdfast.start_run() as run:
        holdfast.log_text("from the server", "there/b.txt")
        info = holdfast.sklearn.log_model(
            forest,
            name="f",
            code_paths=[tmp_path / "hf_logged.py"],
            extra_files=[tmp_path / "notes", f"runs:/{run.info.run_id}/there/b.txt"],
        )
    with open_package(info.model_uri) as package:
        assert package.read("code/hf_logged.py") == b"x = 1\n"
        assert package.read("extra_files/notes/a.txt") == b"hello"
        assert package.read("extra_files/b.txt") == b"from the server"
    assert [item["path"] for item in info.flavors["sklearn"]["extra_files"]] == [
        "extra_files/notes",
        "extra_files/b.txt",
    ]


def test_the_served_method_is_the_one_that_was_named(fluent, forest):
    with holdfast.start_run():
        info = holdfast.sklearn.log_model(forest, name="f", pyfunc_predict_fn="predict_proba")
    assert holdfast.pyfunc.load_model(info.model_uri).predict(X).shape == (150, 3)


@pytest.mark.parametrize("seconds", [0, None, 0.5, 300])
def test_registration_is_waited_for_as_long_as_was_said(fluent, forest, name, seconds):
    with holdfast.start_run():
        info = holdfast.sklearn.log_model(forest, name="f", registered_model_name=name, await_registration_for=seconds)
    assert fluent.get_model_version(name, info.registered_model_version).status == "READY"


def test_what_is_recorded_is_on_the_logged_model_and_in_the_package(fluent, forest):
    metadata = {"nested": {"list": [1, 2.5, None, True]}}
    with holdfast.start_run():
        info = holdfast.sklearn.log_model(
            forest, name="f", params={"depth": 3}, tags={"a": 1}, model_type="classifier", metadata=metadata, step=-2
        )
    metadata["nested"]["list"].append("later")
    model = fluent.get_logged_model(info.model_id)
    assert (model.params, model.tags, model.model_type) == ({"depth": "3"}, {"a": "1"}, "classifier")
    assert info.metadata == get_model_info(info.model_uri).metadata == {"nested": {"list": [1, 2.5, None, True]}}
    assert info.step == -2
