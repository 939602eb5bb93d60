"""Spans of a real server, received by a collector that speaks OTLP."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from tests.server_process import clean_environment, running_server

import holdfast
from holdfast.errors import NotFoundError
from holdfast.v1 import run_service_pb2
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

pytestmark = pytest.mark.slow

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.resources: list[dict[str, Any]] = []
        self.spans: list[Any] = []

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        for resource in request.resource_spans:
            self.resources.append(attributes(resource.resource))
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()


def attributes(message: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in message.attributes}


@contextlib.contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector and its URL."""
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("variable", ["", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_each_call_is_a_span_below_that_of_its_client(tmp_path: Path, variable: str):
    with collecting() as (collector, url):
        arguments = ["--port=0", f"--data-dir={tmp_path}"]
        environment = {variable: url} if variable else {}
        if not variable:
            arguments.append(f"--trace-endpoint={url}")
        with (
            running_server(*arguments, environment=environment) as server,
            grpc.insecure_channel(server.address) as channel,
        ):
            runs = RunServiceStub(channel)
            runs.CreateRun(
                run_service_pb2.CreateRunRequest(experiment_id="0"),
                metadata=(("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01"), ("x-holdfast-request-id", "my-call")),
            )
            with pytest.raises(grpc.RpcError):
                runs.GetRun(run_service_pb2.GetRunRequest(run_id="0" * 32), metadata=(("traceparent", "nonsense"),))
            with pytest.raises(grpc.RpcError):
                channel.unary_unary("/holdfast.v1.RunService/Nothing")(b"")
            assert server.stop() == 0
    create, get, nothing = sorted(collector.spans, key=lambda span: span.start_time_unix_nano)
    assert create.name == "holdfast.v1.RunService/CreateRun"
    assert (create.trace_id.hex(), create.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert create.end_time_unix_nano > create.start_time_unix_nano
    told = attributes(create)
    assert told.pop("network.peer.address").startswith("ipv4:127.0.0.1:")
    assert told == {
        "rpc.system": "grpc",
        "rpc.service": "holdfast.v1.RunService",
        "rpc.method": "CreateRun",
        "rpc.grpc.status_code": 0,
        "holdfast.request_id": "my-call",
    }
    assert get.parent_span_id == b""
    assert attributes(get)["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert get.status.code == 0  # the caller's mistake
    assert (nothing.name, nothing.status.code) == ("unknown", 2)
    assert collector.resources[0]["service.name"] == "holdfast"


def test_a_program_that_traces_passes_its_span_on(tmp_path: Path):
    tracer = TracerProvider().get_tracer("test")
    with collecting() as (collector, url):
        arguments = ("--port=0", f"--data-dir={tmp_path}", f"--trace-endpoint={url}")
        with running_server(*arguments) as server:
            with holdfast.Client(f"holdfast://{server.address}", strict=True) as client:
                span = tracer.start_span("training")
                with trace.use_span(span, end_on_exit=True), pytest.raises(NotFoundError) as caught:
                    client.get_run("0" * 32)
                with pytest.raises(NotFoundError):
                    client.get_run("1" * 32)
            assert server.stop() == 0
    inside, outside = sorted(collector.spans, key=lambda span: span.start_time_unix_nano)
    context = span.get_span_context()
    assert int.from_bytes(inside.trace_id, "big") == context.trace_id
    assert int.from_bytes(inside.parent_span_id, "big") == context.span_id
    assert attributes(inside)["holdfast.request_id"] == caught.value.request_id
    assert outside.parent_span_id == b""


def test_a_collector_that_is_away_does_not_hold_anything_up(tmp_path: Path):
    arguments = ("--port=0", f"--data-dir={tmp_path}", "--trace-endpoint=http://127.0.0.1:1")
    with running_server(*arguments) as server:
        with holdfast.Client(f"holdfast://{server.address}", strict=True) as client:
            client.create_experiment("x")
        assert server.stop() == 0


def test_a_missing_library_is_named(tmp_path: Path):
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('not installed')")
    done = subprocess.run(
        [sys.executable, "-m", "holdfast_server", "--port=0", f"--data-dir={tmp_path / 'data'}",
         "--trace-endpoint=http://127.0.0.1:4317"],
        env=clean_environment({"PYTHONPATH": str(tmp_path)}), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install 'holdfast[server,otel]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_collector_meant_for_others_does_not_keep_a_server_without_the_library_from_starting(tmp_path: Path):
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('not installed')")
    environment = {"PYTHONPATH": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with running_server("--port=0", f"--data-dir={tmp_path / 'data'}", environment=environment) as server:
        assert any("calls are not traced" in line for line in server.lines)
        assert server.stop() == 0


def test_a_program_that_does_not_trace_imports_nothing_for_it(tmp_path: Path):
    code = (
        "import sys, holdfast\n"
        f"holdfast.Client({str(tmp_path / 'data')!r}).create_experiment('x')\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
