"""The server as a process of its own: start, health, signals, and what it says when it cannot start."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import random
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.minio_server import MinioServer
from tests.server_process import clean_environment, run_server, running_server

from holdfast.v1.artifact_pb2 import Block
from holdfast.v1.artifact_service_pb2 import BLOCK_STATUS_STORED, WriteBlocksRequest
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast_server import health_check
from holdfast_server.host import DESCRIPTORS

pytestmark = pytest.mark.slow


def test_it_serves_until_sigterm_and_exits_with_0(tmp_path: Path):
    with running_server("--port=0", f"--data-dir={tmp_path / 'data'}") as server:
        assert server.lines[0].startswith("Holdfast ")
        assert server.lines[0].endswith(f", data in {tmp_path / 'data'}")
        assert health_check.ask(server.address) == ""
        assert server.stop() == 0
        assert health_check.ask(server.address) != ""


@contextlib.contextmanager
def at_hangup(action: signal.Handlers) -> Iterator[None]:
    """What processes that are started here inherit for SIGHUP; `nohup` has them ignore it."""
    before = signal.signal(signal.SIGHUP, action)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_nohup_it_stays_when_its_terminal_closes(tmp_path: Path):
    with at_hangup(signal.SIG_IGN), running_server("--port=0", f"--data-dir={tmp_path}") as server:
        server.process.send_signal(signal.SIGHUP)
        assert health_check.ask(server.address) == ""
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_and_a_terminal_that_closes_stop_it_too(number: signal.Signals, workers: int, tmp_path: Path):
    with (
        at_hangup(signal.SIG_DFL),
        running_server("--port=0", f"--workers={workers}", f"--data-dir={tmp_path}") as server,
    ):
        server.process.send_signal(number)
        if number is signal.SIGHUP:
            server.process.send_signal(number)  # as shells and the system do
        assert server.process.wait(60) == 0
    assert not any("Traceback" in line for line in server.lines)


def test_settings_come_from_variables(tmp_path: Path):
    environment = {"HOLDFAST_SERVER_PORT": "0", "HOLDFAST_SERVER_DATA_DIR": str(tmp_path / "from variable")}
    with running_server(environment=environment) as server:
        assert server.lines[0].endswith(f", data in {tmp_path / 'from variable'}")
        assert server.stop() == 0


class Upload:
    """A call that stays open: blocks are sent one by one, each with its answer."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: queue.SimpleQueue[WriteBlocksRequest | None] = queue.SimpleQueue()
        self.call = ArtifactServiceStub(channel).WriteBlocks(iter(self._requests.get, None), timeout=150)

    def send(self, data: bytes) -> int:
        """Send a block and return its status."""
        digest = hashlib.sha256(data).digest()
        self._requests.put(WriteBlocksRequest(blocks=[Block(digest=digest, data=data)]))
        (result,) = next(response for response in self.call if response.results).results
        return result.status

    def half_close(self) -> None:
        self._requests.put(None)


def test_a_stop_refuses_new_calls_and_lets_those_in_progress_finish(tmp_path: Path):
    with (
        running_server("--port=0", "--drain-timeout=600", f"--data-dir={tmp_path}") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        upload = Upload(channel)
        assert upload.send(b"one") == BLOCK_STATUS_STORED
        server.process.terminate()
        _wait_until(lambda: "NOT_SERVING" in (answer := health_check.ask(server.address)) or "UNAVAILABLE" in answer)
        assert upload.send(b"two") == BLOCK_STATUS_STORED
        assert server.process.poll() is None
        upload.half_close()
        assert list(upload.call) == []
        assert server.process.wait(60) == 0


def test_a_call_that_does_not_end_is_cut_off_after_the_drain_timeout(tmp_path: Path):
    with (
        running_server("--port=0", "--drain-timeout=0.5", f"--data-dir={tmp_path}") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        upload = Upload(channel)
        upload.send(b"one")
        started = time.monotonic()
        assert server.stop(timeout=120) == 0
        assert time.monotonic() - started < 60  # of the 150 s of the call
        upload.half_close()


def test_a_second_signal_ends_it_at_once(tmp_path: Path):
    with (
        running_server("--port=0", "--drain-timeout=100", f"--data-dir={tmp_path}") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        upload = Upload(channel)
        upload.send(b"one")
        server.process.terminate()
        _wait_until(lambda: any("stopping" in line for line in server.lines))
        server.process.terminate()
        assert server.process.wait(60) == -signal.SIGTERM
        upload.half_close()


def test_a_watch_of_its_health_is_told_that_it_stops(tmp_path: Path):
    with (
        running_server("--port=0", "--drain-timeout=600", f"--data-dir={tmp_path}") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=120)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.process.terminate()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        assert server.process.wait(60) == 0


def _wait_until(holds: Callable[[], bool], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.01)


def test_a_port_in_use_is_named(tmp_path: Path):
    with running_server("--port=0", f"--data-dir={tmp_path / 'one'}") as server:
        port = server.address.rpartition(":")[2]
        done = run_server("--port", port, f"--data-dir={tmp_path / 'two'}")
        assert done.returncode == 2
        assert (
            f"Port {port} of 127.0.0.1 is in use: stop what listens there, or choose another by --port." in done.stderr
        )
        assert "Traceback" not in done.stderr
        assert health_check.ask(server.address) == ""


def test_an_address_of_another_host_is_named(tmp_path: Path):
    done = run_server("--host=192.0.2.1", "--insecure", "--port=0", f"--data-dir={tmp_path}")
    assert done.returncode == 2
    assert "192.0.2.1 is not an address of this host" in done.stderr


def test_more_than_loopback_is_refused_without_insecure(tmp_path: Path):
    done = run_server("--host=0.0.0.0", "--port=0", f"--data-dir={tmp_path / 'data'}")
    assert done.returncode == 2
    assert "0.0.0.0 is not a loopback address" in done.stderr
    assert "--insecure" in done.stderr
    assert not (tmp_path / "data").exists()


def test_more_than_loopback_is_served_when_insecure(tmp_path: Path):
    with running_server("--host=0.0.0.0", "--port=0", "--insecure", f"--data-dir={tmp_path}") as server:
        assert health_check.ask(server.address.replace("0.0.0.0", "127.0.0.1")) == ""
        assert server.stop() == 0


def test_a_unix_socket_is_private_and_held_by_one_server(tmp_path: Path):
    path = tmp_path / "h.sock"
    with running_server(f"--unix={path}", f"--data-dir={tmp_path / 'one'}") as server:
        assert server.address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        done = run_server(f"--unix={path}", f"--data-dir={tmp_path / 'two'}")
        assert done.returncode == 2
        assert f"The Unix socket {path} is in use by another server." in done.stderr
        assert health_check.ask(server.address) == ""
        server.process.kill()
        server.process.wait()
    # What a killed server leaves behind does not keep the next one from starting.
    with running_server(f"--unix={path}", f"--data-dir={tmp_path / 'one'}") as server:
        assert health_check.ask(server.address) == ""
        assert server.stop() == 0
        assert not path.exists()


def test_a_socket_and_a_port_are_served_together(tmp_path: Path):
    with running_server(f"--unix={tmp_path / 's'}", "--port=0", f"--data-dir={tmp_path}") as server:
        (line,) = server.lines
        addresses = line.partition(" serving on ")[2].partition(", data in ")[0].split(" and ")
        assert [health_check.ask(address.removeprefix("holdfast://")) for address in addresses] == ["", ""]
        assert server.stop() == 0


def test_a_data_directory_that_cannot_be_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = run_server("--port=0", f"--data-dir={tmp_path / 'file' / 'data'}")
    assert done.returncode == 2
    assert f"The data directory {tmp_path / 'file' / 'data'} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def _make_file(path: Path) -> None:
    path.write_text("precious")


def _make_link(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("make", [_make_file, Path.mkdir, _make_link], ids=["file", "directory", "link"])
def test_a_path_for_a_socket_where_something_else_is_stays_as_it_is(make: Callable[[Path], None], tmp_path: Path):
    path = tmp_path / "there"
    make(path)
    before = path.lstat()
    done = run_server(f"--unix={path}", f"--data-dir={tmp_path / 'data'}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{path} is there and is no Unix socket: choose another path, or move away what is there.\n"
    assert (path.lstat().st_ino, path.lstat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def _spoil(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(9_000))


@pytest.mark.parametrize(
    ("spoil", "exit_code", "message"),
    [
        pytest.param(_spoil, 2, "The database is damaged. Restore a backup", id="garbage"),
        pytest.param(Path.mkdir, 1, "its files cannot be opened", id="directory"),
    ],
)
def test_a_database_that_cannot_be_is_named(
    spoil: Callable[[Path], None], exit_code: int, message: str, tmp_path: Path
):
    spoil(tmp_path / "holdfast.db")
    done = run_server("--port=0", f"--data-dir={tmp_path}")
    assert done.returncode == exit_code
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_it_may_have_as_many_files_open_as_the_host_allows(tmp_path: Path):
    begun, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, most))
    try:
        with running_server("--port=0", f"--data-dir={tmp_path}") as server:
            allowed = DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, DESCRIPTORS)
            assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (allowed, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (begun, most))


def test_a_socket_of_another_program_is_not_cut_off(tmp_path: Path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        other.listen()
        done = run_server(f"--unix={path}", f"--data-dir={tmp_path / 'data'}")
        assert (done.returncode, done.stderr) == (2, f"The Unix socket {path} is in use by another program.\n")
        assert path.is_socket()
    with running_server(f"--unix={path}", f"--data-dir={tmp_path / 'data'}") as server:  # one that nobody has any more
        assert health_check.ask(server.address) == ""
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--port=x"], "--port=x: a port is a number", id="a broken value"),
        pytest.param(["--nonsense"], "--nonsense", id="an unknown flag"),
        pytest.param(["--store=s3://AKIA:hunter2@b"], "must not hold credentials", id="credentials in the store"),
        pytest.param(["--store=/blocks"], "begins with s3://", id="no store"),
    ],
)
def test_bad_settings_exit_with_2_and_a_line(arguments: list[str], message: str, tmp_path: Path):
    done = run_server("--port=0", f"--data-dir={tmp_path}", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_that_does_not_answer_exits_with_1(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = run_server(
            "--port=0",
            f"--data-dir={tmp_path}",
            f"--store=s3://bucket?endpoint={endpoint}",
            AWS_ACCESS_KEY_ID="AKIA",
            AWS_SECRET_ACCESS_KEY="hunter2",
        )
    assert done.returncode == 1
    assert endpoint in done.stderr
    assert "takes no connection" in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.minio
def test_it_serves_with_blocks_in_minio(tmp_path: Path, minio: MinioServer, minio_bucket: str):
    arguments = ["--port=0", f"--data-dir={tmp_path}", f"--store={minio.store_url(minio_bucket)}"]
    with running_server(*arguments, environment=minio.environment) as server:
        assert health_check.ask(server.address) == ""
        assert server.stop() == 0
    assert not (tmp_path / "store").exists()


def test_help_and_version_need_no_server():
    for flag, text in (("--help", "HOLDFAST_SERVER_PORT"), ("--version", "holdfast ")):
        done = run_server(flag)
        assert (done.returncode, done.stderr) == (0, "")
        assert text in done.stdout


def test_the_health_check_fails_with_a_line_where_nothing_serves():
    done = subprocess.run(
        [sys.executable, "-m", "holdfast_server.health_check", "127.0.0.1:9"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("127.0.0.1:9: UNAVAILABLE")


def test_a_start_that_is_interrupted_still_ends_cleanly(tmp_path: Path):
    """SIGTERM while the store is being waited for: the server ends when the store's answer is in."""
    with socket.socket() as store:
        store.bind(("127.0.0.1", 0))
        store.listen()
        accepted = threading.Event()

        def hang_up_when_asked() -> None:
            connection, _ = store.accept()
            accepted.set()
            connection.close()

        threading.Thread(target=hang_up_when_asked, daemon=True).start()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "holdfast_server", "--port=0", f"--data-dir={tmp_path}"),
                f"--store=s3://bucket?endpoint=http://127.0.0.1:{store.getsockname()[1]}",
            ],
            env=clean_environment({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}),
            stderr=subprocess.DEVNULL,
        )
        try:
            assert accepted.wait(60)
            process.send_signal(signal.SIGTERM)
            store.close()
            assert process.wait(60) in {0, 1}
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert (tmp_path / "holdfast.db").exists()


def test_with_authentication_the_owner_makes_the_first_token_through_the_data_directory(tmp_path: Path):
    from holdfast.v1.access_service_pb2 import CreateTokenRequest, GetCallerRequest
    from holdfast.v1.access_service_pb2_grpc import AccessServiceStub

    data = tmp_path / "d"
    with running_server("--port=0", f"--data-dir={data}", "--auth=tokens") as server:
        path = data / "holdfast.sock"
        assert f"and unix:{path}, data in" in server.lines[0]
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        with grpc.insecure_channel(f"unix:{path}") as channel:
            request = CreateTokenRequest(principal="ada", new_principal_role="ROLE_READ")
            secret = AccessServiceStub(channel).CreateToken(request).secret
        with grpc.insecure_channel(server.address) as channel:
            stub = AccessServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.GetCaller(GetCallerRequest())
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            answer = stub.GetCaller(GetCallerRequest(), metadata=[("authorization", f"Bearer {secret}")])
            assert answer.principal == "ada"
        assert server.stop() == 0
    assert not path.exists()
    assert not any(secret in line for line in server.lines)
    with running_server("--port=0", f"--data-dir={data}") as server:
        assert any("--auth is off" in line for line in server.lines)


def test_a_data_directory_with_a_long_path_has_no_socket_of_its_owner_and_the_log_says_what_to_do(tmp_path: Path):
    data = tmp_path / ("d" * 90)
    with running_server("--port=0", f"--data-dir={data}", "--auth=tokens") as server:
        assert any("--unix PATH" in line for line in server.lines)
        assert server.stop() == 0
