"""Code that comes with a model: its own for each model, and nothing of it left for others."""

import gc
import importlib
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer

import holdfast.pyfunc
import holdfast.sklearn
from holdfast.errors import UntrustedModelError
from holdfast.models._code import PackagedCode

# Beside what is to be isolated: a package with late, relative and starred imports, and a file that it reads.
HELPER = """
import sys
import numpy as np
from hf_tools import scale
from hf_tools.deep.inner import *
assert sys.modules[__name__].__name__ == "hf_helper"

def apply(data):
    from hf_tools.late import offset
    import hf_tools.deep.inner as inner
    return np.asarray(data) * scale() + offset() + inner.nothing + NOTHING

class Doubler:
    def predict(self, data):
        import hf_tools.late
        return np.asarray(data) * 2 + hf_tools.late.offset()
"""
TOOLS = {
    "__init__.py": "from .numbers import scale\n",
    "numbers.py": "from pathlib import Path\nscale = lambda: int((Path(__file__).parent / 'scale.txt').read_text())\n",
    "late.py": "from . import numbers\ndef offset():\n    return {offset}\n",
    "deep/inner.py": "__all__ = ['NOTHING']\nNOTHING = 0\nnothing = 0\n",
    "scale.txt": "{scale}",
}


@pytest.fixture(autouse=True)
def _nothing_stays():
    yield
    for name in [name for name in sys.modules if name.startswith("hf_")]:
        del sys.modules[name]


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Saves a model with code of its own that multiplies and adds."""

    def save(name, *, scale, offset, model=None, method="transform", **options):
        source = tmp_path / f"{name}-source"
        files = {"hf_helper.py": HELPER, **{f"hf_tools/{path}": content for path, content in TOOLS.items()}}
        for path, content in files.items():
            file = source / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content.replace("{scale}", str(scale)).replace("{offset}", str(offset)))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(source)
            module = importlib.import_module("hf_helper")
            estimator = model(module) if model else FunctionTransformer(module.apply)
            holdfast.sklearn.save_model(
                estimator, tmp_path / name, code_paths=[source / "hf_helper.py", source / "hf_tools"],
                pyfunc_predict_fn=method, **options,
            )  # fmt: skip
            for loaded in [item for item in sys.modules if item.startswith("hf_")]:
                del sys.modules[loaded]
        return tmp_path / name

    return save


@pytest.mark.parametrize("serialization_format", ["pickle", "cloudpickle"])
def test_two_models_with_modules_of_one_name_each_have_their_own(make, serialization_format):
    paths, modules = list(sys.path), set(sys.modules)
    one = make("one", scale=2, offset=10, serialization_format=serialization_format)
    two = make("two", scale=3, offset=100, serialization_format=serialization_format)
    first, second = holdfast.sklearn.load_model(one), holdfast.sklearn.load_model(two)
    again = holdfast.pyfunc.load_model(one)
    data = np.array([[1.0]])
    assert first.transform(data).tolist() == [[12.0]]
    assert second.transform(data).tolist() == [[103.0]]
    assert first.transform(data).tolist() == again.predict(data).tolist() == [[12.0]]
    assert sys.path == paths
    assert [name for name in set(sys.modules) - modules if name.startswith("hf_")] == []
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hf_helper")


def test_a_program_keeps_its_own_module_of_that_name(make, tmp_path, monkeypatch):
    path = make("one", scale=2, offset=1)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "hf_helper.py").write_text("mine = True\n")
    monkeypatch.syspath_prepend(tmp_path / "own")
    own = importlib.import_module("hf_helper")
    model = holdfast.sklearn.load_model(path)
    assert model.transform(np.ones((1, 1))).tolist() == [[3.0]]
    assert sys.modules["hf_helper"] is own
    assert importlib.import_module("hf_helper").mine


def test_functions_stored_with_their_code_find_the_package_later(make):
    def model(module):
        def late(data):
            import hf_helper

            return hf_helper.apply(data)

        return FunctionTransformer(late)

    path = make("one", scale=2, offset=1, model=model)
    assert holdfast.sklearn.load_model(path).transform(np.ones((1, 1))).tolist() == [[3.0]]


def test_one_model_loaded_twice_has_the_same_classes(make):
    path = make("one", scale=2, offset=1, model=lambda module: module.Doubler(), method="predict")
    one, two = holdfast.sklearn.load_model(path), holdfast.sklearn.load_model(path)
    assert type(one) is type(two)
    assert one.predict([1]).tolist() == [3]


def test_code_stays_as_long_as_something_of_it_and_no_longer(make):
    loaded = holdfast.sklearn.load_model(make("a", scale=2, offset=1))
    apply = loaded.func
    folder = Path(apply.__code__.co_filename).parent
    del loaded
    gc.collect()
    assert apply([1.0]).tolist() == [3.0], "late imports are found"
    assert folder.is_dir()
    del apply
    gc.collect()
    assert not folder.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_that_ends_leaves_the_code_where_it_is(make):
    code = f"""
import os, sys
import holdfast.sklearn
loaded = holdfast.sklearn.load_model({str(make("a", scale=2, offset=1))!r})
child = os.fork()
if not child:
    sys.exit(0)  # with all that is done at exit
assert os.waitpid(child, 0)[1] == 0
print(loaded.transform([1.0]).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[3.0]\n", "it reads a file beside its code"


def test_a_loaded_model_can_be_stored_again_by_cloudpickle(make):
    path = make("one", scale=2, offset=1, model=lambda module: module.Doubler(), method="predict")
    model = holdfast.sklearn.load_model(path)
    assert type(pickle.loads(cloudpickle.dumps(model))).__name__ == "Doubler"


def test_models_are_loaded_from_many_threads(make):
    paths = [make(f"m{number}", scale=number, offset=0) for number in range(4)]
    found = {}

    def load(number):
        found[number] = holdfast.sklearn.load_model(paths[number]).transform(np.ones((1, 1)))[0, 0]

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {number: float(number) for number in range(4)}


def test_code_that_fails_says_so_and_leaves_nothing(tmp_path):
    code = PackagedCode({"hf_broken.py": b"import hf_other\nraise ValueError('no')\n", "hf_other.py": b""})
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            code.import_module("hf_broken")
    with pytest.raises(ModuleNotFoundError, match="hf_missing"):
        code.import_module("hf_other.hf_missing")
    assert not [name for name in sys.modules if name.startswith("hf_")]


def test_modules_are_found_by_name_while_code_is_imported_and_not_afterwards():
    code = PackagedCode(
        {
            "hf_outer/__init__.py": b"import importlib\ninner = importlib.import_module('hf_outer.inner')\n",
            "hf_outer/inner.py": b"import dataclasses\n@dataclasses.dataclass\nclass Point:\n    x: 'int' = 1\n",
            "hf_space/part.py": b"value = 3\n",
            "data.csv": b"",
        }
    )
    assert code.import_module("hf_outer").inner.Point().x == 1
    assert code.import_module("hf_outer").__spec__.name == "hf_outer"
    assert code.find("hf_space.part", "value") == 3
    assert not code.owns("data")
    assert not [name for name in sys.modules if name.startswith("hf_")]


def test_code_changed_on_disk_is_not_what_is_imported():
    code = PackagedCode({"hf_late.py": b"value = 'checked'\n"})
    for file in code._root.iterdir():
        file.write_text("value = 'changed'\n")
    assert code.import_module("hf_late").value == "checked"


def test_code_of_somebody_who_is_not_trusted_is_not_imported(make):
    path = make("one", scale=2, offset=1)
    with pytest.raises(UntrustedModelError, match="Importing code/ of the package"):
        holdfast.sklearn.load_model(path, allow_pickle=False)


def test_a_loaded_model_that_is_saved_again_takes_its_code_paths_again(tmp_path, monkeypatch):
    (tmp_path / "hf_model.py").write_text(
        "class Late:\n    def predict(self, data):\n        import hf_late\n        return hf_late.same(data)\n"
    )
    (tmp_path / "hf_late.py").write_text("def same(data):\n    return data\n")
    monkeypatch.syspath_prepend(tmp_path)
    model = importlib.import_module("hf_model").Late()
    holdfast.sklearn.save_model(model, tmp_path / "a", code_paths=[tmp_path / "hf_model.py", tmp_path / "hf_late.py"])
    monkeypatch.undo()
    del sys.modules["hf_model"]
    (tmp_path / "hf_late.py").unlink()
    loaded = holdfast.sklearn.load_model(tmp_path / "a")
    holdfast.sklearn.save_model(loaded, tmp_path / "bare")
    holdfast.sklearn.save_model(loaded, tmp_path / "whole", code_paths=sorted((tmp_path / "a" / "code").iterdir()))
    del loaded
    gc.collect()
    with pytest.raises(ModuleNotFoundError, match="hf_late"):
        holdfast.sklearn.load_model(tmp_path / "bare").predict([7])
    assert holdfast.sklearn.load_model(tmp_path / "whole").predict([7]) == [7]
