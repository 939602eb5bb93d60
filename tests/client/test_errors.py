"""What users see when something fails: our errors only, saying what to do."""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from google.rpc import error_details_pb2, status_pb2

from holdfast import errors
from holdfast._channel import Channel
from holdfast._config import parse_target
from holdfast._rpc_errors import ERRORS, translate

TARGET = parse_target("holdfast://127.0.0.1:5600", {})


class FakeRpcError(grpc.RpcError):
    """What grpc raises, made by hand: it has no public way to make one."""

    def __init__(self, code: grpc.StatusCode, details: str = "", trailing: Any = ()) -> None:
        self._values = (code, details, trailing)

    def code(self) -> grpc.StatusCode:
        return self._values[0]

    def details(self) -> str:
        return self._values[1]

    def trailing_metadata(self) -> Any:
        return self._values[2]


def details(*messages: Any) -> Any:
    status = status_pb2.Status()
    for message in messages:
        status.details.add().Pack(message)
    return (("x-other", "1"), ("grpc-status-details-bin", status.SerializeToString()))


def error_info(reason: str, domain: str = "holdfast", **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


@contextlib.contextmanager
def serving(answer: Callable[[Any, grpc.ServicerContext], Any]) -> Iterator[int]:
    """The port of a server whose only method is ``answer``."""
    handlers = {"Answer": grpc.unary_unary_rpc_method_handler(answer)}
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def expected(status: grpc.StatusCode) -> type[errors.HoldfastError]:
    """The error for a status that comes without a reason."""
    broken = status in {grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL}
    return errors.UnavailableError if broken else ERRORS[status]


@pytest.mark.parametrize("status", list(grpc.StatusCode))
def test_every_status_is_mapped(status):
    error = translate(FakeRpcError(status, "what happened"), TARGET)
    assert type(error) is expected(status)
    assert isinstance(error, errors.HoldfastError)
    assert "what happened" in str(error)


@pytest.mark.parametrize("status", [s for s in grpc.StatusCode if s is not grpc.StatusCode.OK])
def test_a_status_travels_through_a_real_call(status):
    def fail(request: Any, context: grpc.ServicerContext) -> None:
        context.abort(status, "what happened")

    with (
        serving(fail) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        pytest.raises(grpc.RpcError) as info,
    ):
        channel.unary_unary("/test.Service/Answer")(b"", timeout=30)
    assert type(translate(info.value, TARGET)) is expected(status)


def test_the_server_s_reason_and_metadata_are_kept():
    trailing = details(
        error_info("RUN_NOT_FOUND", run_id="abc"),
        error_details_pb2.BadRequest(field_violations=[{"field": "run_id", "description": "x"}]),
    )
    error = translate(FakeRpcError(grpc.StatusCode.NOT_FOUND, "Run abc does not exist.", trailing), TARGET)
    assert isinstance(error, errors.NotFoundError)
    assert (error.message, error.reason) == ("Run abc does not exist.", "RUN_NOT_FOUND")
    assert error.metadata == {"run_id": "abc", "field": "run_id"}


def test_a_defect_of_the_server_names_the_entry_of_its_log():
    trailing = details(error_info("INTERNAL", error_id="1234"))
    error = translate(FakeRpcError(grpc.StatusCode.INTERNAL, "failed, error id 1234", trailing), TARGET)
    assert isinstance(error, errors.InternalError)
    assert error.request_id == "1234"


@pytest.mark.parametrize(
    "trailing",
    [
        pytest.param((("grpc-status-details-bin", b"\xff\xff\xff"),), id="garbage"),
        pytest.param(details(error_info("RUN_NOT_FOUND", domain="elsewhere")), id="another domain"),
        pytest.param(details(empty_pb2.Empty()), id="another kind"),
        pytest.param(None, id="none"),
    ],
)
def test_details_that_are_not_ours_are_passed_over(trailing):
    error = translate(FakeRpcError(grpc.StatusCode.NOT_FOUND, "no", trailing), TARGET)
    assert (str(error), error.reason, error.metadata) == ("no", "", {})


@pytest.mark.parametrize(("text", "error"), [("Stream removed", errors.UnavailableError), ("?", errors.InternalError)])
def test_a_removed_stream_is_an_outage(text, error):
    assert type(translate(FakeRpcError(grpc.StatusCode.UNKNOWN, text), TARGET)) is error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Received RST_STREAM with error code 2", errors.UnavailableError),
        ("Exception deserializing response!", errors.InternalError),
        ("Exception serializing request!", errors.InternalError),
        ("Received http2 header with status: 400", errors.InternalError),
    ],
)
def test_what_gRPC_finds_wrong_with_a_message_is_no_outage(text, error):  # noqa: N802 - its name
    assert type(translate(FakeRpcError(grpc.StatusCode.INTERNAL, text), TARGET)) is error


def test_an_answer_that_cannot_be_read_is_not_asked_for_again():
    asked = []

    def answer(request: Any, context: grpc.ServicerContext) -> bytes:
        asked.append(request)
        return b"\xff"

    with (
        serving(answer) as port,
        contextlib.closing(Channel(parse_target(f"holdfast://127.0.0.1:{port}", {}))) as channel,
    ):
        method = channel.grpc.unary_unary("/test.Service/Answer", None, empty_pb2.Empty.FromString)
        with pytest.raises(errors.InternalError, match="deserializing"):
            channel.call(method, b"")
    assert len(asked) == 1


def test_an_error_without_a_status_is_internal():
    assert isinstance(translate(grpc.RpcError("odd"), TARGET), errors.InternalError)


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        pytest.param("holdfast://localhost:77", "`holdfast server --port 77`", id="loopback"),
        pytest.param("holdfast+tls://db.lan:77", "on db.lan", id="remote"),
        pytest.param("unix:/run/x.sock", "unix:/run/x.sock", id="socket"),
        pytest.param("/data/runs", "server.log in that directory", id="embedded"),
    ],
)
def test_an_absent_server_is_named_with_the_way_to_start_it(uri, advice):
    error = translate(FakeRpcError(grpc.StatusCode.UNAVAILABLE, "connection refused"), parse_target(uri, {}))
    assert advice in str(error)
    assert "connection refused" in str(error)


@pytest.mark.parametrize("cls", [getattr(errors, name) for name in errors.__all__], ids=lambda cls: cls.__name__)
def test_errors_cross_process_pools_whole(cls):
    error = cls("message", reason="REASON", metadata={"a": "b"}, request_id="1")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert (copy.message, copy.reason, copy.metadata, copy.request_id) == ("message", "REASON", {"a": "b"}, "1")


def test_the_request_id_of_the_answer_is_shown():
    trailing = (*details(error_info("RUN_NOT_FOUND")), ("x-holdfast-request-id", "abc-1"))
    error = translate(FakeRpcError(grpc.StatusCode.NOT_FOUND, "It is gone.", trailing), TARGET)
    assert (error.message, error.request_id, str(error)) == ("It is gone.", "abc-1", "It is gone. [request abc-1]")


def test_a_call_that_was_not_answered_in_time_shows_the_id_that_it_went_with():
    came: list[Any] = []
    done = threading.Event()

    def answer(request: Any, context: grpc.ServicerContext) -> bytes:
        came.extend(value for key, value in context.invocation_metadata() if key == "x-holdfast-request-id")
        done.wait(60)
        return b""

    with (
        serving(answer) as port,
        contextlib.closing(Channel(parse_target(f"holdfast://127.0.0.1:{port}", {}))) as channel,
    ):
        method = channel.grpc.unary_unary("/test.Service/Answer", None, None)
        with pytest.raises(errors.DeadlineExceededError) as caught:
            channel.call(method, b"", timeout=5)
        done.set()
    assert [caught.value.request_id] == came
    assert came[0] in str(caught.value)


def test_each_call_goes_with_an_id_of_its_own():
    came: list[Any] = []

    def answer(request: Any, context: grpc.ServicerContext) -> bytes:
        came.extend(value for key, value in context.invocation_metadata() if key == "x-holdfast-request-id")
        return b""

    with (
        serving(answer) as port,
        contextlib.closing(Channel(parse_target(f"holdfast://127.0.0.1:{port}", {}))) as channel,
    ):
        method = channel.grpc.unary_unary("/test.Service/Answer", None, None)
        for _ in range(3):
            channel.call(method, b"")
    assert len(set(came)) == 3
    assert all(len(name) == 32 for name in came)
