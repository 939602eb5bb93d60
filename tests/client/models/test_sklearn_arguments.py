"""What saving a scikit-learn model refuses or warns of, and that nothing is left of it."""

import subprocess
import sys
import textwrap

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tests.client.models.iris import TREE, X, Y

import holdfast.lightgbm
import holdfast.models
import holdfast.pyfunc
import holdfast.sklearn
from holdfast.errors import AlreadyExistsError, InvalidArgumentError
from holdfast.models import MLmodel


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        pytest.param(
            {"serialization_format": "joblib"}, InvalidArgumentError, "cloudpickle, pickle, skops", id="format"
        ),
        pytest.param({"signature": "x"}, InvalidArgumentError, "must be a ModelSignature", id="signature"),
        pytest.param({"metadata": {"a": object()}}, InvalidArgumentError, "Only strings", id="metadata"),
        pytest.param({"metadata": [1]}, InvalidArgumentError, "must be a dictionary", id="metadata no dict"),
        pytest.param({"input_example": {1}}, InvalidArgumentError, "not set", id="example"),
        pytest.param({"code_paths": ["nowhere.py"]}, FileNotFoundError, "code_paths names 'nowhere.py'", id="code"),
        pytest.param({"code_paths": "x.py"}, InvalidArgumentError, "must be a list", id="code no list"),
        pytest.param({"extra_files": ["nowhere"]}, FileNotFoundError, "extra_files", id="extra"),
        pytest.param({"conda_env": "nowhere.yaml"}, FileNotFoundError, "does not exist", id="conda"),
        pytest.param({"conda_env": [1]}, InvalidArgumentError, "must be a mapping", id="conda no mapping"),
        pytest.param({"pip_requirements": "nowhere.txt"}, FileNotFoundError, "nowhere.txt", id="requirements"),
        pytest.param({"pip_requirements": [1]}, InvalidArgumentError, "requirement strings", id="requirement type"),
        pytest.param(
            {"pip_requirements": ["a"], "extra_pip_requirements": ["b"]},
            InvalidArgumentError,
            "at most one",
            id="two environments",
        ),
        pytest.param({"skops_trusted_types": TREE}, InvalidArgumentError, "must be a list", id="trusted no list"),
        pytest.param({"skops_trusted_types": 5}, InvalidArgumentError, "types must be a list", id="trusted number"),
        pytest.param({"skops_trusted_types": [int]}, InvalidArgumentError, "skops_trusted_types", id="trusted class"),
        pytest.param({"code_paths": [None]}, InvalidArgumentError, "code_paths must be a list", id="code none"),
        pytest.param({"extra_files": [b"x"]}, InvalidArgumentError, "extra_files must be a list", id="extra bytes"),
        pytest.param({"pip_requirements": "/"}, InvalidArgumentError, "^pip_requirements .* directory", id="directory"),
        pytest.param(
            {"extra_pip_requirements": ["-r /"]}, InvalidArgumentError, "is a directory", id="directory in a line"
        ),
        pytest.param({"sk_model": None}, InvalidArgumentError, "sk_model must be an estimator", id="no model"),
        pytest.param(
            {"sk_model": RandomForestClassifier}, InvalidArgumentError, "class RandomForestClassifier", id="class"
        ),
        pytest.param({"serialisation": "x"}, TypeError, "serialisation", id="unknown keyword"),
    ],
)
def test_bad_argument_is_refused_and_leaves_nothing(forest, path, options, error, rule):
    with pytest.raises(error, match=rule):
        holdfast.sklearn.save_model(**{"sk_model": forest, "path": path, **options})
    assert list(path.parent.iterdir()) == []


def test_an_attribute_that_cannot_be_called_is_no_method_to_serve(forest, path):
    with pytest.warns(UserWarning, match="no method 'n_estimators'"):
        holdfast.sklearn.save_model(forest, path, pyfunc_predict_fn="n_estimators")
    assert set(MLmodel.load(path).flavors) == {"sklearn"}


@pytest.mark.parametrize("serialization_format", ["pickle", "cloudpickle"])
def test_types_for_skops_are_warned_about_where_a_pickle_is_written(forest, path, serialization_format):
    with pytest.warns(UserWarning, match="skops_trusted_types has no effect"):
        holdfast.sklearn.save_model(forest, path, serialization_format=serialization_format, skops_trusted_types=[TREE])


@pytest.mark.parametrize(
    "call",
    [holdfast.sklearn.load_model, holdfast.pyfunc.load_model, holdfast.lightgbm.load_model,
     holdfast.models.get_model_info, holdfast.models.inspect_model],
    ids=lambda call: f"{call.__module__}.{call.__name__}",
)  # fmt: skip
@pytest.mark.parametrize("uri", [None, "", 5])
def test_what_is_no_uri_of_a_model_is_refused_by_name(call, uri):
    with pytest.raises(InvalidArgumentError, match="model_uri must be"):
        call(uri)


def test_types_that_are_no_names_are_refused_when_loading(forest, path):
    holdfast.sklearn.save_model(forest, path, serialization_format="skops", skops_trusted_types=[TREE])
    with pytest.raises(InvalidArgumentError, match="skops_trusted_types"):
        holdfast.sklearn.load_model(path, skops_trusted_types=[int])


def test_two_code_paths_of_one_name_are_refused(forest, path, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").touch()
    with pytest.raises(InvalidArgumentError, match=r"both become 'helper\.py'"):
        holdfast.sklearn.save_model(forest, path, code_paths=[tmp_path / "one/helper.py", tmp_path / "two/helper.py"])


def test_broken_link_in_code_is_an_error_that_leaves_nothing(forest, path, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "link").symlink_to("nowhere")
    with pytest.raises(OSError, match="link"):
        holdfast.sklearn.save_model(forest, path, code_paths=[tmp_path / "code"])
    assert not path.exists()


def test_existing_directory_is_not_overwritten(forest, path):
    path.mkdir()
    holdfast.sklearn.save_model(forest, path)
    with pytest.raises(AlreadyExistsError, match="new or empty"):
        holdfast.sklearn.save_model(forest, path)


def test_what_pickle_cannot_take_is_an_error_that_names_cloudpickle(path):
    model = make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression(max_iter=500)).fit(X, Y)
    with pytest.raises(InvalidArgumentError, match="serialization_format='cloudpickle'"):
        holdfast.sklearn.save_model(model, path, serialization_format="pickle")
    with pytest.raises(InvalidArgumentError, match="cloudpickle"):
        holdfast.sklearn.save_model(model, path, serialization_format="skops")
    holdfast.sklearn.save_model(model, path)
    assert (holdfast.sklearn.load_model(path).predict(X) == model.predict(X)).all()


def test_pickled_class_of_the_main_program_is_warned_about(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import holdfast.sklearn
            class Mine:
                def predict(self, data): return data
            holdfast.sklearn.save_model(Mine(), {str(tmp_path / "model")!r}, serialization_format="pickle")
            """
        )
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert "other programs cannot load it" in " ".join(run.stderr.split())
