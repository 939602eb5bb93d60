"""Loading scikit-learn models: damage, paths that lead out, types nobody trusts and what is missing are told."""

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from tests.client.models.iris import X, Y

import holdfast.pyfunc
import holdfast.sklearn
from holdfast.errors import DataLossError, InvalidArgumentError, NotFoundError
from holdfast.models import MLmodel


class Offset(BaseEstimator):
    """A type that skops has no reason to trust."""

    def __init__(self, by=1):
        self.by = by

    def predict(self, data):
        return data[:, 0] + self.by


OFFSET = f"{__name__}.Offset"


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
