"""Signatures of generated inputs are those that MLflow infers, as far as it infers any."""

import json
import pickle
import struct
import subprocess
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.interop.mlflow_python import MLFLOW_PYTHON, beside_mlflow
from tests.server_process import clean_environment

from holdfast.models import infer_signature

pytestmark = beside_mlflow

SCALARS = {
    "int": st.integers(-(2**31), 2**31 - 1),
    "float": st.floats(width=32),
    "text": st.text(max_size=3),
    "bool": st.booleans(),
    "bytes": st.binary(max_size=3),
    "datetime": st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - MLflow's are naive
    "int32": st.builds(np.int32, st.integers(-9, 9)),
    "float32": st.builds(np.float32, st.integers(-9, 9)),
    "nothing": st.none(),
}
KEYS = st.sampled_from(["a", "b", "c d", "é"])
DTYPES = st.sampled_from(["bool", "int8", "int32", "int64", "uint8", "uint32", "float32", "float64", "U2", "S2"])
ARRAYS = st.builds(
    lambda shape, dtype: np.zeros(shape, dtype=dtype), st.lists(st.integers(1, 3), min_size=1, max_size=3), DTYPES
)


@st.composite
def values_of_one_kind(draw, depth=2):
    """A strategy for values that are alike, as the cells of a column are; a few are missing."""
    kind = draw(st.sampled_from([*SCALARS, *(["list", "object"] if depth else [])]))
    if kind == "list":
        return st.lists(draw(values_of_one_kind(depth - 1)), max_size=3)
    if kind == "object":
        keys = draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
        always, *sometimes = [(key, draw(values_of_one_kind(depth - 1))) for key in keys]
        return st.fixed_dictionaries(dict([always]), optional=dict(sometimes))
    return SCALARS[kind] | st.none() if draw(st.integers(0, 4)) == 0 else SCALARS[kind]


@st.composite
def tables(draw):
    """A DataFrame, or the same as a dictionary of lists, or as a list of dictionaries."""
    names = draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
    rows = draw(st.integers(1, 3))
    columns = {name: draw(st.lists(draw(values_of_one_kind()), min_size=rows, max_size=rows)) for name in names}
    shape = draw(st.sampled_from(["frame", "lists", "records"]))
    if shape == "frame":
        return pd.DataFrame({name: pd.Series(column) for name, column in columns.items()})
    return (
        columns
        if shape == "lists"
        else [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    )


INPUTS = (
    tables()
    | ARRAYS
    | st.dictionaries(KEYS, ARRAYS, min_size=1, max_size=3)
    | values_of_one_kind().flatmap(lambda values: values.filter(lambda value: value is not None))
    | values_of_one_kind().flatmap(lambda values: st.lists(values, min_size=1, max_size=3))
)


@pytest.fixture(scope="module")
def mlflow_infers():
    """Asks an MLflow that stays; None where it infers nothing."""
    with subprocess.Popen(
        [MLFLOW_PYTHON, str(Path(__file__).with_name("mlflow_side.py")), "infer", "-"],
        env={key: value for key, value in clean_environment().items() if key != "PYTHONPATH"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:

        def ask(value):
            data = pickle.dumps(value)
            process.stdin.write(struct.pack("<I", len(data)) + data)
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(INPUTS)
def test_what_is_inferred_of_any_input_is_what_mlflow_infers(mlflow_infers, value):
    theirs = mlflow_infers(value)
    assume(theirs is not None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert infer_signature(value).to_dict() == theirs
