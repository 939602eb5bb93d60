"""``holdfast doctor`` finds what is wrong, and says what to do: with real servers, certificates and directories."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from tests.client.conftest import ServerThread
from tests.client.test_sync import left_by_a_killed_process

from holdfast.cli import cli
from holdfast.v1 import artifact_service_pb2, server_service_pb2
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceServicer, add_ArtifactServiceServicer_to_server
from holdfast.v1.server_service_pb2_grpc import ServerServiceServicer, add_ServerServiceServicer_to_server

MINE = artifact_service_pb2.GetCapabilitiesResponse(server_version="0.1.0")


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path / "journals"))
    for name in ("HOLDFAST_CACHE", "HOLDFAST_TOKEN", "HOLDFAST_TLS_CA_FILE", "HOLDFAST_URI"):
        monkeypatch.delenv(name, raising=False)


def doctor(uri: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and what was found by the check's name; the worst of those of one name."""
    done = CliRunner().invoke(cli, ["--uri", uri, "doctor", "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    answer = json.loads(done.stdout)
    assert answer["ok"] is (done.exit_code == 0)
    worst = ["skipped", "ok", "warning", "failure"]
    found: dict[str, dict[str, str]] = {}
    for check in sorted(answer["checks"], key=lambda check: worst.index(check["status"])):
        assert bool(check["advice"]) is (check["status"] in {"warning", "failure"})
        found[check["check"]] = check
    return done.exit_code, found


def test_all_is_well_with_a_server(server: ServerThread):
    code, found = doctor(server.uri)
    assert code == 0
    statuses = {name: check["status"] for name, check in found.items()}
    assert statuses.pop("server disk") in {"ok", "warning"}  # of the machine that runs the tests
    assert statuses == {
        "client": "ok",
        "journal": "ok",
        "unsent": "ok",
        "cache": "skipped",
        "server": "ok",
        "token": "skipped",
        "clock": "ok",
        "database": "ok",
        "store": "ok",
        "sqlite": "ok",
    }


def test_it_reads_well(server: ServerThread):
    done = CliRunner().invoke(cli, ["--uri", server.uri, "doctor"])
    assert done.exit_code == 0
    assert f"ok       server: holdfast 0.1.0 at {server.uri} answered in " in done.stdout


def test_nobody_answers(tmp_path: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        code, found = doctor(f"holdfast://127.0.0.1:{unused.getsockname()[1]}")
    assert code == 1
    assert found["server"]["status"] == "failure"
    assert "No Holdfast server answers" in found["server"]["message"]
    assert "Check the address" in found["server"]["advice"]


def test_an_address_that_is_none():
    code, found = doctor("http://127.0.0.1:5600")
    assert code == 1
    assert "holdfast://" in found["address"]["message"]


def test_a_directory_without_a_store_is_not_made(tmp_path: Path):
    code, found = doctor(str(tmp_path / "new"))
    assert code == 0
    assert found["server"]["status"] == "skipped"
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_directory_with_a_store_is_asked_through_its_embedded_server(tmp_path: Path):
    import holdfast

    with holdfast.Client(tmp_path / "data") as client:
        client.create_experiment("x")
        code, found = doctor(str(tmp_path / "data"))
    assert code == 0
    assert found["store"]["status"] == found["data directory"]["status"] == "ok"


@pytest.mark.slow
def test_a_store_that_cannot_be_written_is_found_through_the_server(tmp_path: Path):
    server = ServerThread(tmp_path / "data", probe_interval=0.1)
    try:
        store = tmp_path / "data" / "store"
        store.rename(tmp_path / "away")
        store.write_text("not a directory")
        while (result := doctor(server.uri))[0] == 0:
            time.sleep(0.1)  # what was found before is told for a moment
        assert result[1]["store"]["status"] == "failure"
        assert "cannot be written" in result[1]["store"]["message"]
        assert result[1]["database"]["status"] == "ok"
        store.unlink()
        (tmp_path / "away").rename(store)
    finally:
        server.stop()


def test_what_processes_left_is_told(server: ServerThread, tmp_path: Path):
    left_by_a_killed_process(server, tmp_path / "journals")
    code, found = doctor(server.uri)
    assert code == 0
    assert found["unsent"]["status"] == "warning"
    assert server.uri in found["unsent"]["message"]
    assert "`holdfast sync`" in found["unsent"]["advice"]


def test_directories_that_others_can_read_are_told(server: ServerThread, tmp_path: Path):
    (tmp_path / "journals").mkdir(mode=0o755)
    (tmp_path / "journals").chmod(0o755)
    code, found = doctor(server.uri)
    assert code == 0
    assert found["journal"]["status"] == "warning"
    assert found["journal"]["advice"].endswith(f"`chmod 700 {tmp_path / 'journals'}`.")


def test_a_directory_that_is_a_file_is_told(server: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    code, found = doctor(server.uri)
    assert code == 1
    assert found["cache"]["status"] == "failure"
    assert "HOLDFAST_CACHE" in found["cache"]["advice"]


def test_a_token_that_nobody_wants_is_told(server: ServerThread, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOLDFAST_TOKEN", "some-token")
    code, found = doctor(server.uri)
    assert code == 0
    assert found["token"]["status"] == "warning"
    assert "some-token" not in json.dumps(found)


class Answers(ServerServiceServicer, ArtifactServiceServicer):
    """A server that says what a test wants it to say."""

    def __init__(
        self, info: server_service_pb2.GetServerInfoResponse, *, ahead: float = 0, refuses: bool = False
    ) -> None:
        self.info, self.ahead, self.refuses = info, ahead, refuses

    def GetServerInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if self.refuses:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "This server wants a token.")
        self.info.server_time.FromMilliseconds(round((time.time() + self.ahead) * 1000))
        return self.info

    def GetCapabilities(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return MINE


class AheadAtFirst(Answers):
    """Its clock is ahead in the first answer only."""

    def GetServerInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        answer = super().GetServerInfo(request, context)
        self.ahead = 0
        return answer


@contextlib.contextmanager
def answering(answers: Answers, *, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    """The port of a server with these answers."""
    server = grpc.server(ThreadPoolExecutor(2))
    add_ServerServiceServicer_to_server(answers, server)
    add_ArtifactServiceServicer_to_server(answers, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def info(**fields: Any) -> server_service_pb2.GetServerInfoResponse:
    usual = {
        "server_version": "0.1.0",
        "sqlite_version": "3.53.4",
        "sqlite_journal": "wal",
        "data_free_bytes": 500 << 30,
        "data_total_bytes": 1 << 40,
    }
    return server_service_pb2.GetServerInfoResponse(**{**usual, **fields})


CASES = [
    pytest.param(Answers(info(), ahead=60), "clock", "warning", "60 s ahead of", id="clock ahead"),
    pytest.param(Answers(info(), ahead=-60), "clock", "warning", "s behind", id="clock behind"),
    pytest.param(Answers(info(), ahead=3600), "clock", "failure", "ahead of", id="clock far ahead"),
    # An embedded server may have to start before it answers at first, and the store is tried out.
    pytest.param(AheadAtFirst(info(), ahead=3600), "clock", "ok", "agree to", id="clock of the second answer"),
    pytest.param(Answers(info(server_version="0.0.9")), "server", "warning", "0.0.9", id="older server"),
    pytest.param(Answers(info(server_version="0.9.0")), "server", "warning", "0.9.0", id="much newer server"),
    pytest.param(Answers(info(server_version="1.0.0")), "server", "failure", "1.0.0", id="another major version"),
    pytest.param(Answers(info(data_free_bytes=1 << 20)), "server disk", "failure", "1.0 MiB of", id="disk full"),
    pytest.param(Answers(info(data_free_bytes=1 << 29)), "server disk", "warning", "512.0 MiB", id="disk nearly full"),
    pytest.param(Answers(info(sqlite_journal="delete")), "sqlite", "warning", "older than 3.51.3", id="old SQLite"),
    pytest.param(Answers(info(), refuses=True), "token", "failure", "wants a token", id="no token"),
]


@pytest.mark.parametrize(("answers", "check", "status", "text"), CASES)
def test_what_a_server_says_is_judged(answers: Answers, check: str, status: str, text: str):
    with answering(answers) as port:
        code, found = doctor(f"holdfast://127.0.0.1:{port}")
    assert (found[check]["status"], code) == (status, 1 if status == "failure" else 0)
    assert text in found[check]["message"]


def test_an_older_server_is_asked_what_it_knows():
    server = grpc.server(ThreadPoolExecutor(2))
    add_ArtifactServiceServicer_to_server(Answers(info()), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        code, found = doctor(f"holdfast://127.0.0.1:{port}")
    finally:
        server.stop(None).wait()
    assert (code, found["server"]["status"], found["store"]["status"]) == (0, "ok", "skipped")


OPENSSL = shutil.which("openssl")
CONFIGURATION = """
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


class Certificate:
    """A self-signed certificate, made by openssl, which may have any dates."""

    def __init__(self, folder: Path, *, name: str = "IP:127.0.0.1", since: int = -1, until: int = 365) -> None:
        folder.mkdir()
        now = datetime.now(timezone.utc)
        begin, end = (f"{now + timedelta(days=days):%Y%m%d%H%M%SZ}" for days in (since, until))
        (folder / "ca.cnf").write_text(CONFIGURATION)
        (folder / "index.txt").write_text("")
        (folder / "serial").write_text("01")
        asking = f"-new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -addext subjectAltName={name}"
        signing = f"-batch -selfsign -config ca.cnf -notext -startdate {begin} -enddate {end}"
        for command in (
            f"req {asking} -subj /CN=test -keyout key.pem -out request.pem",
            f"ca {signing} -keyfile key.pem -in request.pem -out cert.pem",
        ):
            subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
        self.path = folder / "cert.pem"
        self.key = folder / "key.pem"

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials([(self.key.read_bytes(), self.path.read_bytes())])


TLS_CASES = [
    pytest.param({}, "ok", "valid until", id="good"),
    pytest.param({"since": -90, "until": 5}, "warning", "valid until", id="nearly over"),
    pytest.param({"since": -90, "until": -5}, "failure", "expired", id="expired"),
    pytest.param({"since": 5, "until": 90}, "failure", "not yet valid", id="not yet valid"),
    pytest.param({"name": "DNS:other.example"}, "failure", "127.0.0.1", id="another name"),
]


@pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificates")
@pytest.mark.parametrize(("fields", "status", "text"), TLS_CASES)
def test_certificates_are_judged(
    fields: dict[str, Any], status: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    certificate = Certificate(tmp_path / "tls", **fields)
    monkeypatch.setenv("HOLDFAST_TLS_CA_FILE", str(certificate.path))
    with answering(Answers(info()), credentials=certificate.credentials()) as port:
        code, found = doctor(f"holdfast+tls://127.0.0.1:{port}")
    assert found["tls"]["status"] == status
    assert text in found["tls"]["message"]
    assert (found["server"]["status"], code) == (("failure", 1) if status == "failure" else ("ok", 0))


@pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificates")
def test_an_authority_that_is_not_trusted_is_told(tmp_path: Path):
    certificate = Certificate(tmp_path / "tls")
    with answering(Answers(info()), credentials=certificate.credentials()) as port:
        code, found = doctor(f"holdfast+tls://127.0.0.1:{port}")
    assert (code, found["tls"]["status"]) == (1, "failure")
    assert "HOLDFAST_TLS_CA_FILE" in found["tls"]["advice"]


@pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificates")
def test_a_server_with_tls_that_is_asked_without_is_told_apart(tmp_path: Path):
    certificate = Certificate(tmp_path / "tls")
    with answering(Answers(info()), credentials=certificate.credentials()) as port:
        code, found = doctor(f"holdfast://127.0.0.1:{port}")
    assert code == 1
    assert found["server"]["message"].endswith("speaks TLS.")
    assert f"holdfast+tls://127.0.0.1:{port}" in found["server"]["advice"]


def test_a_server_without_tls_that_is_asked_with_it_is_told_apart(server: ServerThread):
    code, found = doctor(server.uri.replace("holdfast://", "holdfast+tls://"))
    assert code == 1
    assert "does not speak TLS" in found["tls"]["message"]


@contextlib.contextmanager
def shaking_hands(context: ssl.SSLContext) -> Iterator[int]:
    """The port of a listener that does nothing but TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as one:
                    one.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificates")
def test_a_proxy_that_does_not_carry_grpc_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    certificate = Certificate(tmp_path / "tls")
    monkeypatch.setenv("HOLDFAST_TLS_CA_FILE", str(certificate.path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)
    context.set_alpn_protocols(["http/1.1"])
    with shaking_hands(context) as port:
        code, found = doctor(f"holdfast+tls://127.0.0.1:{port}")
    assert code == 1
    assert "not HTTP/2" in found["tls"]["message"]


@pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificates")
def test_a_server_that_wants_a_certificate_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    certificate = Certificate(tmp_path / "tls")
    monkeypatch.setenv("HOLDFAST_TLS_CA_FILE", str(certificate.path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)
    context.load_verify_locations(certificate.path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with shaking_hands(context) as port:
        code, found = doctor(f"holdfast+tls://127.0.0.1:{port}")
    assert code == 1
    assert "certificate of this client's own" in found["tls"]["advice"]
