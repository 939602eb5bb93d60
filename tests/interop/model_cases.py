"""Models that one side saves and the other loads: name -> (estimator, save_model's options, data)."""

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"])
MIXED = pd.DataFrame({"n": [1.0, 2.0, 3.0, 4.0], "s": ["x", "y", "x", "y"], "i": [1, 2, 3, 4]})
ENCODER = ColumnTransformer([("o", OneHotEncoder(), ["s"]), ("p", "passthrough", ["n", "i"])])


def _forest():
    return RandomForestClassifier(5, random_state=0)


MODELS = {
    "array": (_forest().fit(X, Y), {"input_example": X[:3]}, X[::10]),
    "frame": (_forest().fit(FRAME, Y), {"input_example": FRAME.head(2), "metadata": {"a": [1]}}, FRAME[::10]),
    "params": (
        make_pipeline(ENCODER, LogisticRegression()).fit(MIXED, [0, 1, 0, 1]),
        {"input_example": (MIXED.head(2), {"k": 1, "t": [1.5]})},
        MIXED,
    ),
    "sparse": (
        LogisticRegression(max_iter=500).fit(sp.csr_matrix(X), Y),
        {"input_example": sp.csr_matrix(X[:2])},
        sp.csr_matrix(X[::10]),
    ),
    "pickle": (KMeans(2, n_init=1, random_state=0).fit(X), {"serialization_format": "pickle"}, X[::10]),
    "skops": (
        _forest().fit(X, Y),
        {"serialization_format": "skops", "skops_trusted_types": ["sklearn.tree._tree.Tree"]},
        X[::10],
    ),
    "nothing inferred": (
        _forest().fit(X, Y),
        {"signature": False, "pip_requirements": ["scikit-learn"]},
        np.array(X[::10]),
    ),
}
