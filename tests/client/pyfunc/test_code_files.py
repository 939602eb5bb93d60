"""Models from a file of code: run when they are saved and when they are loaded, and never pickled."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import holdfast.pyfunc
from holdfast.errors import DataLossError, InvalidArgumentError, UntrustedModelError
from holdfast.models import MLmodel, inspect_model

X = np.arange(4.0).reshape(2, 2)
SCALED = """
from pathlib import Path

import holdfast as mlflow

config = mlflow.models.ModelConfig(development_config={"factor": 5, "offset": 0})


class Scaled(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.start = float(Path(context.artifacts["start"]).read_text())

    def predict(self, context, model_input, params=None):
        from hf_code_helper import doubled  # from code_paths, when it predicts

        return doubled(model_input[:, 0]) * config.get("factor") + self.start + config.to_dict()["offset"]


mlflow.models.set_model(Scaled())
"""


@pytest.fixture
def source(tmp_path):
    """Writes a file of code and returns its path."""

    def write(text, name="hf_scaled_model.py"):
        file = tmp_path / "source" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    return write


@pytest.fixture
def scaled(tmp_path, source):
    helper = source("def doubled(data):\n    return data * 2\n", "hf_code_helper.py")
    (tmp_path / "source" / "start.txt").write_text("100")
    holdfast.pyfunc.save_model(
        tmp_path / "m",
        python_model=str(source(SCALED)),
        artifacts={"start": tmp_path / "source" / "start.txt"},
        model_config={"factor": 3, "offset": 1},
        code_paths=[helper],
        pip_requirements=["numpy"],
    )
    return tmp_path / "m"


def test_a_file_of_code_is_the_model(scaled):
    before = set(sys.modules)
    model = holdfast.pyfunc.load_model(scaled)
    assert model.predict(X).tolist() == [101, 113]
    other = holdfast.pyfunc.load_model(scaled, model_config={"factor": 0})
    assert other.predict(X).tolist() == [101, 101]
    assert model.predict(X).tolist() == [101, 113], "each load has its own"
    assert not [name for name in set(sys.modules) - before if name.startswith("hf_")]


def test_the_package_holds_the_file_and_no_pickle(scaled):
    config = MLmodel.load(scaled).flavor("python_function")
    assert config["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert config["model_code_path"] == "hf_scaled_model.py"
    assert (scaled / "hf_scaled_model.py").read_text() == SCALED
    assert not list(scaled.rglob("*.pkl"))
    found = inspect_model(scaled)
    assert found.code == ["code/hf_code_helper.py", "hf_scaled_model.py"]
    assert not found.is_suspicious


def test_where_mlflow_wrote_the_file_s_own_place_its_name_is_what_counts(scaled):
    model = MLmodel.load(scaled)
    model.flavors["python_function"]["model_code_path"] = "C:\\Users\\me\\hf_scaled_model.py"
    model.save(scaled)
    assert holdfast.pyfunc.load_model(scaled).predict(X).tolist() == [101, 113]


def test_a_function_is_set_by_a_file_that_is_written_for_mlflow(tmp_path, source):
    file = source(
        "from mlflow.models import set_model\nimport mlflow.pyfunc\n\n"
        "def total(model_input):\n    return model_input.sum(axis=1)\n\nset_model(total)\n"
    )
    holdfast.pyfunc.save_model(tmp_path / "m", python_model=file, input_example=X)
    model = holdfast.pyfunc.load_model(tmp_path / "m")
    assert model.predict(X).tolist() == [1.0, 5.0]
    assert model.signature.inputs.is_tensor_spec()


def test_a_logged_file_loads_by_its_uri(fluent, source):
    file = source("import holdfast\nholdfast.models.set_model(lambda model_input: [7])\n")
    with holdfast.start_run():
        info = holdfast.pyfunc.log_model(name="seven", python_model=file, pip_requirements=["numpy"])
    assert holdfast.pyfunc.load_model(info.model_uri).predict(X) == [7]


def test_a_file_that_is_run_by_itself_has_its_own_configuration(source):
    file = source(SCALED + "\nprint(config.get('factor'))\n")
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == "5\n"


@pytest.mark.parametrize(
    ("text", "error", "rule"),
    [
        pytest.param("x = 1", InvalidArgumentError, "sets no model", id="sets nothing"),
        pytest.param("1 / 0", InvalidArgumentError, "ZeroDivisionError", id="fails"),
        pytest.param("def f(:", InvalidArgumentError, "SyntaxError", id="no code"),
        pytest.param("import hf_nowhere", ModuleNotFoundError, "hf_nowhere", id="lacks a module"),
        pytest.param(
            "from holdfast.models import set_model\nset_model(3)",
            InvalidArgumentError, "set_model takes", id="no model",
        ),
        pytest.param(
            "from holdfast.models import set_model\nset_model(lambda a, b: a)",
            InvalidArgumentError, "takes one argument", id="two arguments",
        ),
        pytest.param(
            "from holdfast.models import ModelConfig\nModelConfig(development_config={'a': 1})",
            InvalidArgumentError, "model_config=", id="no configuration",
        ),
    ],
)  # fmt: skip
def test_a_file_that_gives_no_model_is_told_and_leaves_nothing(tmp_path, source, text, error, rule):
    with pytest.raises(error, match=rule):
        holdfast.pyfunc.save_model(tmp_path / "m", python_model=source(text))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_is_no_file_of_code_is_told_before_anything_is_sent(fluent, tmp_path, source):
    with holdfast.start_run() as run:
        with pytest.raises(FileNotFoundError, match="hf_absent"):
            holdfast.pyfunc.log_model(name="m", python_model=tmp_path / "hf_absent.py")
        for name in ("hf_model.txt", "hf.model.py"):
            with pytest.raises(InvalidArgumentError, match=r"such as model\.py"):
                holdfast.pyfunc.log_model(name="m", python_model=source("x = 1", name))
        assert fluent.search_logged_models(source_run_id=run.info.run_id) == []


def test_the_file_of_somebody_who_is_not_trusted_is_not_run(tmp_path, source):
    mark = tmp_path / "was run"
    file = source(
        f"from pathlib import Path\nimport holdfast\nPath({str(mark)!r}).touch()\n"
        "holdfast.models.set_model(lambda model_input: 1)\n"
    )
    holdfast.pyfunc.save_model(tmp_path / "m", python_model=file)
    mark.unlink()
    with pytest.raises(UntrustedModelError, match=r"Running hf_scaled_model\.py"):
        holdfast.pyfunc.load_model(tmp_path / "m", allow_pickle=False)
    inspect_model(tmp_path / "m")
    assert not mark.exists()


def test_a_changed_file_is_found_before_it_is_run(scaled):
    file = Path(scaled, "hf_scaled_model.py")
    file.write_text("raise SystemExit('it was run')\n")
    with pytest.raises(DataLossError, match=r"hf_scaled_model\.py"):
        holdfast.pyfunc.load_model(scaled)
