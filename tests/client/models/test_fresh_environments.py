"""A package runs in an environment that has its own requirements.txt and nothing else."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import lightgbm
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

import holdfast.lightgbm
import holdfast.pyfunc
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


def predictions(environments, package: Path, program: str) -> list:
    """What a program prints in an environment of the package's own requirements; it begins in the package."""
    python = environments(package / "requirements.txt")
    done = subprocess.run(
        [python, "-I", "-c", textwrap.dedent(program)], cwd=package, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_function_runs_with_the_requirements_of_its_package(environments, tmp_path):
    def add_two(model_input):
        import pandas as pd  # a library that nothing but the function's body names

        return pd.DataFrame(model_input).to_numpy() + 2

    holdfast.pyfunc.save_model(tmp_path / "m", python_model=add_two, signature=False)
    program = """
        import json, pickle
        model = pickle.load(open("python_model.pkl", "rb"))
        print(json.dumps(model.predict([[1.0, 2.0]]).tolist()))
    """
    assert predictions(environments, tmp_path / "m", program) == [[3.0, 4.0]]


@pytest.mark.slow
def test_a_lightgbm_model_runs_with_the_requirements_of_its_package(environments, tmp_path):
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(X, Y)
    holdfast.lightgbm.save_model(model, tmp_path / "m", serialization_format="pickle")
    program = """
        import glob, json, pickle
        (path,) = glob.glob("*.pkl")
        model = pickle.load(open(path, "rb"))
        print(json.dumps(model.predict([[5.1, 3.5, 1.4, 0.2], [6.2, 2.8, 4.8, 1.8]]).tolist()))
    """
    expected = model.predict(np.array([[5.1, 3.5, 1.4, 0.2], [6.2, 2.8, 4.8, 1.8]])).tolist()
    assert predictions(environments, tmp_path / "m", program) == expected


@pytest.mark.slow
def test_code_that_a_package_brings_runs_with_its_requirements(environments, tmp_path):
    (tmp_path / "own_estimator.py").write_text(
        "import pandas as pd\n"
        "from sklearn.base import BaseEstimator\n"
        "class Ranks(BaseEstimator):\n"
        "    def fit(self, X, y=None):\n"
        "        return self\n"
        "    def predict(self, X):\n"
        "        return pd.DataFrame(X).rank()[0].to_numpy()\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        from own_estimator import Ranks

        model = Ranks().fit(X)
        holdfast.sklearn.save_model(
            model, tmp_path / "m", code_paths=[tmp_path / "own_estimator.py"], serialization_format="cloudpickle"
        )
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("own_estimator", None)
    program = """
        import json, pickle, sys
        sys.path.insert(0, "code")
        model = pickle.load(open("model.pkl", "rb"))
        print(json.dumps(model.predict([[3.0], [1.0], [2.0]]).tolist()))
    """
    assert predictions(environments, tmp_path / "m", program) == [3.0, 1.0, 2.0]
