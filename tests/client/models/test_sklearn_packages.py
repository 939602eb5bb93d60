"""Saving scikit-learn models in local packages, and what is in them."""

import os

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from tests.client.models.iris import FRAME, TREE, X

import holdfast.pyfunc
import holdfast.sklearn
from holdfast.errors import InvalidArgumentError, NotFoundError
from holdfast.models import MLmodel, get_model_info, infer_signature


@pytest.mark.parametrize(
    ("serialization_format", "file"), [("cloudpickle", "model.pkl"), ("pickle", "model.pkl"), ("skops", "model.skops")]
)
def test_saved_model_predicts_the_same_after_loading(forest, path, serialization_format, file):
    trusted = [TREE] if serialization_format == "skops" else None
    holdfast.sklearn.save_model(
        forest, path, serialization_format=serialization_format, skops_trusted_types=trusted, input_example=X[:2]
    )
    assert (holdfast.sklearn.load_model(path).predict(X) == forest.predict(X)).all()
    assert (holdfast.pyfunc.load_model(path).predict(X) == forest.predict(X)).all()
    assert holdfast.sklearn.load_model(path.as_uri()).n_estimators == 3
    config = MLmodel.load(path).flavor("sklearn")
    assert config == {
        "code": None,
        "pickled_model": file,
        "serialization_format": serialization_format,
        "sklearn_version": sklearn.__version__,
        "skops_trusted_types": trusted,
    }


def test_package_has_the_files_of_the_format_and_a_digest_of_each(forest, path, tmp_path):
    (tmp_path / "helper.py").write_text("x = 1\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("hello")
    holdfast.sklearn.save_model(
        forest,
        path,
        input_example=X[:2],
        code_paths=[tmp_path / "helper.py"],
        extra_files=[str(tmp_path / "notes")],
        metadata={"a": 1},
    )
    files = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert files == {
        "MLmodel",
        "code/helper.py",
        "conda.yaml",
        "extra_files/notes/a.txt",
        "input_example.json",
        "model.pkl",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    }
    model = MLmodel.load(path)
    assert set(model.digests) == files - {"MLmodel"}
    assert model.flavor("sklearn")["extra_files"] == [{"path": "extra_files/notes"}]
    pyfunc = model.flavor("python_function")
    assert pyfunc["loader_module"] == "mlflow.sklearn"
    assert (pyfunc["model_path"], pyfunc["code"], pyfunc["predict_fn"]) == ("model.pkl", "code", "predict")
    assert pyfunc["env"] == {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    assert list(path.parent.iterdir()) == [tmp_path / "helper.py", path, tmp_path / "notes"] or path.exists()
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == (tmp_path / "notes").stat().st_mode & 0o777


def test_signature_is_inferred_by_predicting_on_the_example(frame_forest, path):
    holdfast.sklearn.save_model(frame_forest, path, input_example=(FRAME.head(2), {"k": 1}))
    signature = get_model_info(path).signature
    assert signature == infer_signature(FRAME.head(2), pd.Series([0]), {"k": 1})
    model = holdfast.pyfunc.load_model(path)
    assert (model.predict(FRAME[["d", "c", "b", "a"]].assign(z=1)) == frame_forest.predict(FRAME)).all()
    with pytest.raises(InvalidArgumentError, match=r"\['d'\]"):
        model.predict(FRAME[["a", "b", "c"]])


def test_the_model_cannot_change_the_example(path):
    class Greedy(BaseEstimator):
        def predict(self, data):
            data[:] = 0
            return data[:, 0]

    example = np.ones((1, 2))
    holdfast.sklearn.save_model(Greedy(), path, input_example=example)
    assert example.tolist() == [[1.0, 1.0]]
    assert (path / "input_example.json").read_text() == "[[1.0, 1.0]]"


def test_signature_given_or_refused_is_not_inferred(forest, path, tmp_path):
    given = infer_signature(X)
    holdfast.sklearn.save_model(forest, path, input_example=X[:1], signature=given)
    assert get_model_info(path).signature == given
    holdfast.sklearn.save_model(forest, tmp_path / "none", input_example=X[:1], signature=False)
    assert get_model_info(tmp_path / "none").signature is None


def test_model_that_cannot_predict_on_the_example_is_saved_without_signature_and_with_a_warning(forest, path):
    with pytest.warns(UserWarning, match="predicting on the input example failed"):
        holdfast.sklearn.save_model(forest, path, input_example=np.zeros((1, 9)))
    assert get_model_info(path).signature is None
    assert get_model_info(path).saved_input_example_info["type"] == "ndarray"


def test_pyfunc_serves_the_method_it_was_told_to(forest, path):
    holdfast.sklearn.save_model(forest, path, pyfunc_predict_fn="predict_proba", input_example=X[:1])
    assert holdfast.pyfunc.load_model(path).predict(X).shape == (150, 3)
    assert "(-1, 3)" in repr(get_model_info(path).signature.outputs)


def test_estimator_without_the_method_gets_no_pyfunc_flavor_and_a_warning(path):
    scaler = StandardScaler().fit(X)
    with pytest.warns(UserWarning, match="no method 'predict'"):
        holdfast.sklearn.save_model(scaler, path)
    assert holdfast.sklearn.load_model(path).mean_.tolist() == scaler.mean_.tolist()
    with pytest.raises(NotFoundError, match="no flavor 'python_function'"):
        holdfast.pyfunc.load_model(path)


def test_parameters_reach_a_method_that_has_them(path):
    class Scaled(BaseEstimator):
        def predict(self, data, params=None):
            return data[:, 0] * params["by"]

    holdfast.sklearn.save_model(Scaled(), path, signature=infer_signature(X, params={"by": 2.0}))
    model = holdfast.pyfunc.load_model(path)
    assert model.predict(X[:1])[0] == X[0, 0] * 2
    assert model.predict(X[:1], params={"by": 3})[0] == X[0, 0] * 3


def test_model_info_of_a_saved_model_has_what_the_package_says(forest, path):
    holdfast.sklearn.save_model(forest, path, input_example=X[:1], metadata={"a": 1})
    info = get_model_info(path)
    assert info.model_uri == str(path)
    assert info.metadata == {"a": 1}
    assert info.signature_dict == info.signature.to_dict()
    assert info.saved_input_example_info["artifact_path"] == "input_example.json"
    assert set(info.flavors) == {"python_function", "sklearn"}
    assert info.model_id is None
    assert len(info.model_uuid) == 32
