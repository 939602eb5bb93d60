"""Whatever a request holds, the answer is a result or an error meant for the caller, never INTERNAL."""

from __future__ import annotations

import random
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from holdfast.v1 import experiment_service_pb2, model_registry_service_pb2, model_service_pb2, run_service_pb2
from holdfast.v1 import model_registry_service_pb2_grpc as registry_grpc
from holdfast.v1 import model_service_pb2_grpc as model_grpc
from holdfast.v1 import run_service_pb2_grpc as run_grpc

ROUNDS = 60
RUN_ID, MODEL_ID = "ab" * 16, "m-" + "cd" * 16
TEXTS = [
    *(
        "",
        " ",
        "a",
        "A",
        "name",
        "latest",
        "v1",
        "champion",
        "..",
        "a/b",
        "a\0b",
        "\n",
        "é",
        "日本",
        "😀",
        "\u202e",
        "%",
    ),
    *("0", "1", "-1", "99999999999999999999", RUN_ID, MODEL_ID, "ok", "x" * 249, "x" * 9_000, "mlflow.runName"),
    *(
        "metrics.a < 1",
        "params.a = 'x'",
        "tags.a IS NULL",
        "status = 'RUNNING'",
        "name LIKE '%'",
        "name ASC",
        "start_time",
    ),
    *(
        "metrics.a DESC",
        "params.a LIKE '[*?'",
        "run_id IN ('a')",
        "'",
        "`",
        "AAAA",
        f"runs:/{RUN_ID}",
        "models:/name/1",
    ),
]
INTEGERS = [0, 1, 2, 3, 4, 5, 100, 1_000, 1_001, -1, (1 << 31) - 1, -(1 << 31)]
LONG = [*INTEGERS, (1 << 63) - 1, -(1 << 63), 1 << 40, -(1 << 40)]
DOUBLES = [0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf"), 5e-324, 1e308]
# Values that are right are likely, so that calls get past the first checks.
LIKELY: dict[str, list[Any]] = {
    "run_id": [RUN_ID],
    "source_run_id": [RUN_ID],
    "model_id": [MODEL_ID],
    "experiment_id": ["0"],
    "experiment_ids": ["0"],
    "name": ["name"],
    "run_name": ["name"],
    "version": [1],
    "alias": ["champion"],
    "source": [f"models:/{MODEL_ID}"],
    "user_id": ["", "ada"],
    "writer_id": ["w"],
    "writer_sequence": [0, 1, 2],
    "key": ["k", "l", "m"],
    "value": ["1"],
    "filter": ["", "tags.k = '1'", "name LIKE 'n%'", "attributes.status = 'RUNNING'"],
    "order_by": ["tags.k DESC", "name"],
    "page_size": [0, 1, 100],
    "page_token": [""],
    "request_id": ["", "r"],
    "seconds": [0, 1_700_000_000],
    "nanos": [0, 999_999_999],
}
SERVICES = [
    (module, service)
    for module in (experiment_service_pb2, run_service_pb2, model_service_pb2, model_registry_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
METHODS = [pytest.param(method, id=method.full_name) for _, service in SERVICES for method in service.methods]


def value(field: FieldDescriptor, source: random.Random, depth: int) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return fill(GetMessageClass(field.message_type)(), source, depth + 1)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return source.choice([*field.enum_type.values_by_number, 77, -3])
    choices: dict[int, list[Any]] = {
        FieldDescriptor.TYPE_STRING: TEXTS,
        FieldDescriptor.TYPE_BYTES: [b"", b"x", bytes(32)],
        FieldDescriptor.TYPE_BOOL: [True, False],
        FieldDescriptor.TYPE_DOUBLE: DOUBLES,
        FieldDescriptor.TYPE_INT64: LONG,
        FieldDescriptor.TYPE_UINT32: [number for number in INTEGERS if number >= 0],
    }
    if field.name in LIKELY and field.type != FieldDescriptor.TYPE_DOUBLE and source.random() < 0.85:
        return source.choice(LIKELY[field.name])
    return source.choice(choices.get(field.type, INTEGERS))


def fill(message: Any, source: random.Random, depth: int = 0) -> Any:
    """Set about half of the fields of a message to odd values."""
    for field in message.DESCRIPTOR.fields:
        if source.random() < 0.4 or depth > 3:
            continue
        if field.is_repeated:
            items = [value(field, source, depth) for _ in range(source.choice([1, 2, 3]))]
            getattr(message, field.name).extend(items)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(message, field.name).CopyFrom(value(field, source, depth))
        else:
            setattr(message, field.name, value(field, source, depth))
    return message


@pytest.mark.parametrize("method", METHODS)
async def test_odd_requests_never_break_the_server(channel, method):
    await prepare(channel)
    request_type, response_type = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = kind(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )
    source = random.Random(method.full_name)
    for _ in range(ROUNDS):
        request = fill(request_type(), source)
        assert await status_of(call(request)) not in {"INTERNAL", "UNKNOWN", "UNAVAILABLE"}, request


async def prepare(channel: grpc.aio.Channel) -> None:
    """Make what the likely values name."""
    await run_grpc.RunServiceStub(channel).CreateRun(run_service_pb2.CreateRunRequest(run_id=RUN_ID))
    model = model_service_pb2.CreateLoggedModelRequest(model_id=MODEL_ID, source_run_id=RUN_ID)
    await model_grpc.ModelServiceStub(channel).CreateLoggedModel(model)
    ready = model_service_pb2.FinalizeLoggedModelRequest(model_id=MODEL_ID, status=2)
    await model_grpc.ModelServiceStub(channel).FinalizeLoggedModel(ready)
    version = model_registry_service_pb2.CreateModelVersionRequest(
        name="name", source=f"models:/{MODEL_ID}", create_registered_model=True
    )
    await registry_grpc.ModelRegistryServiceStub(channel).CreateModelVersion(version)


async def status_of(call: Any) -> str:
    try:
        if hasattr(call, "read"):  # a watch goes on until it is ended; its first answer tells
            await call.read()
            call.cancel()
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
