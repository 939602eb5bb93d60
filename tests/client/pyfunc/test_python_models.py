"""Models in one's own words: objects, functions, and data with a loader."""

import json
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import holdfast
import holdfast.pyfunc
from holdfast.errors import DataLossError, InvalidArgumentError, NotFoundError, UntrustedModelError
from holdfast.models import MLmodel, get_model_info, infer_signature
from holdfast.models._trust import OWN
from holdfast.models._unpickle import load_object

# The models of this file are of a module that no distribution has.
pytestmark = pytest.mark.filterwarnings("ignore:The model refers to the modules:UserWarning")

X = np.arange(8.0).reshape(4, 2)


class Scaled(holdfast.pyfunc.PythonModel):
    def load_context(self, context):
        self.factor = float(Path(context.artifacts["factor"]).read_text())

    def predict(self, context, model_input, params=None):
        return np.asarray(model_input)[:, 0] * self.factor + (context.model_config or {}).get("offset", 0)


class WithoutContext(holdfast.pyfunc.PythonModel):
    def predict(self, model_input, params=None):
        return [f"{item}{(params or {}).get('end', '')}" for item in np.asarray(model_input).ravel()]


class Streaming(holdfast.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return list(self.predict_stream(context, model_input))

    def predict_stream(self, context, model_input):
        yield from np.asarray(model_input)[:, 0]


def total(model_input):
    return np.asarray(model_input).sum(axis=1)


def shouted(model_input: list[str]) -> list[str]:
    return [text.upper() for text in model_input]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"


@pytest.fixture
def factor(tmp_path):
    file = tmp_path / "factor.txt"
    file.write_text("3")
    return file


def save(path, python_model, **options):
    holdfast.pyfunc.save_model(path, python_model=python_model, **options)
    return holdfast.pyfunc.load_model(path)


def test_an_object_finds_its_artifacts_and_configuration(path, factor):
    model = save(path, Scaled(), artifacts={"factor": factor}, model_config={"offset": 1}, input_example=X)
    assert model.predict(X).tolist() == [1, 7, 13, 19]
    assert model.unwrap_python_model().factor == 3
    assert model.signature == infer_signature(X, X[:, 0])
    changed = holdfast.pyfunc.load_model(path, model_config={"offset": 2})
    assert changed.predict(X).tolist() == [2, 8, 14, 20]
    with pytest.warns(UserWarning, match=r"no configuration named \['other'\]"):
        assert holdfast.pyfunc.load_model(path, model_config={"other": 2}).predict(X)[0] == 1


def test_the_package_is_mlflows_own_format(path, factor, tmp_path):
    (tmp_path / "code.py").write_text("x = 1\n")
    save(path, Scaled(), artifacts={"factor": factor}, model_config={"offset": 1}, code_paths=[tmp_path / "code.py"])
    model = MLmodel.load(path)
    assert set(model.flavors) == {"python_function"}
    config = model.flavor("python_function")
    import cloudpickle

    assert config["loader_module"] == "mlflow.pyfunc.model"
    assert config["python_model"] == "python_model.pkl"
    assert config["cloudpickle_version"] == cloudpickle.__version__
    assert config["artifacts"] == {"factor": {"path": "artifacts/factor.txt", "uri": str(factor)}}
    assert config["code"] == "code"
    assert config["config"] == {"offset": 1}
    assert config["streamable"] is False
    assert set(model.digests) >= {"python_model.pkl", "artifacts/factor.txt", "requirements.txt", "code/code.py"}
    assert get_model_info(path).flavors == model.flavors


def test_what_predicting_on_the_example_changes_is_not_saved(path, factor):
    save(path, Scaled(), artifacts={"factor": factor}, input_example=X)
    model = load_object((path / "python_model.pkl").read_bytes(), "cloudpickle", name="it", trust=OWN)
    assert not hasattr(model, "factor")


def test_methods_take_context_and_params_or_not(path):
    signature = infer_signature(["a"], ["a"], {"end": "!"})
    model = save(path, WithoutContext(), signature=signature)
    assert model.predict(["a", "b"]) == ["a!", "b!"]
    assert model.predict(["a"], params={"end": "?"}) == ["a?"]


def test_a_function_is_a_model(path, tmp_path):
    model = save(path, total, input_example=X)
    assert model.predict(X).tolist() == X.sum(axis=1).tolist()
    assert save(tmp_path / "lambda", lambda data: len(data) + 1).predict(X) == 5


def test_a_function_of_a_list_of_texts_gets_one(path):
    model = save(path, shouted, input_example=["a"])
    assert model.signature.inputs.to_dict() == [{"type": "string", "required": True}]
    assert model.predict(["x", "y"]) == ["X", "Y"]
    assert model.predict(pd.DataFrame({"text": ["x"]})) == ["X"]


def test_a_model_that_streams_says_so(path, tmp_path):
    model = save(path, Streaming())
    assert MLmodel.load(path).flavor("python_function")["streamable"] is True
    assert list(model.predict_stream(X)) == model.predict(X) == X[:, 0].tolist()
    with pytest.raises(InvalidArgumentError, match="no predict_stream"):
        save(tmp_path / "not", total).predict_stream(X)


def test_artifacts_of_one_name_and_whole_directories_are_kept_apart(path, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "f.txt").write_text(name)
    artifacts = {
        "a": tmp_path / "a" / "sub" / "f.txt",
        "b": (tmp_path / "b" / "sub" / "f.txt").as_uri(),
        "again": str(tmp_path / "a" / "sub" / "f.txt"),
        "tree": str(tmp_path / "b"),
    }
    holdfast.pyfunc.save_model(path, python_model=_Reading(), artifacts=artifacts)
    found = MLmodel.load(path).flavor("python_function")["artifacts"]
    assert found["a"] == found["again"]
    assert {item["uri"] for item in found.values()} == {str(item) for item in artifacts.values()}
    assert holdfast.pyfunc.load_model(path).predict(None) == {"a": "a", "b": "b", "again": "a", "tree": "b"}


class _Reading(holdfast.pyfunc.PythonModel):
    def predict(self, context, model_input):
        files = {name: Path(place) for name, place in context.artifacts.items()}
        return {name: (file / "sub" / "f.txt" if file.is_dir() else file).read_text() for name, file in files.items()}


def test_a_changed_artifact_is_found_before_the_model_sees_it(path, factor):
    save(path, Scaled(), artifacts={"factor": factor})
    (path / "artifacts" / "factor.txt").write_text("4")
    with pytest.raises(DataLossError, match=r"artifacts/factor\.txt is not the file"):
        holdfast.pyfunc.load_model(path)


@pytest.mark.parametrize("outside", ["../factor.txt", "/etc/passwd", ""])
def test_an_artifact_outside_of_the_package_is_refused(path, factor, outside):
    save(path, Scaled(), artifacts={"factor": factor})
    model = MLmodel.load(path)
    model.flavors["python_function"]["artifacts"]["factor"]["path"] = outside
    model.save(path)
    with pytest.raises(InvalidArgumentError, match="not a path inside the package"):
        holdfast.pyfunc.load_model(path)


def test_a_model_nobody_trusts_is_neither_unpickled_nor_loaded_by_a_module(path, tmp_path):
    save(path, total)
    (tmp_path / "loading.py").write_text("raise AssertionError('imported')\n")
    holdfast.pyfunc.save_model(tmp_path / "other", loader_module="loading", code_paths=[tmp_path / "loading.py"])
    holdfast.pyfunc.save_model(tmp_path / "installed", loader_module="antigravity")
    for place in (path, tmp_path / "other", tmp_path / "installed"):
        with pytest.raises(UntrustedModelError, match="allow_pickle"):
            holdfast.pyfunc.load_model(place, allow_pickle=False)


def test_a_module_of_the_package_loads_its_data(path, tmp_path):
    (tmp_path / "numbers.json").write_text("[1, 2]")
    (tmp_path / "loading_here.py").write_text(
        textwrap.dedent(
            """
            import json
            from pathlib import Path

            class Model:
                def __init__(self, numbers): self.numbers = numbers
                def predict(self, data): return self.numbers + list(data)

            def _load_pyfunc(data_path, model_config=None):
                return Model(json.loads(Path(data_path).read_text()) + (model_config or {}).get("more", []))
            """
        )
    )
    holdfast.pyfunc.save_model(
        path,
        loader_module="loading_here",
        data_path=tmp_path / "numbers.json",
        code_paths=[tmp_path / "loading_here.py"],
        model_config={"more": [3]},
    )
    assert MLmodel.load(path).flavor("python_function")["data"] == "data/numbers.json"
    assert holdfast.pyfunc.load_model(path).predict([4]) == [1, 2, 3, 4]
    assert "loading_here" not in sys.modules


def test_a_loader_without_the_function_or_a_module_that_is_missing_is_named(path, tmp_path):
    with pytest.warns(UserWarning, match="belong to no installed distribution"):
        holdfast.pyfunc.save_model(path, loader_module="no_such_loader")
    with pytest.raises(InvalidArgumentError, match=r"no_such_loader.*not installed"):
        holdfast.pyfunc.load_model(path)
    holdfast.pyfunc.save_model(tmp_path / "json", loader_module="json")
    with pytest.raises(InvalidArgumentError, match="no function _load_pyfunc"):
        holdfast.pyfunc.load_model(tmp_path / "json")


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        pytest.param({}, InvalidArgumentError, "Give a python_model, or", id="nothing"),
        pytest.param(
            {"python_model": total, "loader_module": "json"}, InvalidArgumentError, "not both", id="both ways"
        ),
        pytest.param({"data_path": "x"}, InvalidArgumentError, "loader_module must be", id="no loader"),
        pytest.param({"loader_module": "a b"}, InvalidArgumentError, "loader_module must be", id="no name"),
        pytest.param({"loader_module": "json", "data_path": "/no/such"}, FileNotFoundError, "data_path", id="no data"),
        pytest.param({"python_model": 3}, InvalidArgumentError, "PythonModel, or a function", id="a number"),
        pytest.param({"python_model": Scaled}, InvalidArgumentError, "pass an instance", id="a class"),
        pytest.param(
            {"python_model": holdfast.pyfunc.PythonModel()}, InvalidArgumentError, "no method predict", id="the base"
        ),
        pytest.param(
            {"python_model": lambda a, b: a + b}, InvalidArgumentError, "takes one argument", id="two arguments"
        ),
        pytest.param(
            {"python_model": total, "artifacts": ["x"]}, InvalidArgumentError, "artifacts must be a dict", id="a list"
        ),
        pytest.param(
            {"python_model": total, "artifacts": {"x": 3}}, InvalidArgumentError, "names to paths", id="no path"
        ),
        pytest.param(
            {"python_model": total, "artifacts": {"x": "/no/such"}}, FileNotFoundError, "artifacts names", id="missing"
        ),
        pytest.param({"python_model": total, "model_config": [1]}, InvalidArgumentError, "model_config", id="config"),
        pytest.param({"python_model": total, "model_config": "/no/such"}, FileNotFoundError, "model_config", id="file"),
        pytest.param({"python_model": total, "unknown": 1}, TypeError, "unknown", id="unknown keyword"),
        pytest.param({"python_model": total, "metadata": 1}, InvalidArgumentError, "metadata", id="metadata"),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_left_behind(path, options, error, rule):
    with pytest.raises(error, match=rule):
        holdfast.pyfunc.save_model(path, **options)
    assert not list(path.parent.iterdir())


def test_a_logged_model_is_registered_and_loads_by_its_uri(fluent, name, factor):
    with holdfast.start_run() as run:
        info = holdfast.pyfunc.log_model(
            name="scaled",
            python_model=Scaled(),
            artifacts={"factor": factor},
            input_example=X,
            registered_model_name=name,
            params={"a": 1},
            tags={"b": "2"},
            model_type="scaler",
            step=3,
            metadata={"c": 3},
        )
    assert (info.name, info.step, info.params["a"], info.tags["b"]) == ("scaled", 3, "1", "2")
    for uri in (info.model_uri, f"runs:/{run.info.run_id}/scaled", f"models:/{name}/1"):
        assert holdfast.pyfunc.load_model(uri).predict(X).tolist() == [0, 6, 12, 18]


def test_artifacts_of_a_server_come_along_and_stay_as_long_as_the_model(fluent):
    with holdfast.start_run() as run:
        holdfast.log_text("5", "numbers/factor.txt")
        uri = f"runs:/{run.info.run_id}/numbers/factor.txt"
        info = holdfast.pyfunc.log_model(name="scaled", python_model=Scaled(), artifacts={"factor": uri})
    model = holdfast.pyfunc.load_model(info.model_uri)
    place = Path(model._implementation._context.artifacts["factor"])
    assert model.metadata.flavor("python_function")["artifacts"]["factor"]["uri"] == uri
    assert model.predict(X).tolist() == [0, 10, 20, 30]
    assert place.read_text() == "5"
    del model
    assert not place.exists()


def test_arguments_of_logging_follow_the_same_rules_for_every_flavor(fluent):
    with pytest.raises(TypeError, match="unknown"):
        holdfast.pyfunc.log_model(python_model=total, unknown=1)
    with pytest.raises(InvalidArgumentError, match="not both"):
        holdfast.pyfunc.log_model("a", python_model=total, name="b")
    with pytest.raises(NotFoundError):
        holdfast.pyfunc.log_model(python_model=total, model_id="m-" + "0" * 32)
    with pytest.warns(DeprecationWarning, match="artifact_path"):
        assert holdfast.pyfunc.log_model("old", python_model=total).name == "old"
    holdfast.end_run()


def test_a_package_names_neither_holdfast_nor_mlflow_and_needs_neither_to_be_unpickled(tmp_path):
    """What the main program defines goes into the package with its base class."""
    program = tmp_path / "train.py"
    program.write_text(
        textwrap.dedent(
            """
            import holdfast.pyfunc

            class Model(holdfast.pyfunc.PythonModel):
                def predict(self, context, model_input):
                    return super().predict_type_hints.input, model_input

            holdfast.pyfunc.save_model("object", python_model=Model())
            holdfast.pyfunc.save_model("function", python_model=lambda data: data)
            """
        )
    )
    subprocess.run([sys.executable, program], cwd=tmp_path, check=True, timeout=100)
    loading = textwrap.dedent(
        """
        import json, pickle, sys
        sys.modules["holdfast"] = sys.modules["mlflow"] = None
        answers = []
        for name in ("object", "function"):
            with open(name + "/python_model.pkl", "rb") as file:
                model = pickle.load(file)
            model.load_context(None)
            answers.append(model.predict(None, 7) if name == "object" else model.predict(7))
        print(json.dumps(answers))
        """
    )
    run = subprocess.run([sys.executable, "-c", loading], cwd=tmp_path, check=True, timeout=100, stdout=subprocess.PIPE)
    assert json.loads(run.stdout) == [[None, 7], 7]
    for name in ("object", "function"):
        assert "holdfast" not in (tmp_path / name / "requirements.txt").read_text()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert holdfast.pyfunc.load_model(tmp_path / name).predict(7) in ((None, 7), 7)
