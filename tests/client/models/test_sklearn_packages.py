"""Saving and loading scikit-learn models in local packages."""

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import holdfast.lightgbm
import holdfast.models
import holdfast.pyfunc
import holdfast.sklearn
from holdfast.errors import AlreadyExistsError, DataLossError, InvalidArgumentError, NotFoundError
from holdfast.models import MLmodel, get_model_info, infer_signature

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"])


@pytest.fixture(scope="module")
def forest():
    return RandomForestClassifier(3, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def frame_forest():
    return RandomForestClassifier(3, random_state=0).fit(FRAME, Y)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"


TREE = "sklearn.tree._tree.Tree"


class Offset(BaseEstimator):
    """A type that skops has no reason to trust."""

    def __init__(self, by=1):
        self.by = by

    def predict(self, data):
        return data[:, 0] + self.by


OFFSET = f"{__name__}.Offset"


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


def flip_a_bit(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_flipped_bit_in_the_model_is_found_before_anything_is_unpickled(path, monkeypatch):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(path.parent / "exploded"),))

    holdfast.sklearn.save_model(LogisticRegression(), path)
    (path / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataLossError, match=r"model\.pkl is not the file that was saved"):
        holdfast.sklearn.load_model(path)
    assert not (path.parent / "exploded").exists()


def test_flipped_bit_in_packaged_code_is_found_before_it_is_imported(path, tmp_path):
    (tmp_path / "hf_helper_flipped.py").write_text("value = 11111\n")
    holdfast.sklearn.save_model(LogisticRegression(), path, code_paths=[tmp_path / "hf_helper_flipped.py"])
    flip_a_bit(path / "code" / "hf_helper_flipped.py")
    with pytest.raises(DataLossError, match="hf_helper_flipped"):
        holdfast.sklearn.load_model(path)


def test_packaged_code_is_imported_without_the_original_and_after_the_package_is_gone(path, tmp_path):
    package = tmp_path / "src" / "hf_helper_moved"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "def double(x):\n    from hf_helper_moved.late import factor\n    return x * factor\n"
    )
    (package / "late.py").write_text("factor = 2\n")
    script = textwrap.dedent(
        f"""
        import shutil, sys
        sys.path.insert(0, {str(tmp_path / "src")!r})
        import hf_helper_moved, holdfast.sklearn
        from sklearn.preprocessing import FunctionTransformer
        holdfast.sklearn.save_model(FunctionTransformer(hf_helper_moved.double), {str(path)!r},
                                    code_paths=[{str(package)!r}], pyfunc_predict_fn="transform")
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    load = textwrap.dedent(
        f"""
        import shutil, holdfast.pyfunc, numpy as np
        model = holdfast.pyfunc.load_model({str(path)!r})
        shutil.rmtree({str(path)!r})
        print(model.predict(np.array([[2.0]])).tolist())
        """
    )
    run = subprocess.run([sys.executable, "-c", load], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[[4.0]]"


@pytest.mark.parametrize("file", ["../secret.pkl", "/etc/hostname", "a\\b", "", None, 7])
def test_path_that_leads_out_of_the_package_is_refused(path, file):
    holdfast.sklearn.save_model(LogisticRegression(), path)
    (path.parent / "secret.pkl").write_bytes(pickle.dumps(1))
    model = MLmodel.load(path)
    model.flavors["sklearn"]["pickled_model"] = file
    model.digests = None
    model.save(path)
    with pytest.raises(InvalidArgumentError, match="not a path inside the package"):
        holdfast.sklearn.load_model(path)


def test_link_that_leads_out_of_the_package_is_refused(path):
    holdfast.sklearn.save_model(LogisticRegression(), path)
    (path.parent / "secret.pkl").write_bytes((path / "model.pkl").read_bytes())
    (path / "model.pkl").unlink()
    (path / "model.pkl").symlink_to(path.parent / "secret.pkl")
    with pytest.raises(InvalidArgumentError, match="not a path inside the package"):
        holdfast.sklearn.load_model(path)


def test_type_that_skops_does_not_trust_is_listed_and_nothing_is_saved(path):
    with pytest.raises(InvalidArgumentError, match=rf"does not trust: \['{OFFSET}'\]"):
        holdfast.sklearn.save_model(Offset(), path, serialization_format="skops")
    assert list(path.parent.iterdir()) == []


def test_skops_loads_types_named_in_the_call_or_recorded_in_the_package(path):
    with pytest.warns(UserWarning, match="no installed distribution"):
        holdfast.sklearn.save_model(Offset(by=2), path, serialization_format="skops", skops_trusted_types=[OFFSET])
    assert holdfast.sklearn.load_model(path).by == 2
    model = MLmodel.load(path)
    model.flavors["sklearn"]["skops_trusted_types"] = None
    model.save(path)
    with pytest.raises(InvalidArgumentError, match=OFFSET):
        holdfast.sklearn.load_model(path)
    assert holdfast.sklearn.load_model(path, skops_trusted_types=[OFFSET]).by == 2


def test_package_without_digests_loads_as_mlflow_wrote_it(forest, path):
    holdfast.sklearn.save_model(forest, path)
    model = MLmodel.load(path)
    model.digests = None
    model.save(path)
    assert holdfast.sklearn.load_model(path).n_estimators == 3


def test_other_loaders_and_missing_modules_say_what_to_do(path):
    holdfast.sklearn.save_model(LogisticRegression(), path)
    model = MLmodel.load(path)
    model.flavors["python_function"]["loader_module"] = "mlflow.pytorch"
    model.save(path)
    with pytest.raises(InvalidArgumentError, match=r"mlflow\.pytorch.*mlflow\.sklearn, mlflow\.lightgbm"):
        holdfast.pyfunc.load_model(path)


def test_module_that_is_not_installed_is_named(path, tmp_path, monkeypatch):
    (tmp_path / "hf_helper_gone.py").write_text("def same(x):\n    return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import hf_helper_gone

    with pytest.warns(UserWarning, match=r"\['hf_helper_gone'\].*code_paths"):
        holdfast.sklearn.save_model(FunctionTransformer(hf_helper_gone.same), path, pyfunc_predict_fn="transform")
    monkeypatch.delitem(sys.modules, "hf_helper_gone")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match=r"requirements\.txt lists"):
        holdfast.sklearn.load_model(path)


def test_other_version_of_python_is_warned_about(path):
    holdfast.sklearn.save_model(LogisticRegression().fit(X, Y > 0), path)
    model = MLmodel.load(path)
    model.flavors["python_function"]["python_version"] = "3.1.4"
    model.save(path)
    with pytest.warns(UserWarning, match=r"saved with Python 3\.1\.4"):
        holdfast.pyfunc.load_model(path)
    holdfast.pyfunc.load_model(path, suppress_warnings=True)


def test_loading_from_nowhere_is_an_error(tmp_path):
    with pytest.raises(NotFoundError, match="no model at"):
        holdfast.sklearn.load_model(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match="holds no model"):
        holdfast.sklearn.load_model(tmp_path)


def test_dst_path_receives_a_copy(forest, path, tmp_path):
    holdfast.sklearn.save_model(forest, path)
    (tmp_path / "copy").mkdir()
    holdfast.sklearn.load_model(path, dst_path=tmp_path / "copy")
    assert (tmp_path / "copy" / "MLmodel").read_bytes() == (path / "MLmodel").read_bytes()


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


def test_file_larger_than_a_block_is_digested_by_blocks(path):
    class Large(BaseEstimator):
        def __init__(self):
            self.data = np.arange(3 << 19, dtype="int64")  # 12 MiB

        def predict(self, data):
            return data

    holdfast.sklearn.save_model(Large(), path)
    assert holdfast.sklearn.load_model(path).data[-1] == (3 << 19) - 1
    flip_a_bit(path / "model.pkl")
    with pytest.raises(DataLossError):
        holdfast.sklearn.load_model(Path(path))
