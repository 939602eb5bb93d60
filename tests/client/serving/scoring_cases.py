"""Models and requests for scoring servers: name -> signature, and (model, content type, body) for each request.

`Echo` tells what a model is given, so that two servers can be compared in what they make of a request; `Odd` gives what
models may give. Used by Python with MLflow and with Holdfast, and so imports neither.
"""

# ruff: noqa: E501, DTZ001 - a table, with lines as they are sent, and times without a zone because models give such
import datetime as dt
import json

import numpy as np
import pandas as pd


def describe(value):
    """What a value is, as JSON."""
    if isinstance(value, pd.DataFrame):
        return {str(name): [str(value[name].dtype), [describe(cell) for cell in value[name]]] for name in value.columns}
    if isinstance(value, np.ndarray):
        return ["array", str(value.dtype), list(value.shape), [describe(item) for item in value.ravel().tolist()]]
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, [describe(item) for item in value]]
    return f"{type(value).__name__} {value}"


class Echo:
    """Predicts what it was given."""

    def predict(self, data, params=None):
        return {"data": describe(data), "params": describe(params)}


class Odd:
    """Predicts what the name in its input says."""

    def predict(self, data):
        name = str(np.ravel(np.asarray(data, dtype=object))[0])
        if name == "raises":
            raise ValueError("no such fruit")
        return OUTPUTS[name]()


OUTPUTS = {
    "ints": lambda: np.array([1, 2]),
    "floats": lambda: np.array([1.5, np.nan, np.inf]),
    "matrix": lambda: np.array([[1.0, 2.0], [3.0, 4.0]]),
    "scalar": lambda: np.float32(1.5),
    "texts": lambda: np.array(["a", "b"]),
    "objects": lambda: np.array(["a", 1, None], dtype=object),
    "bytes array": lambda: np.array([b"a", b"bc"]),
    "bytes": lambda: [b"hello", bytearray(b"x")],
    "times": lambda: [dt.datetime(2026, 1, 2, 3, 4, 5), dt.date(2026, 1, 2), pd.Timestamp("2026-01-02"), dt.time(1, 2)],
    "datetime64": lambda: np.array(["2026-01-02"], dtype="datetime64[D]"),
    "nanoseconds": lambda: np.array(["2026-01-02"], dtype="datetime64[ns]"),
    "nested": lambda: {"a": np.array([1, 2]), "b": [np.int64(3), {"c": np.float64(0.5)}]},
    "frame": lambda: pd.DataFrame({"x": [1, 2], "y": ["a", None], "z": [pd.Timestamp("2026-01-02"), pd.NaT]}),
    "series": lambda: pd.Series([1, 2], name="s"),
    "unnamed series": lambda: pd.Series([1.5, 2.5]),
    "list": lambda: [1, "a", None, True],
    "text": lambda: "just text",
    "none": lambda: None,
    "empty": lambda: np.array([]),
    "set": lambda: {1, 2},
}

D, L = "double", "long"


def columns(*specs):
    return [{"type": kind.rstrip("?"), "name": name, "required": not kind.endswith("?")} for name, kind in specs]


def tensor(dtype, shape, **name):
    return {**name, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}


ARRAY = {"type": "array", "items": {"type": "double"}, "name": "a", "required": True}
OBJECT = {
    "type": "object",
    "properties": {"x": {"type": "long", "required": True}, "y": {"type": "string", "required": False}},
    "name": "o",
    "required": True,
}
MAP = {"type": "map", "values": {"type": "long"}, "name": "m", "required": False}
ANY = {"type": "any", "name": "z", "required": False}

# name -> (class, inputs, params) of the signature; None for no signature.
MODELS = {
    "doubles": (Echo, columns(("a", D), ("b", D), ("c", D)), None),
    "mixed": (Echo, columns(("d", D), ("l", L), ("s", "string"), ("b", "boolean")), None),
    "narrow": (Echo, columns(("f", "float"), ("i", "integer"), ("n", "integer?")), None),
    "special": (Echo, columns(("t", "datetime"), ("x", "binary"), ("o", "double?")), None),
    "one": (Echo, columns(("a", D)), None),
    "text": (Echo, columns(("s", "string")), None),
    "nested": (Echo, [ARRAY, OBJECT, MAP, ANY], None),
    "unnamed": (Echo, [{"type": "double", "required": True}], None),
    "unnamed pair": (Echo, [{"type": "double", "required": True}, {"type": "long", "required": True}], None),
    "tensor": (Echo, [tensor("float64", [-1, 3])], None),
    "int tensor": (Echo, [tensor("int64", [-1, 2, 2])], None),
    "tensors": (Echo, [tensor("float32", [-1], name="p"), tensor("int64", [-1, 2], name="q")], None),
    "params": (
        Echo,
        columns(("a", D)),
        [
            {"name": "k", "type": "long", "default": 1, "shape": None},
            {"name": "s", "type": "string", "default": "x", "shape": None},
            {"name": "t", "type": "double", "default": [0.5], "shape": [-1]},
        ],
    ),
    "free": (Echo, None, None),
    "odd": (Odd, None, None),
}


def build(name):
    """The estimator of a model."""
    return MODELS[name][0]()


def signature(name):
    """The signature of a model as MLmodel has it; None for none."""
    _, inputs, params = MODELS[name]
    if inputs is None:
        return None
    return {
        "inputs": json.dumps(inputs),
        "outputs": None,
        "params": json.dumps(params) if params else None,
    }


JSON = "application/json"


def _requests():
    """(model, name, content type, body)."""
    abc = ["a", "b", "c"]
    yield from _json(
        "doubles",
        {
            "split": {"dataframe_split": {"columns": abc, "data": [[1, 2.5, 3], [4, 5, 6]]}},
            "split with index": {"dataframe_split": {"columns": abc, "index": [7], "data": [[1, 2, 3]]}},
            "split in another order": {"dataframe_split": {"columns": ["c", "a", "b"], "data": [[1, 2, 3]]}},
            "split without columns": {"dataframe_split": {"data": [[1, 2, 3]]}},
            "split without data": {"dataframe_split": {"columns": abc}},
            "split with another key": {"dataframe_split": {"columns": abc, "data": [], "rows": 1}},
            "split as a list": {"dataframe_split": [[1, 2, 3]]},
            "split ragged": {"dataframe_split": {"columns": abc, "data": [[1, 2, 3], [4, 5]]}},
            "split with an extra column": {"dataframe_split": {"columns": [*abc, "d"], "data": [[1, 2, 3, 4]]}},
            "split lacks a column": {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}},
            "split without rows": {"dataframe_split": {"columns": abc, "data": []}},
            "split with null": {"dataframe_split": {"columns": abc, "data": [[1, None, 3]]}},
            "split with nulls only": {"dataframe_split": {"columns": abc, "data": [[None, None, None]]}},
            "split with truth values": {"dataframe_split": {"columns": abc, "data": [[True, 1, 2]]}},
            "split with numbers as text": {"dataframe_split": {"columns": abc, "data": [["1", "2.5", 3]]}},
            "split with text": {"dataframe_split": {"columns": abc, "data": [["x", 2, 3]]}},
            "split with lists": {"dataframe_split": {"columns": abc, "data": [[[1], 2, 3]]}},
            "split with large integers": {"dataframe_split": {"columns": abc, "data": [[2**70, 2**53 + 1, -(2**63)]]}},
            "records": {"dataframe_records": [{"a": 1, "b": 2, "c": 3}, {"c": 1.5, "b": 2, "a": 3}]},
            "records of different keys": {"dataframe_records": [{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}]},
            "records as a dictionary": {"dataframe_records": {"a": 1}},
            "no records": {"dataframe_records": []},
            "records of lists": {"dataframe_records": [[1, 2, 3]]},
            "inputs by column": {"inputs": {"a": [1, 2], "b": [3, 4], "c": [5, 6]}},
            "inputs by column, different lengths": {"inputs": {"a": [1, 2], "b": [3], "c": [5, 6]}},
            "inputs by column, scalars": {"inputs": {"a": 1, "b": 2, "c": 3}},
            "inputs by row": {"inputs": [{"a": 1, "b": 2, "c": 3}]},
            "inputs as a list of lists": {"inputs": [[1, 2, 3]]},
            "inputs by column with text": {"inputs": {"a": ["x"], "b": [3], "c": [5]}},
            "no inputs": {"inputs": []},
            "inputs null": {"inputs": None},
            "instances by row": {"instances": [{"a": 1, "b": 2, "c": 3}, {"a": 4, "b": 5, "c": None}]},
            "instances lack a column": {"instances": [{"a": 1, "b": 2}]},
            "instances of different lengths": {"instances": [{"a": 1, "b": 2, "c": 3}, {"a": 4, "b": 5}]},
            "instances with an extra column": {"instances": [{"a": 1, "b": 2, "c": 3, "d": 4}]},
            "instances as a list of lists": {"instances": [[1, 2, 3]]},
            "instances by column": {"instances": {"a": [1], "b": [2], "c": [3]}},
            "two forms": {"inputs": [1], "instances": [1]},
            "no form": {"data": [1]},
            "nothing": {},
            "another key besides": {"inputs": {"a": [1], "b": [2], "c": [3]}, "signature_name": "x", "foo": 1},
            "params that are not there": {"inputs": {"a": [1], "b": [2], "c": [3]}, "params": {"k": 1}},
            "params as a list": {"inputs": {"a": [1], "b": [2], "c": [3]}, "params": [1]},
            "a list": [1, 2],
            "a number": 5,
            "null": None,
        },
    )
    for name, body in {
        "not JSON": "{",
        "no body": "",
        "NaN and Infinity": '{"inputs": {"a": [NaN], "b": [Infinity], "c": [-Infinity]}}',
        "keys twice": '{"inputs": {"a": [1], "b": [2], "c": [3]}, "inputs": {"a": [9], "b": [9], "c": [9]}}',
    }.items():
        yield "doubles", name, JSON, body
    yield "doubles", "bad UTF-8", JSON, "\udcff"
    split = json.dumps({"dataframe_split": {"columns": abc, "data": [[1, 2, 3]]}})
    for content_type in (
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json; charset=latin-1",
        "application/json; format=pandas-split",
        "application/xml",
        "text/plain",
        "application/x-www-form-urlencoded",
        "APPLICATION/JSON",
    ):
        yield "doubles", f"as {content_type}", content_type, split
    yield from _json(
        "mixed",
        {
            "exact": {"dataframe_split": {"columns": ["d", "l", "s", "b"], "data": [[1, 2, "x", True], [0.5, 3, "y", False]]}},
            "exact records": {"dataframe_records": [{"d": 1, "l": 2, "s": "x", "b": True}]},
            "exact inputs": {"inputs": {"d": [1], "l": [2], "s": ["x"], "b": [True]}},
            "exact instances": {"instances": [{"d": 1, "l": 2, "s": "x", "b": True}]},
            "fractions for integers": {"dataframe_records": [{"d": 1, "l": 2.7, "s": "x", "b": True}]},
            "fractions for integers, inputs": {"inputs": [{"d": 1, "l": 2.7, "s": "x", "b": True}]},
            "null for integers": {"dataframe_records": [{"d": 1, "l": None, "s": "x", "b": True}]},
            "null for integers, inputs": {"inputs": {"d": [1], "l": [None], "s": ["x"], "b": [True]}},
            "null for text": {"dataframe_records": [{"d": 1, "l": 2, "s": None, "b": True}, {"d": 1, "l": 2, "s": "a", "b": True}]},
            "null for truth": {"dataframe_records": [{"d": 1, "l": 2, "s": "x", "b": None}]},
            "numbers for text": {"dataframe_records": [{"d": 1, "l": 2, "s": 5, "b": True}]},
            "numbers for text, inputs": {"inputs": [{"d": 1, "l": 2, "s": 5, "b": True}]},
            "numbers for truth": {"dataframe_records": [{"d": 1, "l": 2, "s": "x", "b": 1}]},
            "text for truth": {"dataframe_records": [{"d": 1, "l": 2, "s": "x", "b": "yes"}]},
            "truth for integers": {"dataframe_records": [{"d": 1, "l": True, "s": "x", "b": True}]},
            "integers beyond 64 bits": {"dataframe_records": [{"d": 1, "l": 2**64, "s": "x", "b": True}]},
        },
    )  # fmt: skip
    yield from _json(
        "narrow",
        {
            "exact": {"dataframe_split": {"columns": ["f", "i", "n"], "data": [[0.1, 1, 2]]}},
            "integers for floats": {"dataframe_split": {"columns": ["f", "i", "n"], "data": [[1, 1, 2], [16777217, 1, 2]]}},
            "integers beyond 32 bits": {"dataframe_split": {"columns": ["f", "i", "n"], "data": [[0.1, 2**31, 2]]}},
            "integers beyond 32 bits, inputs": {"inputs": {"f": [0.1], "i": [2**31], "n": [2]}},
            "optional left out": {"dataframe_split": {"columns": ["f", "i"], "data": [[0.1, 1]]}},
            "optional null": {"dataframe_split": {"columns": ["f", "i", "n"], "data": [[0.1, 1, None]]}},
            "optional left out, instances": {"instances": [{"f": 0.5, "i": 1}]},
            "optional in some rows": {"instances": [{"f": 0.5, "i": 1, "n": 2}, {"f": 0.5, "i": 1}]},
            "floats beyond range": {"dataframe_split": {"columns": ["f", "i"], "data": [[1e300, 1]]}},
        },
    )  # fmt: skip
    yield from _json(
        "special",
        {
            "a time and bytes": {"dataframe_records": [{"t": "2026-01-02T03:04:05", "x": "aGVsbG8=", "o": 1}]},
            "a date": {"dataframe_records": [{"t": "2026-01-02", "x": "aGVsbG8="}]},
            "microseconds": {"dataframe_records": [{"t": "2026-01-02 03:04:05.123456", "x": ""}]},
            "a time zone": {"dataframe_records": [{"t": "2026-01-02T03:04:05Z", "x": "aGVsbG8="}]},
            "a time as a number": {"dataframe_records": [{"t": 1767322800000000000, "x": "aGVsbG8="}]},
            "no time": {"dataframe_records": [{"t": "soon", "x": "aGVsbG8="}]},
            "no base64": {"dataframe_records": [{"t": "2026-01-02", "x": "!!"}]},
            "base64 that is cut": {"dataframe_records": [{"t": "2026-01-02", "x": "aGVsbG8"}]},
            "a number for bytes": {"dataframe_records": [{"t": "2026-01-02", "x": 5}]},
            "null for bytes": {"dataframe_records": [{"t": "2026-01-02", "x": None}]},
            "null for a time": {"dataframe_records": [{"t": None, "x": "aGVsbG8="}]},
            "inputs": {"inputs": [{"t": "2026-01-02", "x": "aGVsbG8="}]},
            "inputs by column": {"inputs": {"t": ["2026-01-02"], "x": ["aGVsbG8="]}},
            "split": {"dataframe_split": {"columns": ["t", "x"], "data": [["2026-01-02", "aGVsbG8="]]}},
        },
    )
    yield from _json(
        "one",
        {
            "inputs as a list": {"inputs": [1, 2.5, 3]},
            "inputs as a scalar": {"inputs": 5},
            "instances as a list": {"instances": [1, 2, 3]},
            "inputs nested": {"inputs": [[1], [2]]},
            "split": {"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}},
            "split flat": {"dataframe_split": {"columns": ["a"], "data": [1, 2]}},
            "inputs by column": {"inputs": {"a": [1, 2]}},
        },
    )
    yield from _json(
        "text",
        {
            "inputs as a list": {"inputs": ["x", "yz"]},
            "inputs as text": {"inputs": "x"},
            "records": {"dataframe_records": [{"s": "x"}, {"s": "yz"}]},
            "numbers": {"inputs": [1, 2]},
            "unwrapped prompt": {"prompt": "x", "temperature": 1},
        },
    )
    row = {"a": [1.5, 2], "o": {"x": 1, "y": "t"}, "m": {"k": 1}, "z": [1, "a"]}
    yield from _json(
        "nested",
        {
            "records": {"dataframe_records": [row]},
            "inputs": {"inputs": [row]},
            "instances": {"instances": [row]},
            "optional left out": {"dataframe_records": [{"a": [1.5], "o": {"x": 1}}]},
            "a list of text": {"dataframe_records": [{**row, "a": ["x"]}]},
            "an unknown key": {"dataframe_records": [{**row, "o": {"x": 1, "w": 2}}]},
            "a key is missing": {"dataframe_records": [{**row, "o": {"y": "t"}}]},
            "a map of text": {"dataframe_records": [{**row, "m": {"k": "v"}}]},
            "no list": {"dataframe_records": [{**row, "a": 5}]},
            "split": {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
        },
    )
    for model in ("unnamed", "unnamed pair", "tensor", "int tensor", "tensors", "free"):
        yield from _json(
            model,
            {
                "inputs flat": {"inputs": [1, 2, 3]},
                "inputs pairs": {"inputs": [[1, 2], [3, 4]]},
                "inputs triples": {"inputs": [[1, 2, 3], [4, 5, 6.5]]},
                "inputs cubes": {"inputs": [[[1, 2], [3, 4]]]},
                "inputs ragged": {"inputs": [[1, 2, 3], [4]]},
                "inputs with null": {"inputs": [[1, None, 3]]},
                "inputs scalar": {"inputs": 5},
                "inputs text": {"inputs": "x"},
                "inputs texts": {"inputs": ["x", "y"]},
                "inputs dictionary": {"inputs": {"p": [1, 2], "q": [[1, 2], [3, 4]]}},
                "inputs rows": {"inputs": [{"p": 1, "q": [1, 2]}, {"p": 3, "q": [3, 4]}]},
                "instances triples": {"instances": [[1, 2, 3], [4, 5, 6]]},
                "instances rows": {"instances": [{"p": 1, "q": [1, 2]}, {"p": 3, "q": [3, 4]}]},
                "instances dictionary": {"instances": {"p": [1, 2], "q": [[1, 2]]}},
                "split triples": {"dataframe_split": {"data": [[1, 2, 3], [4, 5, 6]]}},
                "split pairs": {"dataframe_split": {"columns": ["x", "y"], "data": [[1, 2], [3, 4]]}},
                "records": {"dataframe_records": [{"p": 1, "q": [1, 2]}, {"p": 3, "q": [3, 4]}]},
                "unwrapped messages": {"messages": [{"role": "user", "content": "hi"}], "n": 1},
            },
        )
    some = {"inputs": {"a": [1, 2]}}
    yield from _json(
        "params",
        {
            "none": some,
            "empty": {**some, "params": {}},
            "all": {**some, "params": {"k": 2, "s": "y", "t": [1, 2.5]}},
            "null": {**some, "params": None},
            "one is null": {**some, "params": {"k": None}},
            "an unknown one": {**some, "params": {"nobody": 1}},
            "a fraction for an integer": {**some, "params": {"k": 1.5}},
            "a number for text": {**some, "params": {"s": 1}},
            "a number for a list": {**some, "params": {"t": 1.5}},
            "a list for a number": {**some, "params": {"k": [1]}},
            "text": {**some, "params": "k=1"},
            "a list": {**some, "params": [1]},
            "with instances": {"instances": [{"a": 1}], "params": {"k": 5}},
            "with split": {"dataframe_split": {"columns": ["a"], "data": [[1]]}, "params": {"k": 5}},
        },
    )
    yield from _json("odd", {name: {"inputs": [name]} for name in [*OUTPUTS, "raises"]})
    yield from _json("odd", {f"unwrapped {name}": {"prompt": name} for name in ("ints", "text")})
    csv = "text/csv"
    yield "doubles", "CSV", csv, "a,b,c\n1,2.5,3\n4,,6\n"
    yield "doubles", "CSV in another order", csv, "c,b,a\n1,2,3\n"
    yield "doubles", "CSV lacks a column", csv, "a,b\n1,2\n"
    yield "doubles", "CSV with an extra column", csv, "a,b,c,d\n1,2,3,x\n"
    yield "doubles", "CSV with text", csv, "a,b,c\nx,2,3\n"
    yield "doubles", "CSV without rows", csv, "a,b,c\n"
    yield "doubles", "empty CSV", csv, ""
    yield "doubles", "CSV with quotes", csv, '"a","b","c"\r\n"1","2","3"\r\n'
    yield "doubles", "CSV with a charset", "text/csv; charset=utf-8", "a,b,c\n1,2,3\n"
    yield "mixed", "CSV", csv, "d,l,s,b\n1,2,x,True\n"
    yield "mixed", "CSV with fractions for integers", csv, "d,l,s,b\n1,2.5,x,True\n"
    yield "mixed", "CSV with numbers for text", csv, "d,l,s,b\n1,2,007,False\n"
    yield "mixed", "CSV with nothing for an integer", csv, "d,l,s,b\n1,,x,True\n"
    yield "mixed", "CSV with nothing for text", csv, "d,l,s,b\n1,2,,True\n"
    yield "narrow", "CSV", csv, "f,i,n\n0.1,1,2\n"
    yield "narrow", "CSV, optional left out", csv, "f,i\n0.1,1\n"
    yield "special", "CSV", csv, "t,x,o\n2026-01-02,aGVsbG8=,1\n"
    yield "tensor", "CSV", csv, "a,b,c\n1.5,2,3\n"
    yield "free", "CSV", csv, "a,b\n1,x\n2.5,\n"
    yield "free", "CSV bad UTF-8", csv, "a\n\udcff\n"


def _json(model, requests):
    for name, content in requests.items():
        yield model, name, JSON, json.dumps(content)


REQUESTS = {f"{model}: {name}": (model, kind, body) for model, name, kind, body in _requests()}


def body_bytes(text):
    """The body as it is sent; surrogates stand for bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape")
