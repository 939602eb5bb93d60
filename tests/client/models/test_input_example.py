"""Input examples are saved as MLflow saves them, byte for byte."""

import json
import runpy
from pathlib import Path

import pytest

from holdfast.errors import InvalidArgumentError
from holdfast.models._example import InputExample

HERE = Path(__file__).parent
CASES = runpy.run_path(str(HERE / "example_cases.py"))["CASES"]
GOLDEN = json.loads((HERE / "example_cases.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_example_is_saved_as_mlflow_saves_it(name, tmp_path):
    if GOLDEN[name] is None:
        with pytest.raises(InvalidArgumentError):
            InputExample(CASES[name])
        return
    info, content, serving = GOLDEN[name]
    example = InputExample(CASES[name])
    assert example.info == info
    example.save(tmp_path)
    assert (tmp_path / "input_example.json").read_text() == content
    assert (tmp_path / "serving_input_example.json").read_text() == serving
