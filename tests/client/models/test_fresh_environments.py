"""A package runs in an environment that has its own requirements.txt and nothing else."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import holdfast.sklearn

pytestmark = pytest.mark.timeout(600)  # it installs scikit-learn

UV = Path(sys.executable).with_name("uv")
X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=list("abcd"))


def ranking():
    """A function that cloudpickle stores with its code, since it is defined in another."""

    def ranks(data):
        import pandas as pd  # a library that nothing but the function's body names

        return pd.DataFrame(data).rank().to_numpy()

    return ranks


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """Makes environments; those with the same requirements are one."""
    made = {}

    def make(requirements: Path) -> Path:
        key = requirements.read_text()
        if key not in made:
            folder = tmp_path_factory.mktemp("env") / "venv"
            for command in (
                [UV, "venv", "--quiet", "--python", sys.executable, folder],
                [UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python", "-r", requirements],
            ):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode and any(text in done.stderr for text in ("network", "connect", "dns", "fetch")):
                    pytest.skip("the package index cannot be reached")
                assert done.returncode == 0, done.stderr
            made[key] = folder / "bin" / "python"
        return made[key]

    return make


FOREST = RandomForestClassifier(3, random_state=0)
MODELS = {
    "forest": (clone(FOREST).fit(X, Y), "cloudpickle", None),
    "pickle": (LogisticRegression(max_iter=1000).fit(X, Y), "pickle", None),
    "skops": (make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), "skops", None),
    "columns": (
        make_pipeline(make_column_transformer((StandardScaler(), ["a", "b"])), LogisticRegression()).fit(FRAME, Y),
        "cloudpickle", FRAME.head(2),
    ),
    "function that imports": (
        make_pipeline(FunctionTransformer(ranking()), FOREST).fit(X, Y), "cloudpickle", None,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_package_runs_with_its_own_requirements(environments, tmp_path, name):
    model, serialization_format, example = MODELS[name]
    holdfast.sklearn.save_model(model, tmp_path / "m", serialization_format=serialization_format, input_example=example)
    data = FRAME if example is not None else X
    np.save(tmp_path / "x.npy", X)
    program = textwrap.dedent(
        f"""
        import json, pathlib, sys
        import numpy as np
        folder = pathlib.Path({str(tmp_path)!r})
        if {serialization_format == "skops"}:
            import skops.io
            model = skops.io.load(folder / "m" / "model.skops")
        else:
            import pickle
            model = pickle.loads((folder / "m" / "model.pkl").read_bytes())
        data = np.load(folder / "x.npy")
        if {example is not None}:
            import pandas
            data = pandas.DataFrame(data, columns=list("abcd"))
        print(json.dumps(model.predict(data).tolist()))
        """
    )
    python = environments(tmp_path / "m" / "requirements.txt")
    done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(model.predict(data).tolist())
