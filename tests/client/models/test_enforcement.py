"""Enforcement of signatures: safe conversions are made, all else is an error that names the column."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from holdfast.errors import InvalidArgumentError
from holdfast.models import infer_signature
from holdfast.models._enforcement import enforce_input, enforce_params

FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [1, 2]})
SCHEMA = infer_signature(FRAME).inputs


def test_columns_come_in_the_order_of_the_signature_and_extra_ones_are_dropped():
    result = enforce_input(FRAME.assign(z=1)[["c", "z", "b", "a"]], SCHEMA)
    pd.testing.assert_frame_equal(result, FRAME)


def test_missing_column_is_an_error_that_names_it():
    with pytest.raises(InvalidArgumentError, match=r"lacks the columns \['b'\]"):
        enforce_input(FRAME[["a", "c"]], SCHEMA)


def test_optional_column_may_be_absent():
    schema = infer_signature(pd.DataFrame({"a": [1.0], "b": [np.nan]})).inputs
    assert list(enforce_input(pd.DataFrame({"a": [1.0]}), schema).columns) == ["a"]


def test_the_index_is_kept():
    frame = FRAME.set_index(pd.Index([7, 8]))
    assert list(enforce_input(frame, SCHEMA).index) == [7, 8]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"a": [1.0, 2.0], "b": ["x", "y"], "c": [1, 2]}, id="dictionary of columns"),
        pytest.param([{"a": 1.0, "b": "x", "c": 1}, {"c": 2, "b": "y", "a": 2.0}], id="list of rows"),
        pytest.param({"a": np.array([1.0, 2.0]), "b": np.array(["x", "y"]), "c": np.array([1, 2])}, id="arrays"),
    ],
)
def test_tables_of_other_kinds_become_frames(data):
    assert enforce_input(data, SCHEMA)["a"].tolist() == [1.0, 2.0]


WIDENINGS = [
    ("int64", "int32", True),
    ("int64", "uint32", True),
    ("int32", "int64", False),
    ("int64", "uint64", False),
    ("int64", "float64", False),
    ("int64", "bool", False),
    ("float64", "float32", True),
    ("float64", "int32", True),
    ("float64", "int64", False),
    ("float32", "float64", False),
    ("float32", "int32", False),
    ("int32", "int8", True),
    ("int32", "uint16", True),
    ("int32", "uint32", False),
    ("bool", "int64", False),
    ("int64", "Int64", True),
]


@pytest.mark.parametrize(
    ("declared", "given", "safe"), [pytest.param(*row, id="<-".join(row[:2])) for row in WIDENINGS]
)
def test_numbers_widen_only_where_no_value_can_change(declared, given, safe):
    schema = infer_signature(pd.DataFrame({"n": np.array([1, 2], dtype=declared)})).inputs
    frame = pd.DataFrame({"n": pd.array([5, 6] if given != "bool" else [True, False], dtype=given)})
    if safe:
        assert enforce_input(frame, schema)["n"].dtype == declared
    else:
        with pytest.raises(InvalidArgumentError, match=r"Column 'n' cannot be safely converted"):
            enforce_input(frame, schema)


def test_integer_column_with_missing_values_explains_itself():
    schema = infer_signature(pd.DataFrame({"n": [1, 2]})).inputs
    with pytest.raises(InvalidArgumentError, match="missing values, which turn integer columns into floats"):
        enforce_input(pd.DataFrame({"n": [1, None]}), schema)


def test_datetimes_of_any_resolution_become_nanoseconds_and_time_zones_are_refused():
    moments = pd.to_datetime(["2024-01-01"])
    schema = infer_signature(pd.DataFrame({"d": moments})).inputs
    result = enforce_input(pd.DataFrame({"d": moments.astype("datetime64[s]")}), schema)
    assert result["d"].dtype == "datetime64[ns]"
    with pytest.raises(InvalidArgumentError, match="time zone"):
        enforce_input(pd.DataFrame({"d": moments.tz_localize("UTC")}), schema)


def test_nested_values_are_checked_and_the_error_says_where():
    schema = infer_signature(pd.DataFrame({"o": [{"a": [1], "b": "x"}, {"a": [2]}]})).inputs
    enforce_input(pd.DataFrame({"o": [{"a": [3, 4]}]}), schema)
    with pytest.raises(InvalidArgumentError, match=r"Column 'o': \['a'\]: \[1\]: expected long, got 'x'"):
        enforce_input(pd.DataFrame({"o": [{"a": [1, "x"]}]}), schema)
    with pytest.raises(InvalidArgumentError, match=r"keys \['a'\] are missing"):
        enforce_input(pd.DataFrame({"o": [{"b": "x"}]}), schema)
    with pytest.raises(InvalidArgumentError, match=r"keys \['c'\] are not in the signature"):
        enforce_input(pd.DataFrame({"o": [{"a": [1], "c": 1}]}), schema)


def test_unnamed_columns_are_counted():
    schema = infer_signature([1.0, 2.0]).inputs
    assert enforce_input([3.0], schema).shape == (1, 1)
    assert enforce_input(np.zeros((2, 2)), schema).shape == (2, 1)
    with pytest.raises(InvalidArgumentError, match="has 1 columns, and the input has 0"):
        enforce_input(pd.DataFrame(), schema)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(np.zeros((5, 4)), r"has shape \(5, 4\)", id="other width"),
        pytest.param(np.zeros(3), r"has shape \(3,\)", id="other rank"),
        pytest.param(np.zeros((5, 3), dtype="f4"), "has dtype float32", id="other dtype"),
        pytest.param([[1.0, 2.0, 3.0]], "not list", id="list"),
        pytest.param(pd.DataFrame(np.zeros((2, 3), dtype=int)), "has dtype int64", id="frame of integers"),
        pytest.param(pd.DataFrame(), "empty", id="empty frame"),
        pytest.param(None, "not NoneType", id="None"),
    ],
)
def test_tensor_of_another_shape_or_dtype_is_an_error(data, message):
    schema = infer_signature(np.zeros((2, 3))).inputs
    with pytest.raises(InvalidArgumentError, match=message):
        enforce_input(data, schema)


def test_tensor_is_given_as_array_sparse_matrix_or_frame():
    schema = infer_signature(np.zeros((2, 3))).inputs
    for data in (np.zeros((9, 3)), sp.csr_matrix(np.eye(3)), pd.DataFrame(np.zeros((2, 3)))):
        assert enforce_input(data, schema).shape[1] == 3
    cells = pd.DataFrame({"q": [[1.0, 2.0, 3.0], [4, 5, 6]]})
    assert enforce_input(cells, schema).tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def test_named_tensors_are_given_by_name():
    schema = infer_signature({"x": np.zeros((2, 3)), "y": np.zeros(2)}).inputs
    result = enforce_input({"y": np.zeros(4), "x": np.zeros((4, 3)), "z": np.zeros(1)}, schema)
    assert list(result) == ["x", "y"]
    with pytest.raises(InvalidArgumentError, match=r"lacks \['y'\]"):
        enforce_input({"x": np.zeros((4, 3))}, schema)
    with pytest.raises(InvalidArgumentError, match="'y' must be an array"):
        enforce_input({"x": np.zeros((4, 3)), "y": [1.0]}, schema)


PARAMS = infer_signature(params={"k": 1, "t": 0.5, "names": ["a"], "at": dt.date(2024, 1, 1)}).params


def test_parameters_get_their_defaults():
    assert enforce_params(None, PARAMS) == {"k": 1, "t": 0.5, "names": ["a"], "at": dt.date(2024, 1, 1)}
    assert enforce_params({"t": 2, "at": "2024-02-03"}, PARAMS) | {"names": []} == {
        "k": 1,
        "t": 2.0,
        "names": [],
        "at": dt.date(2024, 2, 3),
    }


def test_parameters_that_the_signature_lacks_are_dropped_and_logged(caplog):
    assert enforce_params({"zz": 1}, None) == {}
    assert "['zz']" in caplog.text


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"k": 1.5}, id="float for integer"),
        pytest.param({"k": [1]}, id="list for scalar"),
        pytest.param({"names": "a"}, id="scalar for list"),
        pytest.param({"names": [1]}, id="list of another type"),
        pytest.param({"at": "soon"}, id="no date"),
        pytest.param([1], id="no dictionary"),
    ],
)
def test_parameters_of_another_type_are_an_error(params):
    with pytest.raises(InvalidArgumentError):
        enforce_params(params, PARAMS)
