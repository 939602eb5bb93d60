"""The server over TLS: what it refuses at its start, and files that are replaced under it."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server_process import ServerProcess, clean_environment, run_server, running_server
from tests.tls_files import TlsDirectory, write_dated, write_key

from holdfast_server import health_check

pytestmark = pytest.mark.slow


@pytest.fixture
def tls(tmp_path: Path) -> TlsDirectory:
    return TlsDirectory(tmp_path / "tls")


@pytest.fixture
def other(tmp_path: Path) -> TlsDirectory:
    return TlsDirectory(tmp_path / "other")


@contextmanager
def serving(tmp_path: Path, *flags: str, log_level: str = "info") -> Iterator[ServerProcess]:
    arguments = ["--port=0", f"--data-dir={tmp_path / 'data'}", f"--log-level={log_level}", *flags]
    with running_server(*arguments) as server:
        yield server


@contextmanager
def connected(server: ServerProcess, ca: Path, *client: Path) -> Iterator[health_pb2_grpc.HealthStub]:
    """A connection of its own that trusts one authority; ``client`` is a key and a certificate."""
    key, certificate = (path.read_bytes() for path in client) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(server.address, credentials, options=options) as channel:
        yield health_pb2_grpc.HealthStub(channel)


def serves(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        stub.Check(health_pb2.HealthCheckRequest(), timeout=120)
    except grpc.RpcError:
        return False
    return True


def accepts(server: ServerProcess, ca: Path, *client: Path) -> bool:
    """Whether a new connection succeeds."""
    with connected(server, ca, *client) as stub:
        return serves(stub)


def lines_with(server: ServerProcess, text: str) -> list[str]:
    return [line for line in server.lines if text in line]


def wait_until(holds: Callable[[], object], timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.01)


def test_clients_that_trust_its_authority_are_served_and_others_not(tmp_path: Path, tls, other):
    with serving(tmp_path, *tls.flags) as server:
        assert " serving on holdfast+tls://127.0.0.1:" in server.lines[0]
        assert accepts(server, tls.ca)
        assert not accepts(server, other.ca)
        assert health_check.ask(server.address) != "", "without TLS nothing is served"
        assert server.stop() == 0


def test_a_unix_socket_beside_a_port_speaks_without_tls(tmp_path: Path, tls):
    path = tmp_path / "h.sock"
    with serving(tmp_path, f"--unix={path}", "--port=0", *tls.flags):
        assert health_check.ask(f"unix:{path}") == ""


def test_mutual_tls_lets_in_only_those_whom_the_authority_knows(tmp_path: Path, tls, other):
    with serving(tmp_path, *tls.mutual_flags) as server:
        assert accepts(server, tls.ca, tls.client_key, tls.client_cert)
        assert not accepts(server, tls.ca)
        assert not accepts(server, tls.ca, other.client_key, other.client_cert)


def test_a_replaced_certificate_is_used_by_new_connections_and_open_ones_go_on(tmp_path: Path, tls, other):
    with serving(tmp_path, *tls.flags) as server, connected(server, tls.ca) as stub:
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=120)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        tls.replace_server_files(other)
        assert accepts(server, other.ca)
        assert not accepts(server, tls.ca)
        assert serves(stub), "what was connected before stays connected"
        assert watch.is_active()
        assert len(lines_with(server, "the TLS files changed; new connections use them")) == 1
        server.process.terminate()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


def test_both_of_two_ports_follow_a_replaced_certificate(tmp_path: Path, tls, other):
    """gRPC keeps certificates for each port; one that was asked first must not take the change from the other."""
    from holdfast_server.tls.files import TlsFiles
    from holdfast_server.tls.reloading import ReloadingCertificates

    certificates = ReloadingCertificates(TlsFiles(tls.cert, tls.key))
    server = grpc.server(_pool())
    ports = [server.add_secure_port("127.0.0.1:0", certificates.credentials()) for _ in range(2)]
    server.start()
    tls.replace_server_files(other)
    for port in ports:
        credentials = grpc.ssl_channel_credentials(other.ca.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, [("grpc.enable_http_proxy", 0)]) as channel:
            grpc.channel_ready_future(channel).result(90)
    server.stop(None).wait()


def _pool():
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1)


def test_no_connection_fails_while_files_are_replaced_over_and_over(tmp_path: Path, tls, other):
    """Between the two files of a pair, and whichever of them is read, the last good ones serve."""
    both, original = tmp_path / "both.crt", TlsDirectory(tmp_path / "original")
    original.replace_server_files(tls)
    both.write_bytes(tls.ca.read_bytes() + other.ca.read_bytes())
    done, failures = threading.Event(), []

    def connect() -> None:
        while not done.is_set():
            if not accepts(server, both):
                failures.append(list(server.lines))

    with serving(tmp_path, *tls.flags) as server:
        threads = [threading.Thread(target=connect, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for round_ in range(10):
                seen = len(lines_with(server, "new connections use them"))
                tls.replace_server_files(original if round_ % 2 else other)
                wait_until(lambda seen=seen: failures or len(lines_with(server, "new connections use them")) > seen)
        finally:
            done.set()
        for thread in threads:
            thread.join(60)
        assert failures == []
        assert server.stop() == 0


BROKEN = [
    pytest.param(lambda tls, _: tls.cert.write_bytes(tls.cert.read_bytes()[:200]), "no whole certificate", id="half"),
    pytest.param(lambda tls, _: tls.cert.write_bytes(b""), "no whole certificate", id="empty certificate"),
    pytest.param(lambda tls, _: tls.key.write_bytes(tls.key.read_bytes()[:60]), "no whole private key", id="half key"),
    pytest.param(
        lambda tls, other: tls.cert.write_bytes(other.cert.read_bytes()),
        "is not the key of the certificate",
        id="mixed",
    ),
    pytest.param(lambda tls, _: tls.key.unlink(), "cannot be read: No such file", id="gone"),
]


@pytest.mark.parametrize(("spoil", "message"), BROKEN)
def test_a_new_file_that_cannot_be_used_changes_nothing_and_is_logged_once(tmp_path: Path, tls, other, spoil, message):
    key = tls.key.read_bytes()
    with serving(tmp_path, *tls.flags) as server:
        spoil(tls, other)
        for _ in range(3):
            assert accepts(server, tls.ca)
        told = lines_with(server, "the ones before stay in use")
        assert len(told) == 1
        assert message in told[0]
        # The other half comes, and it is used.
        tls.key.write_bytes(key)
        tls.replace_server_files(other)
        assert accepts(server, other.ca)
        assert server.stop() == 0


def test_a_new_certificate_that_expired_is_not_used(tmp_path: Path, tls):
    expired, key = write_dated(tmp_path, begins=dt.timedelta(days=-2), ends=dt.timedelta(days=-1))
    with serving(tmp_path, *tls.flags) as server:
        tls.cert.write_bytes(expired.read_bytes())
        tls.key.write_bytes(key.read_bytes())
        assert accepts(server, tls.ca)
        assert len(lines_with(server, "the ones before stay in use: The certificate in")) == 1


def test_a_replaced_authority_of_clients_decides_about_new_connections(tmp_path: Path, tls, other):
    with serving(tmp_path, *tls.mutual_flags) as server:
        bob = (tls.client_key, tls.client_cert)
        with connected(server, tls.ca, *bob) as stub:
            assert serves(stub)
            trusted = tls.ca.read_bytes()
            tls.ca.write_bytes(other.ca.read_bytes())
            mine = tmp_path / "mine.crt"
            mine.write_bytes(trusted)
            assert not accepts(server, mine, *bob)
            assert accepts(server, mine, other.client_key, other.client_cert)
            assert serves(stub)


def ends_with_2(tmp_path: Path, *flags: str) -> str:
    """What a server says that does not start."""
    done = run_server("--port=0", f"--data-dir={tmp_path / 'data'}", *flags)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()
    return done.stderr


@pytest.mark.parametrize(("spoil", "message"), BROKEN)
def test_files_that_cannot_be_used_keep_it_from_starting(tmp_path: Path, tls, other, spoil, message):
    spoil(tls, other)
    assert message in ends_with_2(tmp_path, *tls.flags)


@pytest.mark.parametrize(
    ("begins", "ends", "message"),
    [
        pytest.param(-2, -1, "expired on", id="expired"),
        pytest.param(1, 2, "check this machine's clock", id="not valid yet"),
    ],
)
def test_a_certificate_out_of_its_time_keeps_it_from_starting(tmp_path: Path, begins: int, ends: int, message: str):
    cert, key = write_dated(tmp_path, begins=dt.timedelta(days=begins), ends=dt.timedelta(days=ends))
    assert message in ends_with_2(tmp_path, f"--tls-cert={cert}", f"--tls-key={key}")


def test_swapped_files_and_passphrases_are_named(tmp_path: Path, tls):
    assert "holds a private key; it must hold certificates" in ends_with_2(
        tmp_path, f"--tls-cert={tls.key}", f"--tls-key={tls.cert}"
    )
    locked = tmp_path / "locked.key"
    write_key(locked, ec.generate_private_key(ec.SECP256R1()), b"hunter2")
    assert "has a passphrase" in ends_with_2(tmp_path, f"--tls-cert={tls.cert}", f"--tls-key={locked}")
    assert f"{tls.key} holds a private key" in ends_with_2(tmp_path, *tls.flags, f"--tls-client-ca={tls.key}")


def test_a_chain_in_the_wrong_order_is_named(tmp_path: Path, tls):
    tls.cert.write_bytes(tls.ca.read_bytes() + tls.cert.read_bytes())
    assert "the server's own must be its first" in ends_with_2(tmp_path, *tls.flags)


def test_it_warns_of_a_key_that_others_can_read_and_of_a_certificate_that_ends_soon(tmp_path: Path):
    cert, key = write_dated(tmp_path, begins=dt.timedelta(days=-2), ends=dt.timedelta(days=3))
    key.chmod(0o644)
    with serving(tmp_path, f"--tls-cert={cert}", f"--tls-key={key}") as server:
        assert len(lines_with(server, f"chmod 600 {key}")) == 1
        assert len(lines_with(server, "expires on")) == 1
        assert server.stop() == 0


def test_the_health_check_of_its_own_host_needs_nothing_but_the_server_s_settings(tmp_path: Path, tls, other):
    def check(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "holdfast_server.health_check"],
            env=clean_environment(environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    elsewhere = TlsDirectory(tmp_path / "elsewhere", hosts=("elsewhere.test",))
    with serving(tmp_path, *elsewhere.mutual_flags) as server:
        settings = {
            "HOLDFAST_SERVER_PORT": server.address.rpartition(":")[2],
            "HOLDFAST_SERVER_TLS_CERT": str(elsewhere.cert),
        }
        known = {name: value for name, value in elsewhere.known.items() if name != "HOLDFAST_TLS_CA_FILE"}
        done = check(**settings, **known)
        assert (done.returncode, done.stderr) == (0, "")
        assert check(**settings).returncode == 1, "without the client's certificate"
        assert check(**{**settings, "HOLDFAST_SERVER_TLS_CERT": str(other.cert)}, **known).returncode == 1
        absent = check(**{**settings, "HOLDFAST_SERVER_TLS_CERT": "/absent"})
        assert (absent.returncode, "Traceback" in absent.stderr) == (1, False)
