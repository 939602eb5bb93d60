"""What ``holdfast models inspect`` tells of a package, and that it loads nothing of it."""

import builtins
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from tests.server_process import clean_environment

import holdfast
import holdfast.lightgbm
import holdfast.pyfunc
import holdfast.sklearn
from holdfast.errors import InvalidArgumentError, NotFoundError
from holdfast.models import MLmodel, inspect_model

PROGRAM = str(Path(sys.executable).parent / "holdfast")
MODEL = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
X = np.array([[0.0], [1.0]])


class Calling:
    """Has its pickle call something."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def harm(path, value):
    """Write a package whose pickle holds ``value``, with digests that are right."""
    holdfast.sklearn.save_model(MODEL, path)
    (path / "model.pkl").write_bytes(pickle.dumps(value))
    model = MLmodel.load(path)
    model.digests = None
    model.save(path)


def test_a_sound_package_is_described_whole(path, tmp_path):
    (tmp_path / "hf_extra.py").write_text("x = 1\n")
    holdfast.sklearn.save_model(MODEL, path, input_example=X, code_paths=[tmp_path / "hf_extra.py"])
    found = inspect_model(path)
    assert not found.is_suspicious
    assert set(found.flavors) == {"python_function", "sklearn"}
    assert "tensor" in found.signature["inputs"]
    assert any(line.startswith("scikit-learn==") for line in found.requirements)
    assert {file.path: file.state for file in found.files} == {
        "MLmodel": "", "code/hf_extra.py": "ok", "conda.yaml": "ok", "input_example.json": "ok", "model.pkl": "ok",
        "python_env.yaml": "ok", "requirements.txt": "ok", "serving_input_example.json": "ok",
    }  # fmt: skip
    assert found.code == ["code/hf_extra.py"]
    (pickled,) = found.objects
    assert "sklearn.linear_model._logistic.LogisticRegression" in pickled.calls
    assert not pickled.carries_code
    assert "created" in found.origin
    assert "hf_extra" not in sys.modules
    json.dumps(found.to_dictionary())


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Calling(os.system, "true"), f"{os.system.__module__}.system"),
        (Calling(builtins.eval, "1"), "builtins.eval"),
        (Calling(subprocess.Popen, ["true"]), "subprocess.Popen"),
        (Calling(Path.write_text, Path("x"), "y"), "pathlib.Path.write_text"),
        (Calling(pickle.loads, b"N."), "_pickle.loads"),
        (Calling(__import__, "os"), "builtins.__import__"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_pickle_would_run_is_told_and_not_run(path, value, name):
    harm(path, value)
    found = inspect_model(path)
    assert found.is_suspicious
    assert name in found.objects[0].suspicious


def test_functions_with_their_code_are_told_without_being_suspicious(path):
    holdfast.sklearn.save_model(FunctionTransformer(lambda x: np.log(x) + 1), path, pyfunc_predict_fn="transform")
    found = inspect_model(path)
    assert found.objects[0].carries_code
    assert "numpy" in found.objects[0].imports
    assert not found.is_suspicious


def test_skops_is_told_by_its_types(path):
    class_name = f"{__name__}.Odd"
    with pytest.warns(UserWarning, match="no installed distribution"):
        holdfast.sklearn.save_model(
            Odd(), path, serialization_format="skops", skops_trusted_types=[class_name], pyfunc_predict_fn="predict"
        )
    (item,) = inspect_model(path).objects
    assert (item.format, item.untrusted_types) == ("skops", [class_name])
    assert class_name in item.imports


class Odd(LogisticRegression):
    pass


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda p: (p / "model.pkl").write_bytes(pickle.dumps(1)), "model.pkl: is not the file that was saved"),
        (lambda p: (p / "conda.yaml").unlink(), "conda.yaml: was saved with this model, and is not there"),
        (lambda p: (p / "extra.pkl").write_bytes(pickle.dumps(1)), "extra.pkl: was not saved with this model"),
        (lambda p: (p / "model.pkl").unlink(), "model.pkl: named by a flavor, and not in the package"),
    ],
)
def test_files_that_are_not_those_that_were_saved_are_problems(path, spoil, problem):
    holdfast.sklearn.save_model(MODEL, path)
    spoil(path)
    found = inspect_model(path)
    assert any(problem in text for text in found.problems)
    assert found.is_suspicious


def test_a_pickle_in_the_place_of_skops_is_a_problem(path):
    holdfast.sklearn.save_model(MODEL, path, serialization_format="skops")
    (path / "model.skops").write_bytes(pickle.dumps(Calling(os.system, "true")))
    found = inspect_model(path)
    assert "model.skops: declared as skops, and looks like pickle" in found.problems
    assert found.objects[0].suspicious
    (path / "model.skops").write_bytes(b"PK\x05\x06" + bytes(18))
    assert inspect_model(path).objects[0].suspicious


def test_bytes_behind_the_end_are_told(path):
    harm(path, 1)
    with (path / "model.pkl").open("ab") as file:
        file.write(b"more")
    assert "4 bytes behind its end" in inspect_model(path).objects[0].suspicious


def test_what_is_no_package_is_an_error(path):
    with pytest.raises(NotFoundError):
        inspect_model(path)
    path.mkdir()
    (path / "MLmodel").write_text("a: &x [1]\nb: *x\n")
    with pytest.raises(InvalidArgumentError):
        inspect_model(path)


def run(*args, expect, uri=None):
    done = subprocess.run(
        [PROGRAM, *(["--uri", uri] if uri else []), "models", "inspect", *map(str, args)],
        capture_output=True, text=True, check=False, timeout=120, env=clean_environment(),
    )  # fmt: skip
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout if expect != 1 else done.stderr


def test_the_command_tells_by_its_exit_code(path, tmp_path):
    holdfast.sklearn.save_model(MODEL, path)
    text = run(path, expect=0)
    assert "sklearn.linear_model._logistic.LogisticRegression" in text
    assert "SUSPICIOUS" not in text
    harm(tmp_path / "bad", Calling(os.mkdir, str(tmp_path / "exploded")))
    assert "SUSPICIOUS: the module" in run(tmp_path / "bad", expect=4)
    assert json.loads(run(tmp_path / "bad", "--json", expect=4))["suspicious"] is True
    assert "no model at" in run(tmp_path / "nowhere", expect=1)
    assert not (tmp_path / "exploded").exists()


def test_a_model_of_a_server_is_told_with_who_made_it(fluent, name, server):
    with holdfast.start_run() as run_:
        info = holdfast.sklearn.log_model(MODEL, name="m", registered_model_name=name)
    found = inspect_model(f"models:/{name}/1")
    assert not found.is_suspicious
    assert found.origin["version"] == f"{name}/1"
    assert found.origin["registered_by"] == found.origin["user"] == run_.info.user_id
    assert (found.origin["run_id"], found.origin["model_id"]) == (run_.info.run_id, info.model_id)
    assert all(file.state in ("", "ok") for file in found.files)
    shown = json.loads(run(f"models:/{name}/1", "--json", expect=0, uri=server.uri))
    assert shown["origin"] == found.origin


def undigested(path, **flavors):
    """Change flavors in MLmodel, as somebody does who can write the package, and take the digests out of it."""
    model = MLmodel.load(path)
    for flavor, values in flavors.items():
        model.flavors[flavor].update(values)
    model.digests = None
    model.save(path)


def save_sklearn(path, file):
    holdfast.sklearn.save_model(MODEL, path)
    undigested(path, sklearn={"pickled_model": file})


def save_python_model(path, file):
    holdfast.pyfunc.save_model(path, python_model=len)
    undigested(path, python_function={"python_model": file})


def save_lightgbm(path, file):
    model = lightgbm.LGBMClassifier(n_estimators=1, verbose=-1).fit(np.arange(40.0).reshape(-1, 1), [0, 1] * 20)
    holdfast.lightgbm.save_model(model, path, serialization_format="pickle")
    undigested(path, lightgbm={"data": file}, python_function={"data": file})


SAVES = {"pickled_model": save_sklearn, "python_model": save_python_model, "data": save_lightgbm}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("protocol", [0, 5])
@pytest.mark.parametrize("file", ["weights.bin", "./model.lgb"])
def test_a_pickle_of_any_name_is_told_where_a_flavor_would_load_it(path, tmp_path, save, protocol, file):
    save(path, file)
    (path / file).write_bytes(pickle.dumps(Calling(os.mkdir, str(tmp_path / "exploded")), protocol=protocol))
    told = {item.path: item for item in inspect_model(path).objects}[Path(file).name]
    assert f"{os.mkdir.__module__}.mkdir" in told.suspicious
    assert not (tmp_path / "exploded").exists()
    with pytest.raises((InvalidArgumentError, AttributeError)):
        holdfast.pyfunc.load_model(path).predict(X)
    assert (tmp_path / "exploded").exists()  # it is indeed what loading runs


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_a_pickle_with_an_archive_behind_it_is_told_as_the_pickle_that_is_loaded(path, tmp_path, save):
    holdfast.sklearn.save_model(MODEL, tmp_path / "harmless", serialization_format="skops")
    save(path, "weights.bin")
    harmful = pickle.dumps(Calling(os.mkdir, str(tmp_path / "exploded")))
    (path / "weights.bin").write_bytes(harmful + (tmp_path / "harmless" / "model.skops").read_bytes())
    told = {item.path: item for item in inspect_model(path).objects}["weights.bin"]
    assert told.format == "pickle"
    assert f"{os.mkdir.__module__}.mkdir" in told.suspicious
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_that_no_flavor_names_is_told_by_how_it_begins(path):
    holdfast.sklearn.save_model(MODEL, path)
    (path / "notes.txt").write_bytes(pickle.dumps(Calling(os.system, "true")))
    assert "notes.txt" in [item.path for item in inspect_model(path).objects]


def test_a_flavor_that_names_a_file_outside_is_a_problem(path):
    save_sklearn(path, "../model.pkl")
    assert any("'../model.pkl'" in problem for problem in inspect_model(path).problems)


def test_a_loader_that_is_not_known_is_a_problem(path, tmp_path):
    (tmp_path / "hf_loader.py").write_text("def _load_pyfunc(path):\n    return None\n")
    holdfast.pyfunc.save_model(path, loader_module="hf_loader", code_paths=[tmp_path / "hf_loader.py"])
    assert any("hf_loader would be imported" in problem for problem in inspect_model(path).problems)
    assert "hf_loader would be imported" in run(path, expect=4)
    assert "hf_loader" not in sys.modules


def test_packaged_code_is_told_whatever_its_directory_is_called(path, tmp_path):
    holdfast.sklearn.save_model(MODEL, path)
    (path / "lib").mkdir()
    (path / "lib" / "odd.py").write_text("")
    undigested(path, sklearn={"code": "lib"})
    assert inspect_model(path).code == ["lib/odd.py"]
