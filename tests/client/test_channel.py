"""The connection: when it opens, when it tries again, and what survives a fork."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from tests.ports import free_port

from holdfast import _patience, errors
from holdfast._channel import Channel
from holdfast._client import Client
from holdfast._config import parse_target
from holdfast._patience import RetryPolicy
from holdfast.v1 import experiment_pb2
from holdfast.v1 import experiment_service_pb2 as messages

QUICK = RetryPolicy(window=120.0, first_window=0.3, initial_delay=0.02, max_delay=0.1)
# Where the calls go through in the end, however slow the machine is.
PATIENT = RetryPolicy(window=120.0, first_window=120.0, initial_delay=0.02, max_delay=0.1)


class EchoServer:
    """Answers /test.Service/Echo with the request, after failing as often as asked."""

    def __init__(
        self,
        port: int = 0,
        failures: int = 0,
        status: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
        reason: str = "",
        without_reason: int = 0,
    ) -> None:
        self.failures, self.status, self.reason = failures, status, reason
        self.without_reason = without_reason
        self.calls: list[dict[str, object]] = []
        handlers = {"Echo": grpc.unary_unary_rpc_method_handler(self._echo)}
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", handlers)])
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    def _echo(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls.append(dict(context.invocation_metadata()))
        if len(self.calls) <= self.failures:
            if self.reason and len(self.calls) > self.without_reason:
                told = status_pb2.Status(code=self.status.value[0], message="not now")
                told.details.add().Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain="holdfast"))
                context.set_trailing_metadata([("grpc-status-details-bin", told.SerializeToString())])
            context.abort(self.status, "not now")
        return request

    def stop(self) -> None:
        self._server.stop(None).wait()

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def channel_to(port: int, retry: RetryPolicy = PATIENT, **environ: str) -> Channel:
    return Channel(parse_target(f"holdfast://127.0.0.1:{port}", environ), retry=retry)


def echo(channel: Channel, request: bytes = b"hello", timeout: float | None = None) -> bytes:
    return channel.call(channel.grpc.unary_unary("/test.Service/Echo"), request, timeout=timeout)


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL], ids=lambda s: s.name
)
def test_a_call_is_repeated_that_a_server_refuses_for_now_or_cuts_off_without_a_reason(status):
    with EchoServer(failures=3, status=status) as server:
        assert echo(channel_to(server.port)) == b"hello"
    assert len(server.calls) == 4


def test_a_server_that_says_what_is_away_was_heard_and_is_waited_for_as_such(caplog):
    retry = RetryPolicy(window=30.0, first_window=0.0, initial_delay=0.01, max_delay=0.02)
    with EchoServer(failures=3, reason="UNAVAILABLE") as server:
        assert echo(channel_to(server.port, retry)) == b"hello"
    assert len(server.calls) == 4
    (warning,) = caplog.messages
    assert "cannot do it now: not now" in warning
    assert "30 s" in warning


class Clock:
    """Goes on by what is slept, and stands still for what a busy machine takes."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_server_that_is_heard_while_it_is_waited_for_is_waited_for_anew(monkeypatch):
    monkeypatch.setattr(_patience, "time", Clock())
    retry = RetryPolicy(window=30.0, first_window=0.2, initial_delay=0.01, max_delay=0.4)
    with EchoServer(failures=12, reason="UNAVAILABLE", without_reason=2) as server:
        assert echo(channel_to(server.port, retry)) == b"hello"


@pytest.mark.parametrize("status", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.ABORTED, grpc.StatusCode.NOT_FOUND])
def test_an_answer_is_not_questioned(status):
    with EchoServer(failures=1, status=status) as server, pytest.raises(errors.HoldfastError, match="not now") as info:
        echo(channel_to(server.port))
    assert info.value.__context__ is None
    assert len(server.calls) == 1


def test_a_server_that_was_never_there_is_reported_soon():
    port = free_port()
    begin = time.monotonic()
    with pytest.raises(errors.UnavailableError, match=f"holdfast server --port {port}") as info:
        echo(channel_to(port, RetryPolicy(first_window=0.5)))
    assert info.value.__context__ is None, "gRPC's error does not show in the traceback"
    assert time.monotonic() - begin < 20  # of the 30 s for which one that was heard is waited for


@pytest.mark.slow
def test_an_address_that_swallows_packets_is_reported_within_ten_seconds():
    # A listener whose backlog is full answers no further connection, like a firewall.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        begin = time.monotonic()
        with pytest.raises(errors.UnavailableError):
            echo(channel_to(port, RetryPolicy()))
        assert time.monotonic() - begin < 18  # it takes gRPC alone 20 s
        for filler in fillers:
            filler.close()


def test_a_server_that_comes_back_is_found_again():
    server = EchoServer()
    channel = channel_to(server.port, QUICK)
    assert echo(channel) == b"hello"
    server.stop()
    successor: list[EchoServer] = []
    timer = threading.Timer(0.7, lambda: successor.append(EchoServer(server.port)))
    timer.start()
    try:
        # Longer than the window of a first connection: it answered before, so it is waited for.
        assert echo(channel) == b"hello"
    finally:
        timer.join()
        successor[0].stop()


def test_a_call_past_its_deadline_says_so():
    block = threading.Event()
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: block.wait(60) and request)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Echo": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with pytest.raises(errors.DeadlineExceededError, match="did not answer in time"):
        echo(channel_to(port), timeout=0.2)
    block.set()
    server.stop(None).wait()


def test_a_token_goes_with_each_call():
    with EchoServer() as server:
        echo(channel_to(server.port, HOLDFAST_TOKEN="hunter2"))
        echo(channel_to(server.port))
    assert server.calls[0]["authorization"] == "Bearer hunter2"
    assert "authorization" not in server.calls[1]


def test_a_closed_client_refuses_calls():
    with EchoServer() as server:
        channel = channel_to(server.port)
        echo(channel)
        channel.close()
        channel.close()
        with pytest.raises(errors.FailedPreconditionError, match="closed"):
            echo(channel)


def test_a_client_closed_during_a_call_says_so():
    with EchoServer() as server:
        channel = channel_to(server.port)
        method = channel.grpc.unary_unary("/test.Service/Echo")

        def attempt() -> bytes:
            connection = channel._connection()
            channel.close()
            return connection.channel.unary_unary("/test.Service/Echo")(b"", timeout=120)

        with pytest.raises(errors.FailedPreconditionError, match="closed"):
            channel.run(attempt)
        with pytest.raises(errors.FailedPreconditionError, match="closed"):
            channel.call(method, b"")


def test_a_mistake_of_the_caller_stays_what_it_is():
    with EchoServer() as server:
        channel = channel_to(server.port)
        with pytest.raises(ValueError, match="not a number"):
            channel.run(lambda: _refuse("not a number"))


def _refuse(message: str) -> None:
    raise ValueError(message)


def test_one_connection_serves_all_threads():
    with EchoServer() as server:
        channel = channel_to(server.port)
        with futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: echo(channel, b"%d" % i), range(64)))
    assert answers == [b"%d" % i for i in range(64)]


def test_pauses_grow_to_their_bound():
    policy = RetryPolicy(initial_delay=0.1, max_delay=1.0)
    assert all(0 <= policy.delay(attempt) <= min(1.0, 0.1 * 2**attempt) for attempt in range(20) for _ in range(20))
    assert max(policy.delay(10) for _ in range(200)) > 0.5


def test_clients_cross_process_pools_by_address():
    client = Client("holdfast://127.0.0.1:1")
    assert pickle.loads(pickle.dumps(client)).tracking_uri == client.tracking_uri


def test_a_repeated_change_keeps_its_request_id():
    received = []

    def create(request: bytes, context: grpc.ServicerContext) -> bytes:
        received.append(messages.CreateExperimentRequest.FromString(request))
        if len(received) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer got lost")
        experiment = experiment_pb2.Experiment(experiment_id="7")
        return messages.CreateExperimentResponse(experiment=experiment).SerializeToString()

    handlers = {"CreateExperiment": grpc.unary_unary_rpc_method_handler(create)}
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("holdfast.v1.ExperimentService", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"holdfast://127.0.0.1:{port}", retry=PATIENT) as client:
        assert client.create_experiment("a") == "7"
        assert client.create_experiment("a") == "7"
    server.stop(None).wait()
    ids = [request.request_id for request in received]
    assert len(set(ids[:3])) == 1
    assert ids[0]
    assert ids[3] != ids[0], "another call is another change"


@pytest.mark.slow
def test_a_killed_server_costs_no_metric_and_doubles_none(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "holdfast_server", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    stop = threading.Event()
    kills = []

    def keep_killing() -> None:
        while not stop.is_set():
            with (tmp_path / "log").open("ab") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log)
            # Long enough to start and answer; the last one stays until the test is over.
            stop.wait(3.0 if len(kills) < 3 else None)
            process.kill()
            kills.append(process.wait())

    killer = threading.Thread(target=keep_killing)
    killer.start()
    retry = RetryPolicy(first_window=30, window=30)
    with Client(f"holdfast://127.0.0.1:{port}", retry=retry, strict=True) as client:
        run_id = client.create_run("0").info.run_id
        logged = 0
        while len(kills) < 3 or logged % 100:
            client.log_metric(run_id, "m", float(logged), step=logged, synchronous=True)
            logged += 1
        history = client.get_metric_history(run_id, "m")
    stop.set()
    killer.join()
    assert [point.step for point in history] == list(range(logged))


@pytest.fixture
def certificate(tmp_path) -> tuple[bytes, bytes]:
    """A key and a self-signed certificate for localhost, also as file cert.pem."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:localhost"], cwd=tmp_path, check=True, capture_output=True
    )
    return (tmp_path / "key.pem").read_bytes(), (tmp_path / "cert.pem").read_bytes()


def test_tls_checks_the_server(certificate, tmp_path):
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(lambda request, _context: request)}
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", handlers)])
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([certificate]))
    server.start()

    def target(scheme: str, retry: RetryPolicy = QUICK, **environ: str):
        return Channel(parse_target(f"{scheme}://localhost:{port}", environ), retry=retry)

    trusted = {"HOLDFAST_TLS_CA_FILE": str(tmp_path / "cert.pem")}
    assert echo(target("holdfast+tls", PATIENT, **trusted)) == b"hello"
    for channel in (target("holdfast+tls"), target("holdfast")):
        with pytest.raises(errors.UnavailableError):
            echo(channel)
    with pytest.raises(errors.TlsError, match=r"HOLDFAST_TLS_CA_FILE: .*absent cannot be read: No such file"):
        echo(target("holdfast+tls", HOLDFAST_TLS_CA_FILE=str(tmp_path / "absent")))
    server.stop(None).wait()


def test_an_embedded_server_that_was_killed_is_started_again(tmp_path):
    with Client(tmp_path / "data") as client:
        experiment_id = client.create_experiment("before")
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().split(b"\0")
                if b"holdfast_server.embedded" in command and os.fsencode(tmp_path / "data") in command:
                    os.kill(int(process.name), signal.SIGKILL)
        assert client.get_experiment(experiment_id).name == "before"


INTERRUPTED = """
import signal, sys, threading, time, holdfast
holdfast.connect(sys.argv[1])
run = holdfast.start_run()
print(run.info.run_id, flush=True)
with run:
    while True:
        holdfast.log_metric("m", 1.0)
"""


def test_ctrl_c_ends_a_run_killed_even_in_the_middle_of_a_call(server, client):
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, server.uri], stdout=subprocess.PIPE, text=True)
    with process:
        run_id = process.stdout.readline().strip()
        while not client.get_run(run_id).data.metrics:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
    assert client.get_run(run_id).info.status == "KILLED"


FORKING = """
import os, sys
from holdfast._client import Client

client = Client(sys.argv[1])
before = client.create_experiment("before-fork")
run_id = client.create_run(before).info.run_id
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        # The child has a copy of the client and must not touch the parent's connection.
        client.log_metric(run_id, f"child-{number}", number)
        os._exit(0 if client.get_run(run_id).info.run_id == run_id else 1)
    children.append(pid)
client.log_metric(run_id, "parent", 1.0)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
assert codes == [0, 0, 0], codes
print(sorted(client.get_run(run_id).data.metrics))
"""


def test_forked_processes_open_connections_of_their_own(server):
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, server.uri],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['child-0', 'child-1', 'child-2', 'parent']"
