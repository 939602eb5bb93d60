"""Bad input to `PredictionService` of a real server: each is refused by a typed error, and the server answers on."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.messages import damaged, messages_of
from tests.fuzz.sizing import EXAMPLES, effort
from tests.rpc.bad_input.refusing import described

from holdfast.v1 import prediction_service_pb2 as service
from holdfast.v1.prediction_service_pb2_grpc import PredictionServiceStub

PREDICT = "/holdfast.v1.PredictionService/Predict"
INVALID_VALUE = ("INVALID_ARGUMENT", "INVALID_VALUE")
MALFORMED_REQUEST = ("INVALID_ARGUMENT", "MALFORMED_REQUEST")
UNIMPLEMENTED = ("UNIMPLEMENTED", "")
TOO_LARGE = ("RESOURCE_EXHAUSTED", "")
NAMES = ("a", "b", "c", "d")
ROW = [{"name": name, "doubles": {"values": [1.0]}} for name in NAMES]
GOOD = {"table": {"columns": ROW}}
BIG = (1 << 63) - 1


def table(what, *changed, outcome=INVALID_VALUE):
    """The good table with its last columns changed."""
    return pytest.param({"table": {"columns": [*ROW[: 4 - len(changed)], *changed]}}, outcome, id=f"table-{what}")


def tensors(what, *found):
    return pytest.param({"tensors": {"tensors": found}}, INVALID_VALUE, id=f"tensors-{what}")


def json_text(what, text):
    return pytest.param({"json": text}, INVALID_VALUE, id=f"json-{what}")


def arrow(what, data):
    return pytest.param({"arrow_stream": data}, INVALID_VALUE, id=f"arrow-{what}")


CASES = [
    pytest.param({}, INVALID_VALUE, id="nothing"),
    pytest.param({**GOOD, "output_format": 3}, INVALID_VALUE, id="format-unknown"),
    pytest.param({**GOOD, "output_format": -1}, INVALID_VALUE, id="format-negative"),
    table("column-twice", {"name": "a", "doubles": {"values": [1.0]}}),
    table("column-without-values", {"name": "d"}),
    table("column-longer", {"name": "d", "doubles": {"values": [1.0, 2.0]}}),
    table("column-empty", {"name": "d", "doubles": {}}),
    table("column-without-a-name", {"doubles": {"values": [1.0]}}),
    table("column-of-text", {"name": "d", "strings": {"values": ["1.0"]}}),
    table("column-of-bytes", {"name": "d", "binaries": {"values": [b"\xff"]}}),
    table("column-of-broken-json", {"name": "d", "jsons": {"values": ["{"]}}),
    table("column-of-deep-json", {"name": "d", "jsons": {"values": ["[" * 5_000 + "]" * 5_000]}}),
    table("missing-row-not-there", {"name": "d", "doubles": {"values": [1.0]}, "missing_rows": [1]}),
    table("missing-row-largest", {"name": "d", "doubles": {"values": [1.0]}, "missing_rows": [(1 << 32) - 1]}),
    table("time-for-a-number", {"name": "d", "times": {"values": [BIG]}}),
    tensors("none"),
    tensors("for-columns", {"dtype": "complex128", "shape": [1, 4], "data": bytes(64)}),
    tensors("object", {"dtype": "object", "shape": [1, 4]}),
    tensors("dtype-empty", {"shape": [1, 4], "data": bytes(32)}),
    tensors("dtype-of-records", {"dtype": "f8,f8", "shape": [2], "data": bytes(32)}),
    tensors("dtype-of-megabytes", {"dtype": "f8" * 4_000, "shape": [1, 4], "data": bytes(32)}),
    tensors("shape-negative", {"dtype": "float64", "shape": [-1, 4], "data": bytes(32)}),
    tensors("shape-overflows", {"dtype": "float64", "shape": [1 << 62, 1 << 62, 16]}),
    tensors("shape-largest", {"dtype": "int8", "shape": [BIG]}),
    tensors("shape-of-many-dimensions", {"dtype": "int8", "shape": [1] * 200, "data": b"1"}),
    tensors("data-short", {"dtype": "float64", "shape": [1, 4], "data": bytes(31)}),
    tensors("strings-and-data", {"dtype": "str", "shape": [1], "data": b"1", "strings": ["a"]}),
    tensors("name-twice", *[{"name": "x", "dtype": "float64", "shape": [1, 4], "data": bytes(32)}] * 2),
    arrow("empty", b""),
    arrow("not-a-stream", b"\0" * 100),
    arrow("length-that-is-not-there", b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
    json_text("empty", ""),
    json_text("nul", "\0"),
    json_text("not-an-object", "[1, 2]"),
    json_text("two-forms", '{"inputs": [[1, 2, 3, 4]], "instances": [[1, 2, 3, 4]]}'),
    json_text("key-twice", '{"inputs": [[1, 2, 3, 4]], "inputs": [[1, 2, 3, 4]]'),
    json_text("deep", '{"inputs": ' + "[" * 8_000 + "]" * 8_000 + "}"),
    json_text("ragged", '{"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}'),
    json_text("number-of-digits", '{"inputs": [[' + "1" * 10_000 + ", 1, 1, 1]]}"),
    json_text("lone-surrogate", '{"dataframe_records": [{"a": "\\ud800", "b": 1, "c": 1, "d": 1}]}'),
]
RAW = [
    pytest.param(PREDICT, b"\x0a\x7f", MALFORMED_REQUEST, id="cut"),
    pytest.param(PREDICT, b"\x0a\x05\x22\x03\xed\xa0\x80", MALFORMED_REQUEST, id="surrogate"),
    pytest.param(PREDICT, b"\x0b" * 10_000, MALFORMED_REQUEST, id="deep-groups"),
    pytest.param(PREDICT, bytes(100_000), TOO_LARGE, id="too-large"),
    pytest.param("/holdfast.v1.PredictionService/GetModel", b"\x0a\x7f", MALFORMED_REQUEST, id="get-model-cut"),
    pytest.param("/holdfast.v1.PredictionService/Reload", b"", UNIMPLEMENTED, id="unknown-method"),
    pytest.param("/holdfast.v1.RunService/GetRun", b"", UNIMPLEMENTED, id="service-of-another-server"),
]


@pytest.fixture(scope="module")
def channel(iris_server):
    with grpc.insecure_channel(iris_server.grpc_address) as channel:
        yield channel


def works(channel):
    """Whether it predicts."""
    return PredictionServiceStub(channel).Predict(service.PredictRequest(input=GOOD), timeout=120).HasField("output")


def check(channel, error, outcome):
    assert (error.code().name, described(error)[0]) == outcome, error.details()
    assert "Traceback" not in (error.details() or "")
    assert (error.details() or "").isprintable(), error.details()
    assert works(channel)


@pytest.mark.parametrize(("fields", "outcome"), CASES)
def test_a_bad_input_is_refused(channel, fields, outcome):
    with pytest.raises(grpc.RpcError) as caught:
        PredictionServiceStub(channel).Predict(service.PredictRequest(input=fields), timeout=120)
    check(channel, caught.value, outcome)


@pytest.mark.parametrize(("path", "message", "outcome"), RAW)
def test_what_is_no_message_is_refused(channel, path, message, outcome):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(message, timeout=120)
    check(channel, caught.value, outcome)


def test_a_flood_of_empty_questions_is_answered_one_by_one(channel):
    questions = (service.PredictStreamRequest() for _ in range(3_000))
    answers = list(PredictionServiceStub(channel).PredictStream(questions, timeout=120))
    assert len(answers) == 3_000
    assert {answer.error.reason for answer in answers} == {1}  # INVALID_VALUE
    assert works(channel)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@effort(EXAMPLES)
@given(st.data())
def test_any_input_is_predicted_or_refused(channel, data):
    message = messages_of(service.PredictRequest.DESCRIPTOR).map(lambda found: found.SerializeToString())
    request = data.draw(message | message.flatmap(damaged))
    call = channel.unary_unary(PREDICT, response_deserializer=service.PredictResponse.FromString)
    code = call.future(request, timeout=120).code()
    assert code.name in {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
