"""Models that one side saves and the other loads: estimators, formats and signatures against each other.

`MODELS`: name -> (flavor, model, save_model's options, data, method that is asked). Run by both Pythons, so it uses
neither Holdfast nor MLflow.
"""

import sys
from pathlib import Path

import lightgbm
import pandas as pd
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "carried"))
from carried_estimator import Shifted  # noqa: E402 - as whoever trains finds it; what loads has it from the package

sys.path.remove(str(HERE / "carried"))

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"])
MIXED = pd.DataFrame({"n": [1.0, 2.0, 3.0, 4.0], "s": ["x", "y", "x", "y"], "i": [1, 2, 3, 4]})
ENCODER = ColumnTransformer([("o", OneHotEncoder(), ["s"]), ("p", "passthrough", ["n", "i"])])
CODE = {"code_paths": [str(HERE / "carried" / "carried_estimator.py")]}

# name -> (estimator, method, options, data, example)
ESTIMATORS = {
    "classifier": (RandomForestClassifier(5, random_state=0).fit(X, Y), "predict", {}, X[::10], X[:3]),
    "regressor": (
        LinearRegression().fit(FRAME[["a", "b"]], FRAME["c"]),
        "predict",
        {},
        FRAME[["a", "b"]],
        FRAME[["a", "b"]].head(2),
    ),
    "pipeline": (
        make_pipeline(ENCODER, LogisticRegression()).fit(MIXED, [0, 1, 0, 1]),
        "predict",
        {},
        MIXED,
        MIXED.head(2),
    ),
    "clusterer": (KMeans(2, n_init=1, random_state=0).fit(X), "predict", {}, X[::10], X[:2]),
    "transformer": (StandardScaler().fit(X), "transform", {"pyfunc_predict_fn": "transform"}, X[::10], X[:2]),
    "several outputs": (
        MultiOutputRegressor(LinearRegression()).fit(X[:, :2], X[:, 2:]),
        "predict",
        {},
        X[::10, :2],
        X[:2, :2],
    ),
    "carried code": (Shifted(2).fit(X, Y), "predict", CODE, X[::10], X[:2]),
    "sparse": (
        LogisticRegression(max_iter=500).fit(sp.csr_matrix(X), Y),
        "predict",
        {},
        sp.csr_matrix(X[::10]),
        sp.csr_matrix(X[:2]),
    ),
}
SKOPS_TYPES = [
    "sklearn.tree._tree.Tree",
    "carried_estimator.Shifted",
    "sklearn.compose._column_transformer._RemainderColsList",
]
FORMATS = {
    "cloudpickle": {"serialization_format": "cloudpickle"},
    "pickle": {"serialization_format": "pickle"},
    "skops": {"serialization_format": "skops", "skops_trusted_types": SKOPS_TYPES},
}


def _signatures(estimator, example):
    """How a signature comes about: inferred from an example, with parameters too, or not at all."""
    return {
        "example": {"input_example": example},
        "params": {"input_example": (example, {"k": 1, "t": [1.5]}), "metadata": {"a": [1]}},
        "none": {"signature": False},
    }


MODELS = {
    f"{name}, {kind}, {signature}": (
        "sklearn",
        estimator,
        {**FORMATS[kind], **given, **options, **PINNED},
        data,
        method,
    )
    for PINNED in [{"pip_requirements": ["scikit-learn"]}]  # MLflow takes ten seconds to infer them, which is not asked
    for name, (estimator, method, options, data, example) in ESTIMATORS.items()
    for kind in FORMATS
    for signature, given in _signatures(estimator, example).items()
}
_TREES = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(FRAME, Y)
MODELS |= {
    f"lightgbm, {kind}": (
        "lightgbm",
        _TREES,
        {**options, "input_example": FRAME.head(2), "pip_requirements": ["lightgbm"]},
        FRAME[::10],
        "predict",
    )
    for kind, options in {**FORMATS, "its own": {}}.items()
} | {
    "lightgbm, booster": (
        "lightgbm",
        _TREES.booster_,
        {"input_example": X[:2], "pip_requirements": ["lightgbm"]},
        X[::10],
        "predict",
    )
}
