"""Python models that one side saves and the other loads.

`build(pyfunc, directory)` gives name -> (save_model's options, data, answer), with classes that derive from that
pyfunc's. They are made here, in the main program's namespace, so that their code goes into the package.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

# As such files are written for MLflow.
CODE = """
import json
from pathlib import Path

import mlflow
from mlflow.models import ModelConfig, set_model
from mlflow.pyfunc import PythonModel

config = ModelConfig(development_config={"scale": 7})


class Counting(PythonModel):
    def load_context(self, context):
        self.numbers = json.loads(Path(context.artifacts["numbers"]).read_text())

    def predict(self, context, model_input, params=None):
        return [sum(self.numbers) * config.get("scale"), len(model_input)]


assert mlflow.models.set_model is set_model
set_model(Counting())
"""
FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})


def build(pyfunc, directory):
    class Scaled(pyfunc.PythonModel):
        def load_context(self, context):
            self.numbers = json.loads(Path(context.artifacts["numbers"]).read_text())

        def predict(self, context, model_input, params=None):
            factor = (params or {}).get("factor", 1) * context.model_config["scale"]
            names = sorted(path.name for path in Path(context.artifacts["tree"]).iterdir())
            return [sum(self.numbers) * factor, len(model_input), len(names)]

    class Contextless(pyfunc.PythonModel):
        def predict(self, model_input, params=None):
            return model_input["a"] + model_input["b"]

    def total(model_input):
        return np.asarray(model_input).sum(axis=1)

    def shouted(model_input: list[str]) -> list[str]:
        return [text.upper() for text in model_input]

    Path(directory).mkdir(parents=True, exist_ok=True)
    code = Path(directory) / "counting_model.py"
    code.write_text(CODE)
    folder = Path(directory) / "tree"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("x", "y"):
        (folder / name).write_text(name)
    numbers = Path(directory) / "numbers.json"
    numbers.write_text("[1, 2]")
    pinned = {"pip_requirements": ["numpy"]}
    return {
        "object": (
            {
                "python_model": Scaled(),
                "artifacts": {"numbers": str(numbers), "tree": str(folder)},
                "model_config": {"scale": 2},
                "input_example": (FRAME, {"factor": 5}),
                "metadata": {"a": 1},
                **pinned,
            },
            FRAME,
            [30, 2, 2],
        ),
        "contextless": ({"python_model": Contextless(), "input_example": FRAME, **pinned}, FRAME, [4.0, 6.0]),
        "function": (
            {"python_model": total, "input_example": FRAME.to_numpy(), **pinned},
            FRAME.to_numpy(),
            [4.0, 6.0],
        ),
        "texts": ({"python_model": shouted, "input_example": ["a"], **pinned}, ["x", "y"], ["X", "Y"]),
        "code file": (
            {
                "python_model": str(code),
                "artifacts": {"numbers": str(numbers)},
                "model_config": {"scale": 2},
                "input_example": FRAME,
                "code_paths": [str(Path(__file__).parent / "carried" / "carried_loader.py")],
                **pinned,
            },
            FRAME,
            [6, 2],
        ),
        "loader": (
            {
                "loader_module": "carried_loader",
                "data_path": str(numbers),
                "code_paths": [str(Path(__file__).parent / "carried" / "carried_loader.py")],
                **pinned,
            },
            [3],
            [1, 2, 3],
        ),
    }
