"""`PredictionService` of a real server, over its socket, with the generated stubs."""

import json
import sys

import grpc
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from google.protobuf import struct_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sklearn.datasets import load_iris
from tests.client.serving.gated_models import make_gated
from tests.client.serving.model_server import model_server, until

import holdfast.sklearn
from holdfast.serving.arrow import frame_from_arrow, frame_to_arrow
from holdfast.serving.errors import ServingError
from holdfast.serving.messages import array_from_tensor, frame_from_table, table_from_frame, tensor_from_array
from holdfast.v1 import prediction_pb2 as messages
from holdfast.v1 import prediction_service_pb2 as service
from holdfast.v1.prediction_service_pb2_grpc import PredictionServiceStub

FRAME = load_iris(as_frame=True).data.iloc[[0, 60, 120]].set_axis(["a", "b", "c", "d"], axis=1)


@pytest.fixture(scope="module")
def channel(iris_server):
    with grpc.insecure_channel(iris_server.grpc_address) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return PredictionServiceStub(channel)


def predict(stub, **fields):
    return stub.Predict(service.PredictRequest(input=messages.PredictionInput(**fields)), timeout=120).output


def reason(error):
    """The reason of an error, by which programs know it."""
    (value,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    info = error_details_pb2.ErrorInfo()
    (detail,) = status_pb2.Status.FromString(value).details
    assert detail.Unpack(info)
    assert info.domain == "holdfast"
    return info.reason


def test_columns_are_predicted_from(stub):
    output = predict(stub, table=table_from_frame(FRAME))
    (tensor,) = output.tensors.tensors
    assert (tensor.dtype, array_from_tensor(tensor).tolist()) == ("int64", [0, 1, 2])


def test_arrow_goes_in_and_out(stub):
    output = predict(stub, arrow_stream=frame_to_arrow(FRAME), output_format=messages.PREDICTION_FORMAT_ARROW)
    table = pa.ipc.open_stream(output.arrow_stream).read_all()
    assert table.to_pydict() == {"predictions": [0, 1, 2]}


def test_json_goes_in_and_out(stub):
    text = json.dumps({"inputs": FRAME.to_dict(orient="list")})
    assert predict(stub, json=text, output_format=messages.PREDICTION_FORMAT_JSON).json == "[0, 1, 2]"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        pytest.param({}, "set one of table", id="no data"),
        pytest.param({"table": messages.Table()}, "['a', 'b', 'c', 'd']", id="no columns"),
        pytest.param({"table": table_from_frame(FRAME[["a", "b", "c"]])}, "'d': double", id="a column is missing"),
        pytest.param({"table": table_from_frame(FRAME.assign(a="x"))}, "Column 'a'", id="text for numbers"),
        pytest.param({"arrow_stream": b"arrow"}, "not an Arrow IPC stream", id="no Arrow"),
        pytest.param({"json": "{"}, "not JSON", id="no JSON"),
        pytest.param({"json": "{}", "output_format": 9}, "exactly one of", id="no form"),
        pytest.param({"table": table_from_frame(FRAME), "output_format": 9}, "output_format 9", id="no such format"),
    ],
)
def test_bad_inputs_are_invalid_arguments(stub, fields, text):
    with pytest.raises(grpc.RpcError) as caught:
        predict(stub, **fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert text in caught.value.details()
    assert reason(caught.value) == "INVALID_VALUE"


def test_a_malformed_message_is_told_from_a_defect(channel):
    call = channel.unary_unary("/holdfast.v1.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff", timeout=120)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason(caught.value) == "MALFORMED_REQUEST"


def test_a_message_that_is_too_large_is_refused(stub):
    large = pd.concat([FRAME] * 500)
    with pytest.raises(grpc.RpcError) as caught:
        predict(stub, table=table_from_frame(large))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_stream_is_answered_in_order_and_goes_on_behind_an_error(stub):
    def questions():
        for row in range(50):
            data = FRAME.iloc[[row % 3]] if row != 7 else FRAME[["a"]]
            yield service.PredictStreamRequest(input={"table": table_from_frame(data)})

    answers = list(stub.PredictStream(questions(), timeout=120))
    assert [answer.WhichOneof("result") for answer in answers].index("error") == 7
    assert answers[7].error.reason == 1  # INVALID_VALUE
    assert "['b', 'c', 'd']" in answers[7].error.message
    labels = [array_from_tensor(answer.output.tensors.tensors[0])[0] for answer in answers if answer.HasField("output")]
    assert labels == [row % 3 for row in range(50) if row != 7]


def test_the_model_is_described(stub, iris_model):
    model = stub.GetModel(service.GetModelRequest(), timeout=120)
    assert model.model_uri == str(iris_model)
    assert [column["name"] for column in json.loads(model.input_schema)] == ["a", "b", "c", "d"]
    assert json.loads(model.output_schema)[0]["type"] in ("long", "tensor")
    assert "dataframe_split" in json.loads(model.input_example)
    assert (model.version, model.params_schema, model.alias) == ("", "", "")
    assert model.serve_time.seconds > 1_700_000_000


def test_health_is_told(channel):
    for name in ("", "holdfast.v1.PredictionService"):
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name), timeout=120)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_deadlines_and_the_servers_own_limit_are_kept(tmp_path):
    holdfast.sklearn.save_model(make_gated(str(tmp_path)), tmp_path / "model", signature=False, pip_requirements=["x"])
    request = service.PredictRequest(input={"tensors": {"tensors": [tensor_from_array(np.array([[-1.0]]))]}})
    arguments = ["-m", str(tmp_path / "model"), "--threads", "1", "--request-timeout", "5"]
    with model_server(*arguments) as server, grpc.insecure_channel(server.grpc_address) as channel:
        stub = PredictionServiceStub(channel)
        slow = stub.Predict.future(request, timeout=120)
        until((tmp_path / "began-1").exists)
        request.input.tensors.tensors[0].CopyFrom(tensor_from_array(np.array([[-2.0]])))
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request, timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert slow.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "5 seconds" in slow.details()
        assert reason(slow) == "TIMEOUT"
        (tmp_path / "go").touch()
        request.input.tensors.tensors[0].CopyFrom(tensor_from_array(np.array([[3.0]])))
        assert stub.Predict(request, timeout=120).output.tensors.tensors[0].dtype == "float64"
    assert not (tmp_path / "began-2").exists()


FRAMES = [
    pytest.param(pd.DataFrame({"a": [1.5, np.nan], "b": [2.0, 3.0]}), id="doubles"),
    pytest.param(pd.DataFrame({"f": np.array([1.5, 2], "float32"), "i": np.array([1, 2], "int32")}), id="narrow"),
    pytest.param(pd.DataFrame({"i": [1, 2], "t": ["x", None], "b": [True, False]}), id="mixed"),
    pytest.param(pd.DataFrame({"b": pd.Series([b"x", None], dtype=object)}), id="bytes"),
    pytest.param(pd.DataFrame({"t": pd.to_datetime(pd.Series(["2026-01-02", None])).dt.as_unit("ns")}), id="times"),
    pytest.param(pd.DataFrame({"l": pd.Series([[1, 2], {"k": "v"}], dtype=object)}), id="nested"),
]  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES)
def test_tables_survive_the_message(frame):
    message = messages.Table.FromString(table_from_frame(frame).SerializeToString())
    pd.testing.assert_frame_equal(frame_from_table(message), frame)


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3), np.array([True, False]), np.array(5, "uint8"), np.array(["a", ""]), np.zeros((0, 2)),
     np.arange(4, dtype=">i4"), np.arange(6).reshape(2, 3).T],
    ids=lambda array: f"{array.dtype}{array.shape}",
)  # fmt: skip
def test_arrays_survive_the_message(array):
    message = messages.Tensor.FromString(tensor_from_array(array).SerializeToString())
    found = array_from_tensor(message)
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "float64", "shape": [2], "data": b"12345678"},
        {"dtype": "float64", "shape": [1], "data": b"123"},
        {"dtype": "float64", "shape": [-1], "data": b"12345678"},
        {"dtype": "complex128", "shape": [1], "data": b"0" * 16},
        {"dtype": "object", "shape": [1]},
        {"dtype": "str", "shape": [2], "strings": ["a"]},
        {"dtype": "int8", "shape": [2**62, 2**62, 16], "data": b""},
    ],
)
def test_tensors_that_cannot_be_are_refused(tensor):
    with pytest.raises(ServingError) as caught:
        array_from_tensor(messages.Tensor(**tensor))
    assert caught.value.kind is ServingError.BAD_REQUEST


def test_integers_with_missing_rows_become_floats_as_in_json():
    table = messages.Table(columns=[{"name": "a", "longs": {"values": [1, 0]}, "missing_rows": [1]}])
    pd.testing.assert_frame_equal(frame_from_table(table), pd.DataFrame({"a": [1.0, np.nan]}))


def test_without_pyarrow_arrow_is_told_to_be_unavailable(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (lambda: frame_from_arrow(b""), lambda: frame_to_arrow(FRAME)):
        with pytest.raises(ServingError) as caught:
            call()
        assert (caught.value.kind.grpc_status, caught.value.kind.reason) == ("UNIMPLEMENTED", "FORMAT_UNAVAILABLE")
        assert "pip install pyarrow" in caught.value.message


def test_parameters_become_integers_where_the_signature_has_them(iris_server, stub):
    params = struct_pb2.Struct()
    params.update({"nobody": 1})
    assert predict(stub, table=table_from_frame(FRAME), params=params).HasField("tensors")
