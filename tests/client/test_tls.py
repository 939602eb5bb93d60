"""Over TLS: what connects, and what is said, without waiting, of what cannot."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.server_process import clean_environment, running_server
from tests.tls_files import TlsDirectory, write_dated, write_key

import holdfast
from holdfast import errors
from holdfast._channel import Channel
from holdfast._config import parse_target
from holdfast._patience import RetryPolicy
from holdfast.v1 import experiment_service_pb2 as messages
from holdfast.v1.experiment_service_pb2_grpc import ExperimentServiceStub

pytestmark = pytest.mark.slow

# Whoever waits for the window fails by the test's own limit.
ENDLESS = RetryPolicy(window=3600.0, first_window=3600.0)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsDirectory:
    return TlsDirectory(tmp_path_factory.mktemp("tls") / "tls")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> TlsDirectory:
    return TlsDirectory(tmp_path_factory.mktemp("other") / "tls", hosts=("elsewhere.test",))


@contextmanager
def serving(directory: Path, *flags: str) -> Iterator[str]:
    with running_server("--port=0", f"--data-dir={directory}", *flags) as server:
        yield server.address


@pytest.fixture(scope="module")
def secured(tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("secured"), *tls.flags) as address:
        yield address


@pytest.fixture(scope="module")
def mutual(tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("mutual"), *tls.mutual_flags) as address:
        yield address


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("plain")) as address:
        yield address


@contextmanager
def channel_to(uri: str, environ: dict[str, str] | None = None, retry: RetryPolicy = ENDLESS) -> Iterator[Channel]:
    channel = Channel(parse_target(uri, environ or {}), retry=retry)
    try:
        yield channel
    finally:
        channel.close()


def ask(channel: Channel) -> None:
    channel.call(channel.stub(ExperimentServiceStub).SearchExperiments, messages.SearchExperimentsRequest(), timeout=30)


def refusal(uri: str, environ: dict[str, str] | None = None) -> str:
    """What is said of a connection that cannot be, without any waiting."""
    with channel_to(uri, environ) as channel, pytest.raises(errors.TlsError) as caught:
        ask(channel)
    assert caught.value.__context__ is None or isinstance(caught.value.__context__, OSError)
    return str(caught.value)


def test_tls_and_mutual_tls_connect(tls, secured, mutual):
    for address, environ in ((secured, tls.trusting), (secured, tls.known), (mutual, tls.known)):
        with channel_to(f"holdfast+tls://{address}", environ) as channel:
            ask(channel)


def test_runs_and_files_pass_over_mutual_tls(tls, mutual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in tls.known.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "large").write_bytes(b"x" * (9 << 20))
    with holdfast.Client(f"holdfast+tls://{mutual}", strict=True) as client:
        run = client.create_run("0")
        client.log_metric(run.info.run_id, "loss", 0.5, synchronous=True)
        client.log_artifact(run.info.run_id, tmp_path / "large")
        found = client.download_artifacts(run.info.run_id, "large", str(tmp_path / "got"))
    assert Path(found).read_bytes() == b"x" * (9 << 20)


def test_an_unknown_authority_is_named_with_the_variable(tls, other, secured):
    text = refusal(f"holdfast+tls://{secured}", other.trusting)
    assert f"none of the authorities that this client trusts, those in {other.ca}" in text
    assert "HOLDFAST_TLS_CA_FILE must name" in text
    assert "the public ones" in refusal(f"holdfast+tls://{secured}")


def test_a_certificate_for_another_host_is_named(other, tmp_path: Path):
    with serving(tmp_path / "data", *other.flags) as address:
        text = refusal(f"holdfast+tls://{address}", other.trusting)
    assert "is not for 127.0.0.1: connect by a name or address that it is for" in text


def test_a_server_without_tls_is_named(tls, plain):
    text = refusal(f"holdfast+tls://{plain}", tls.trusting)
    assert "does not speak TLS" in text
    assert f"use holdfast://{plain}" in text


def test_a_server_with_tls_is_named_to_those_who_come_without(secured, mutual):
    for address in (secured, mutual):
        text = refusal(f"holdfast://{address}")
        assert f"speaks TLS: use holdfast+tls://{address}" in text
        assert "HOLDFAST_TLS_CA_FILE" in text


def test_a_missing_certificate_of_the_client_is_named(tls, mutual):
    assert "HOLDFAST_TLS_CERT_FILE and HOLDFAST_TLS_KEY_FILE name yours" in refusal(
        f"holdfast+tls://{mutual}", tls.trusting
    )


def test_a_certificate_of_the_client_that_the_server_does_not_know_is_named(tls, other, mutual):
    text = refusal(f"holdfast+tls://{mutual}", {**other.known, **tls.trusting})
    assert f"does not accept the certificate in {other.client_cert}" in text


def test_files_that_cannot_be_used_are_named_with_their_variable(tls, other, secured, tmp_path: Path):
    uri, half, absent = f"holdfast+tls://{secured}", tmp_path / "half.crt", tmp_path / "absent"
    half.write_bytes(tls.ca.read_bytes()[:200])
    assert f"HOLDFAST_TLS_CA_FILE: {half} holds no whole" in refusal(uri, {"HOLDFAST_TLS_CA_FILE": str(half)})
    assert f"HOLDFAST_TLS_CA_FILE: {absent} cannot" in refusal(uri, {"HOLDFAST_TLS_CA_FILE": str(absent)})
    assert "HOLDFAST_TLS_KEY_FILE: " in refusal(uri, {**tls.known, "HOLDFAST_TLS_KEY_FILE": str(absent)})
    mixed = {**tls.known, "HOLDFAST_TLS_KEY_FILE": str(other.client_key)}
    assert "must be a certificate and its private key" in refusal(uri, mixed)
    locked = tmp_path / "locked.key"
    write_key(locked, ec.generate_private_key(ec.SECP256R1()), b"hunter2")
    assert "without a passphrase" in refusal(uri, {**tls.known, "HOLDFAST_TLS_KEY_FILE": str(locked)})


def test_half_a_client_certificate_is_refused_before_anything_connects():
    with pytest.raises(
        errors.InvalidArgumentError, match="HOLDFAST_TLS_CERT_FILE and HOLDFAST_TLS_KEY_FILE go together"
    ):
        parse_target("holdfast+tls://localhost:1", {"HOLDFAST_TLS_KEY_FILE": "/k"})
    assert parse_target("holdfast://localhost:1", {"HOLDFAST_TLS_KEY_FILE": "/k"}).key_file is None


def test_a_certificate_that_ended_is_named(tmp_path: Path):
    """A server that refuses to start with such a one may have been running since before its end."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    cert, key = write_dated(tmp_path, begins=dt.timedelta(days=-2), ends=dt.timedelta(days=-1))
    server = grpc.server(ThreadPoolExecutor(1))
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        text = refusal(f"holdfast+tls://localhost:{port}", {"HOLDFAST_TLS_CA_FILE": str(cert)})
        assert "has expired: have it renewed" in text
    finally:
        server.stop(None).wait()


def test_a_listener_that_hangs_up_without_tls_stays_an_outage():
    """Only what TLS explains is a TLS error; the rest may come back."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        stop = threading.Event()

        def hang_up() -> None:
            while not stop.is_set():
                connection, _ = listener.accept()
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        port = listener.getsockname()[1]
        quick = RetryPolicy(first_window=0.3, initial_delay=0.02, max_delay=0.1)
        for scheme in ("holdfast", "holdfast+tls"):
            with channel_to(f"{scheme}://127.0.0.1:{port}", retry=quick) as channel:
                with pytest.raises(errors.UnavailableError) as caught:
                    ask(channel)
                assert type(caught.value) is errors.UnavailableError
        stop.set()
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_client_that_was_connected_follows_when_certificates_are_replaced_on_both_sides(tmp_path: Path):
    mine, new = TlsDirectory(tmp_path / "mine"), TlsDirectory(tmp_path / "new")
    data = tmp_path / "data"
    with running_server("--port=0", f"--data-dir={data}", *mine.flags) as server:
        port = server.address.rpartition(":")[2]
        retry = RetryPolicy(window=60.0, initial_delay=0.02, max_delay=0.1)
        with channel_to(f"holdfast+tls://{server.address}", mine.trusting, retry) as channel:
            ask(channel)
            assert server.stop() == 0
            mine.replace_server_files(new)
            mine.ca.write_bytes(new.ca.read_bytes())
            with running_server(f"--port={port}", f"--data-dir={data}", *mine.flags):
                ask(channel)


def test_what_is_logged_while_the_certificate_is_bad_waits_and_arrives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """A wrong file is an outage for the journal, never a reason to set what was logged aside."""
    mine, new = TlsDirectory(tmp_path / "mine"), TlsDirectory(tmp_path / "new")
    monkeypatch.setenv("HOLDFAST_TLS_CA_FILE", str(mine.ca))
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path / "journal"))
    right = mine.ca.read_bytes()
    with running_server("--port=0", f"--data-dir={tmp_path / 'data'}", *mine.flags) as server:
        mine.ca.write_bytes(new.ca.read_bytes())
        with holdfast.Client(f"holdfast+tls://{server.address}") as client:
            run_id = client.create_run("0").info.run_id
            client.log_metric(run_id, "loss", 0.5)
            assert "HOLDFAST_TLS_CA_FILE must name" in caplog.text
            mine.ca.write_bytes(right)
            assert client.get_run(run_id).data.metrics == {"loss": 0.5}


def test_the_command_line_says_it_in_one_line_and_exits_with_1(other, secured):
    done = subprocess.run(
        [Path(sys.executable).with_name("holdfast"), "--uri", f"holdfast+tls://{secured}", "runs", "ls"],
        env=clean_environment(other.trusting),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: The certificate of the server at holdfast+tls://")
    assert done.stderr.count("\n") == 1
