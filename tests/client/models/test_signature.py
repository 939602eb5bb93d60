"""Signatures: what is inferred is what MLflow infers, and JSON goes both ways."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from holdfast.errors import InvalidArgumentError
from holdfast.models import (
    AnyType,
    Array,
    ColSpec,
    DataType,
    Map,
    ModelSignature,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
    infer_signature,
)

HERE = Path(__file__).parent
LOADED = runpy.run_path(str(HERE / "signature_cases.py"))
GOLDEN = json.loads((HERE / "signature_cases.json").read_text())


@pytest.mark.filterwarnings("ignore:The inputs have no schema")
@pytest.mark.parametrize("name", LOADED["CASES"])
def test_inferred_signature_is_the_one_mlflow_infers(name):
    value = LOADED["CASES"][name]
    assert infer_signature(value).to_dict() == GOLDEN[name]


@pytest.mark.parametrize("name", LOADED["PARAMS"])
def test_inferred_parameters_are_those_mlflow_infers(name):
    value, expected = LOADED["PARAMS"][name], GOLDEN[f"params: {name}"]
    if expected is None:
        with pytest.raises(InvalidArgumentError):
            infer_signature(params=value)
    else:
        assert infer_signature(params=value).to_dict() == expected


@pytest.mark.parametrize("name", [name for name, signature in GOLDEN.items() if signature is not None])
def test_signature_survives_its_json(name):
    signature = ModelSignature.from_dict(GOLDEN[name])
    assert signature.to_dict() == GOLDEN[name]
    assert ModelSignature.from_dict(json.loads(json.dumps(signature.to_dict()))) == signature


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pd.DataFrame({"c": np.array([1], dtype="uint64")}), id="uint64 column"),
        pytest.param(pd.DataFrame({"c": pd.to_timedelta([1])}), id="timedelta column"),
        pytest.param([1, "a"], id="mixed list"),
    ],
)
def test_what_has_no_type_becomes_any_with_a_warning(data):
    with pytest.warns(UserWarning, match="recorded as 'any'"):
        signature = infer_signature(data)
    assert signature.inputs == Schema([ColSpec(AnyType())])


def test_sparse_arrays_are_tensors_like_sparse_matrices():
    from scipy import sparse

    for make in (sparse.csr_array, sparse.coo_matrix):
        assert infer_signature(make(np.eye(3))).inputs == Schema([TensorSpec("float64", (-1, 3))])


def test_signature_looks_as_in_mlflow():
    signature = infer_signature(pd.DataFrame({"a": [1.0], "b": [{"x": 1}]}), np.zeros((1, 2)), {"k": [1]})
    assert repr(signature) == (
        "inputs: \n  ['a': double (required), 'b': {x: long (required)} (required)]\n"
        "outputs: \n  [Tensor('float64', (-1, 2))]\n"
        "params: \n  ['k': long (default: [1]) (shape: (-1,))]\n"
    )


def test_signatures_are_equal_by_value():
    one, other = (infer_signature(np.zeros((2, 3)), params={"k": 1}) for _ in range(2))
    assert one == other
    assert one != infer_signature(np.zeros((2, 4)), params={"k": 1})
    assert one != infer_signature(np.zeros((2, 3)), params={"k": 2})


def test_signature_is_made_by_hand_with_the_types_by_name_or_value():
    schema = Schema(
        [
            ColSpec("double", "a"),
            ColSpec(Array("string"), "b", required=False),
            ColSpec(Map(DataType.long), "c"),
            ColSpec(Object([Property("z", "long"), Property("y", AnyType(), required=False)]), "d"),
        ]
    )
    assert Schema.from_json(schema.to_json()) == schema
    assert schema.input_names() == ["a", "b", "c", "d"]
    assert schema.required_input_names() == ["a", "c", "d"]
    assert [item["name"] for item in schema.to_dict()] == ["a", "b", "c", "d"]
    assert list(schema.to_dict()[3]["properties"]) == ["y", "z"]


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        pytest.param(lambda: Schema([]), "at least one", id="empty schema"),
        pytest.param(lambda: Schema([ColSpec("long"), TensorSpec("int64", (-1,))]), "never both", id="mixed"),
        pytest.param(lambda: Schema([ColSpec("long"), ColSpec("long", "a")]), "have names or none", id="half named"),
        pytest.param(lambda: Schema([TensorSpec("int64", (-1,))] * 2), "need names", id="two unnamed tensors"),
        pytest.param(lambda: Schema([ColSpec("long", required=False)]), "cannot be optional", id="unnamed optional"),
        pytest.param(lambda: ColSpec("number"), "not a column type", id="unknown type"),
        pytest.param(lambda: TensorSpec("str32", (-1,)), "no item size", id="sized text"),
        pytest.param(lambda: Object([]), "at least one property", id="empty object"),
        pytest.param(lambda: Object([Property("a", "long")] * 2), "each property once", id="property twice"),
        pytest.param(lambda: ParamSpec("p", "binary", b"x"), "other than binary", id="binary parameter"),
        pytest.param(lambda: ParamSpec("p", "long", "x"), "cannot safely convert", id="default of another type"),
        pytest.param(lambda: ParamSpec("p", "long", [1], (2,)), "None or", id="shape of a parameter"),
        pytest.param(lambda: ParamSchema([ParamSpec("p", "long", 1)] * 2), "each parameter once", id="parameter twice"),
        pytest.param(ModelSignature, "needs inputs", id="empty signature"),
        pytest.param(lambda: Schema.from_json("{"), "not JSON", id="broken JSON"),
        pytest.param(lambda: Schema.from_json('[{"type": "array"}]'), "Not the JSON", id="array without items"),
        pytest.param(lambda: Schema.from_json('[{"type": "tensor"}]'), "tensor-spec", id="tensor without spec"),
    ],
)
def test_broken_signatures_are_refused_naming_the_rule(make, rule):
    with pytest.raises(InvalidArgumentError, match=rule):
        make()


def test_importing_the_models_package_imports_no_numerical_library():
    code = (
        "import sys, holdfast.models, holdfast.sklearn, holdfast.pyfunc; "
        "print([m for m in ('numpy', 'pandas', 'scipy', 'sklearn', 'yaml', 'grpc', 'cloudpickle') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
