"""LightGBM models in packages."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import holdfast
import holdfast.lightgbm
import holdfast.pyfunc
from holdfast.errors import DataLossError, InvalidArgumentError, UntrustedModelError
from holdfast.models import MLmodel, inspect_model

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=list("abcd"))


@pytest.fixture(scope="module")
def classifier():
    return lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(FRAME, Y)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("serialization_format", "file"),
    [(None, "model.skops"), ("skops", "model.skops"), ("cloudpickle", "model.pkl"), ("pickle", "model.pkl")],
)
def test_an_estimator_predicts_the_same_after_loading(classifier, path, serialization_format, file):
    holdfast.lightgbm.save_model(
        classifier, path, serialization_format=serialization_format, input_example=FRAME.head(2), metadata={"a": 1}
    )
    loaded = holdfast.lightgbm.load_model(path)
    assert isinstance(loaded, lightgbm.LGBMClassifier)
    assert np.array_equal(loaded.predict_proba(FRAME), classifier.predict_proba(FRAME))
    model = holdfast.pyfunc.load_model(path)
    assert np.array_equal(model.predict(FRAME[["d", "c", "b", "a"]]), classifier.predict(FRAME))
    config = MLmodel.load(path).flavor("lightgbm")
    assert config["data"] == file
    assert config["model_class"] == "lightgbm.sklearn.LGBMClassifier"
    assert config["lgb_version"] == lightgbm.__version__
    assert MLmodel.load(path).flavor("python_function")["data"] == file
    assert f"lightgbm=={lightgbm.__version__}" in (path / "requirements.txt").read_text().splitlines()


def test_a_booster_is_text_that_needs_no_trust(classifier, path):
    holdfast.lightgbm.save_model(classifier.booster_, path, input_example=X[:2])
    loaded = holdfast.lightgbm.load_model(path, allow_pickle=False)
    assert np.allclose(loaded.predict(X), classifier.booster_.predict(X))
    assert np.allclose(holdfast.pyfunc.load_model(path, allow_pickle=False).predict(X), loaded.predict(X))
    assert MLmodel.load(path).flavor("lightgbm")["data"] == "model.lgb"
    assert not inspect_model(path).problems


def test_types_that_the_package_trusts_are_believed_only_where_it_is_trusted(classifier, path):
    holdfast.lightgbm.save_model(classifier, path)
    with pytest.raises(InvalidArgumentError, match=r"lightgbm\.sklearn\.LGBMClassifier"):
        holdfast.lightgbm.load_model(path, allow_pickle=False)
    types = MLmodel.load(path).flavor("lightgbm")["skops_trusted_types"]
    assert holdfast.lightgbm.load_model(path, allow_pickle=False, skops_trusted_types=types).n_estimators == 3


def test_pickles_follow_the_rule_of_trust(classifier, path):
    holdfast.lightgbm.save_model(classifier, path, serialization_format="pickle")
    with pytest.raises(UntrustedModelError):
        holdfast.lightgbm.load_model(path, allow_pickle=False)


def test_a_damaged_booster_is_found(classifier, path):
    holdfast.lightgbm.save_model(classifier.booster_, path)
    (path / "model.lgb").write_text("nonsense")
    with pytest.raises(DataLossError):
        holdfast.lightgbm.load_model(path)
    model = MLmodel.load(path)
    model.digests = None
    model.save(path)
    with pytest.raises(InvalidArgumentError, match=r"model\.lgb is no LightGBM model"):
        holdfast.lightgbm.load_model(path)


def test_a_logged_model_loads_by_its_uri(fluent, classifier):
    with holdfast.start_run():
        info = holdfast.lightgbm.log_model(classifier, name="trees", input_example=FRAME.head(2), params={"a": 1})
    assert info.name == "trees"
    assert np.array_equal(holdfast.lightgbm.load_model(info.model_uri).predict(FRAME), classifier.predict(FRAME))
    assert np.array_equal(holdfast.pyfunc.load_model(info.model_uri).predict(FRAME), classifier.predict(FRAME))


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        ({"serialization_format": "joblib"}, InvalidArgumentError, "cloudpickle, pickle, skops"),
        ({"skops_trusted_types": "a.B"}, InvalidArgumentError, "a list"),
        ({"skops_trusted_types": [int]}, InvalidArgumentError, "skops_trusted_types"),
        ({"lgb_model": lightgbm.LGBMClassifier}, InvalidArgumentError, "the class LGBMClassifier"),
        ({"unknown": 1}, TypeError, "unknown"),
    ],
)
def test_bad_arguments_are_refused(classifier, path, options, error, rule):
    with pytest.raises(error, match=rule):
        holdfast.lightgbm.save_model(**{"lgb_model": classifier, "path": path, **options})


def test_what_cannot_predict_is_refused(path):
    with pytest.raises(InvalidArgumentError, match=r"lightgbm\.Booster or an estimator"):
        holdfast.lightgbm.save_model({}, path)
