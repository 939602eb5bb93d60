"""Data whose signature is compared with MLflow's; run by path from both sides, so it imports neither."""

import datetime as dt
import decimal

import numpy as np
import pandas as pd
import scipy.sparse as sp

MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5)  # noqa: DTZ001 - MLflow's datetimes are naive
DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "datetime64[ns]",
    "datetime64[D]",
    "timedelta64[ns]",
    "U3",
    "S4",
    "O",
]
SCALARS = {
    "int": 1,
    "float": 1.5,
    "str": "a",
    "bool": True,
    "bytes": b"a",
    "bytearray": bytearray(b"a"),
    "date": dt.date(2024, 1, 1),
    "datetime": MOMENT,
    "datetime64": np.datetime64("2024-01-01"),
    "int8": np.int8(1),
    "int32": np.int32(1),
    "int64": np.int64(1),
    "float32": np.float32(1),
    "float64": np.float64(1),
    "np_bool": np.bool_(True),
    "np_str": np.str_("a"),
    "decimal": decimal.Decimal(1),
    "complex": 1j,
    "timedelta": dt.timedelta(1),
    "nan": float("nan"),
    "none": None,
    "pandas_na": pd.NA,
    "timestamp": pd.Timestamp("2024-01-01"),
    "empty_list": [],
    "empty_dict": {},
    "tuple": (1, 2),
}


def _array(dtype):
    numbers = np.zeros((3, 2), dtype="int64")
    return numbers.astype(dtype)


def _frame(column):
    return pd.DataFrame({"c": column})


CASES = {}
for _dtype in DTYPES:
    _values = _array(_dtype)
    CASES[f"array of {_dtype}"] = _values
    CASES[f"dictionary of arrays of {_dtype}"] = {"x": _values, "y": _values[0]}
    CASES[f"frame of {_dtype}"] = _frame(_values[:, 0])
    CASES[f"series of {_dtype}"] = pd.Series(_values[:, 0], name="s")
for _name, _value in SCALARS.items():
    if _value is not None:
        CASES[f"scalar {_name}"] = _value
    CASES[f"list of {_name}"] = [_value, _value]
    CASES[f"list of {_name} and None"] = [_value, None]
    CASES[f"list of lists of {_name}"] = [[_value], [_value]]
    CASES[f"dictionary of {_name}"] = {"k": _value}
    CASES[f"dictionary of lists of {_name}"] = {"k": [_value, None]}
    CASES[f"list of dictionaries of {_name}"] = [{"k": _value}, {"k": _value, "j": 1}]
    CASES[f"list of dictionaries of {_name} or None"] = [{"k": _value}, {"k": None}]
    CASES[f"nested dictionary of {_name}"] = {"k": {"z": _value, "a": {"q": [_value]}}}
    CASES[f"frame with cells {_name}"] = _frame([_value, _value])
    CASES[f"frame with cells {_name} and None"] = _frame([_value, None])
for _dtype in ["Int8", "Int32", "Int64", "UInt8", "UInt32", "UInt64", "Float32", "Float64", "boolean"]:
    CASES[f"frame of extension {_dtype}"] = _frame(pd.array([1, 0], dtype=_dtype))
    CASES[f"frame of extension {_dtype} with missing"] = _frame(pd.array([1, None], dtype=_dtype))
CASES |= {
    "array of no dimension": np.array(1.0),
    "array of three dimensions": np.zeros((2, 3, 4), dtype="f4"),
    "array without rows": np.zeros((0, 3)),
    "ragged array": np.array([[1], [1, 2]], dtype=object),
    "big-endian array": np.zeros(2, dtype=">f8"),
    "CSR matrix": sp.csr_matrix(np.eye(3)),
    "CSC matrix of float32": sp.csc_matrix(np.eye(3, dtype="f4")),
    "frame of all kinds": pd.DataFrame(
        {
            "i": [1, 2],
            "f": [1.0, np.nan],
            "s": ["a", "b"],
            "sn": ["a", None],
            "b": [True, False],
            "by": [b"a", b"b"],
            "d": pd.to_datetime(["2024-01-01", "2024-01-02"]),
            "dn": pd.to_datetime(["2024-01-01", None]),
            "dz": pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True),
            "l": [[1, 2], [3]],
            "o": [{"a": 1, "b": "x"}, {"a": 2}],
            "n": [None, None],
            "le": [[], [1]],
            "on": [{"a": None}, {"a": 1.0}],
            "nested": [{"a": [{"b": 1}]}, {"a": [{"b": 2, "c": "x"}]}],
        }
    ),
    "categories of integers": _frame(pd.Categorical([1, 2, 1])),
    "categories with missing": _frame(pd.Categorical(["a", None, "b"])),
    "mixed column": _frame([1, "a"]),
    "objects that are integers": _frame(np.array([1, 2], dtype=object)),
    "objects that are integers or None": _frame(np.array([1, None], dtype=object)),
    "periods": _frame(pd.period_range("2024", periods=2)),
    "intervals": _frame(pd.interval_range(0, 2)),
    "cells with arrays": _frame([np.array([1, 2]), np.array([3])]),
    "cells with matrices": _frame([np.zeros((2, 2))]),
    "cells with empty arrays": _frame([np.array([]), np.array([])]),
    "objects with different keys": _frame([{"a": 1}, {"b": 2}]),
    "objects with conflicting types": _frame([{"a": 1}, {"a": "x"}]),
    "objects or None": _frame([{"a": {"x": 1}}, {"a": {"y": 2}}, {"a": None}]),
    "lists of objects": _frame([{"a": [{"x": 1}, {"x": None}]}, {"a": []}]),
    "frame without rows": pd.DataFrame({"a": []}),
    "frame without columns": pd.DataFrame(),
    "frame with default columns": pd.DataFrame(np.zeros((2, 3))),
    "frame with a name used twice": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "frame with two levels of names": pd.DataFrame(
        [[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    ),
    "names beyond ASCII": pd.DataFrame({"é": [1.0], "日本": ["x"]}),
    "series without name": pd.Series([1, 2]),
    "series without name with missing": pd.Series([1.0, np.nan]),
    "series with name and missing": pd.Series([1.0, np.nan], name="x"),
    "empty list": [],
    "empty dictionary": {},
    "empty text": "",
    "mixed list": [1, "a"],
    "integers and floats": [1, 1.5],
    "lists of integers and of text": [[1], ["a"]],
    "lists with an empty one": [[1], []],
    "lists of lists": [[[1]], [[]]],
    "dictionaries and a number": [{"a": 1}, 2],
    "dictionary with integer keys": {1: 2},
    "dictionary of an array and a number": {"a": np.zeros(2), "b": 1},
    "messages of a chat": {"messages": [{"role": "user", "content": "x"}]},
    "a set": {1},
}

PARAMS = {
    "one of each": {
        "a": 1,
        "b": "x",
        "c": 1.5,
        "d": True,
        "e": [1, 2],
        "f": ["a"],
        "h": MOMENT,
        "i": [MOMENT],
        "j": dt.date(2024, 1, 1),
        "k": np.int32(1),
        "l": np.float32(0.5),
        "m": np.array([1, 2]),
        "n": {"a": 1, "b": [1]},
        "o": np.datetime64("2024-01-01"),
    },
    "nested dictionary": {"a": {"b": {"c": 1}}},
    "None": {"a": None},
    "empty list": {"a": []},
    "two dimensions": {"a": [[1]]},
    "bytes": {"a": b"x"},
    "int8": {"a": np.int8(1)},
    "too large an integer": {"a": 2**70},
    "mixed list": {"a": [1, "x"]},
    "tuple": {"a": (1, 2)},
    "NaN": {"a": float("nan")},
    "integer name": {1: 2},
    "no dictionary": [1],
}
