"""Input examples whose saved form is compared with MLflow's; run by path from both sides, so it imports neither."""

import datetime as dt

import numpy as np
import pandas as pd
import scipy.sparse as sp

MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5)  # noqa: DTZ001 - MLflow's datetimes are naive
CASES = {}
for _dtype in ["bool", "int8", "uint64", "float32", "float64", "datetime64[ns]", "U3", "S4", "O"]:
    _values = np.arange(4).reshape(2, 2).astype("int64").astype(_dtype)
    CASES[f"array of {_dtype}"] = _values
    CASES[f"dictionary of arrays of {_dtype}"] = {"x": _values, "y": _values[0]}
    CASES[f"frame of {_dtype}"] = pd.DataFrame(_values, columns=["a", "b"])
    CASES[f"item of {_dtype}"] = _values[0, 1]
CASES |= {
    "array with NaN": np.array([[1.0, np.nan, np.inf]]),
    "array with params": (np.zeros((1, 2)), {"k": 1, "names": ["x"]}),
    # No text or numbers with missing values: whether they become NaN or null depends on the version of pandas.
    "frame with missing times": pd.DataFrame({"a": ["x", "y"], "c": pd.to_datetime(["2024-01-01", None])}),
    "frame with default columns": pd.DataFrame([[1], [2]]),
    "frame with own index": pd.DataFrame({"a": [1, 2]}, index=[5, 6]),
    "frame with params": (pd.DataFrame({"a": [1.0]}), {"k": 1}),
    "frame with objects": pd.DataFrame({"a": [[1, 2], {"x": 1}], "b": [b"xx", b"y"], "c": [dt.date(2024, 1, 1)] * 2}),
    "CSR matrix": sp.csr_matrix(np.eye(2)),
    "CSC matrix with params": (sp.csc_matrix(np.eye(2)), {"k": 1}),
    "list": [1, 2],
    "list of lists": [[1, 2], [3, 4]],
    "list of dictionaries": [{"a": 1}, {"a": None}],
    "dictionary": {"a": 1, "b": [1, 2]},
    "dictionary with a time": {"a": {"b": MOMENT}},
    "messages of a chat": {"messages": ["x"]},
    "messages with params": ({"messages": ["x"]}, {"temperature": 0.5}),
    "empty params": ([1], {}),
    "scalar": 1.5,
    "text": "é",
    "long bytes": b"a" * 100,
    "datetime": MOMENT,
    "a date": dt.date(2024, 1, 1),
    "tuple": (1, 2),
    "list with an array": [np.zeros(2)],
    "dictionary of an array and a number": {"a": np.zeros(2), "b": 1},
    "series": pd.Series([1, 2]),
    "a set": {1},
    "params of two dimensions": ([1], {"a": [[1]]}),
}
