"""What only an S3 store does: credentials, signatures, failing networks. The stores' common suite is beside this."""

from __future__ import annotations

import hashlib
import http.server
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.minio_server import MinioServer
from typing_extensions import Self

from holdfast_server.errors import Unavailable
from holdfast_server.storage.blocks import s3
from holdfast_server.storage.blocks.s3 import S3ObjectStore, open_s3_store

SECRET = "hunter2hunter2"


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the developer's own environment holds. Named before what sets credentials: pytest keeps this order."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "ACCESS_KEY", "SECRET_KEY", "SESSION_TOKEN", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))


@pytest.fixture
def fake_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFAKE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@contextmanager
def opened(url: str, credentials_file: Path | None = None) -> Iterator[S3ObjectStore]:
    store = open_s3_store(url, credentials_file)
    try:
        yield store
    finally:
        store.close()


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.mark.minio
def test_a_put_is_signed_with_the_known_digest_which_the_store_checks(no_credentials: None, minio_store_url: str):
    with opened(minio_store_url) as store:
        store.check()
        assert store._signer is not None, "this minio-py has no signing function: bodies are hashed twice"
        with pytest.raises(Unavailable, match=r"XAmzContentSHA256Mismatch.*bytes changed on their way"):
            store.put("blocks/ab/bad", [b"flipped"], digest(b"flopped"))
        with pytest.raises(KeyError):
            store.get("blocks/ab/bad", 0, 7)


def an_older_signature(method: str, url: str) -> dict[str, str]:
    raise AssertionError("the arguments do not fit")


@pytest.mark.minio
def test_a_signing_function_with_another_signature_is_done_without(no_credentials: None, minio_store_url: str):
    with opened(minio_store_url) as store:
        store.check()
        store._signer = an_older_signature
        store.put("blocks/ab/plain", [b"one", b"two"], digest(b"onetwo"))
        assert store.get("blocks/ab/plain", 0, 6) == b"onetwo"
        assert store._signer is None


@pytest.mark.minio
@pytest.mark.parametrize("setting", ["s3_credentials_file", "AWS_SHARED_CREDENTIALS_FILE"])
def test_credentials_come_from_a_file(
    setting: str, minio: MinioServer, minio_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = {minio.access_key}\naws_secret_access_key = {minio.secret_key}\n")
    if setting == "AWS_SHARED_CREDENTIALS_FILE":
        monkeypatch.setenv(setting, str(file))
    with opened(minio.store_url(minio_bucket), file if setting == "s3_credentials_file" else None) as store:
        store.check()
        store.put("packs/0", [b"x"], digest(b"x"))
        assert store.get("packs/0", 0, 1) == b"x"


@pytest.mark.minio
def test_the_file_of_the_setting_wins_over_the_environment(
    minio: MinioServer, minio_bucket: str, tmp_path: Path, fake_credentials: None
):
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id={minio.access_key}\naws_secret_access_key={minio.secret_key}\n")
    with opened(minio.store_url(minio_bucket), file) as store:
        store.check()


@pytest.mark.minio
def test_wrong_credentials_are_named_and_not_shown(
    minio: MinioServer, minio_bucket: str, fake_credentials: None, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    with opened(minio.store_url(minio_bucket)) as store, pytest.raises(Unavailable) as caught:
        store.check()
    assert minio.endpoint in caught.value.message
    with opened(minio.store_url(minio_bucket)) as store, pytest.raises(Unavailable) as caught:
        store.put("packs/0", [b"x"], digest(b"x"))
    assert "InvalidAccessKeyId" in caught.value.message
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.message
    assert SECRET not in caught.value.message + caplog.text + repr(store)


@pytest.mark.minio
def test_a_missing_bucket_is_unavailable_and_no_missing_object(no_credentials: None, minio_store_url: str):
    with opened(minio_store_url) as store:
        with pytest.raises(Unavailable, match=r"NoSuchBucket.*bucket is gone"):
            store.get("blocks/ab/x", 0, 1)
        with pytest.raises(Unavailable, match="NoSuchBucket"):
            store.put("packs/0", [b"x"], digest(b"x"))
        with pytest.raises(Unavailable, match="NoSuchBucket"):
            list(store.list_objects())


@pytest.mark.minio
def test_stores_with_different_prefixes_in_a_bucket_do_not_meet(no_credentials: None, minio_store_url: str):
    with opened(minio_store_url.replace("?", "a?")) as one, opened(minio_store_url.replace("?", "ab?")) as two:
        one.check()
        two.check()
        one.put("packs/0", [b"one"], digest(b"one"))
        two.put("packs/0", [b"two"], digest(b"two"))
        assert (one.get("packs/0", 0, 3), two.get("packs/0", 0, 3)) == (b"one", b"two")
        assert [item.key for item in one.list_objects()] == ["packs/0"]
        one.delete("packs/0")
        assert [item.key for item in two.list_objects()] == ["packs/0"]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store: store.check(), id="check"),
        pytest.param(lambda store: store.put("k", [b"x"], digest(b"x")), id="put"),
        pytest.param(lambda store: store.get("k", 0, 1), id="get"),
        pytest.param(lambda store: store.get("k", 0, 0), id="get nothing"),
        pytest.param(lambda store: store.delete("k"), id="delete"),
        pytest.param(lambda store: list(store.list_objects()), id="list"),
    ],
)
def test_every_call_to_an_absent_server_is_unavailable(
    call: Callable[[S3ObjectStore], object], fake_credentials: None, monkeypatch: pytest.MonkeyPatch
):
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port, and connections are refused
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with opened(f"s3://bucket?endpoint={endpoint}") as store, pytest.raises(Unavailable) as caught:
            call(store)
    assert endpoint in caught.value.message
    assert "takes no connection. Check that it runs" in caught.value.message
    assert SECRET not in caught.value.message
    assert caught.value.metadata == {"endpoint": endpoint, "bucket": "bucket"}


def test_missing_credentials_are_unavailable_and_say_where_to_put_them():
    with opened("s3://bucket?endpoint=http://127.0.0.1:9") as store, pytest.raises(Unavailable) as caught:
        store.check()
    assert "no usable credentials. Check AWS_ACCESS_KEY_ID" in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"{SECRET}\n", id="no section"),
        pytest.param(f"[default]\naws_access_key_id = x\nnonsense {SECRET}\n", id="a broken line"),
        pytest.param(f"[default]\naws_secret_access_key = {SECRET}\n", id="no key"),
        pytest.param(f"[default]\naws_access_key_id=%(x\naws_secret_access_key = {SECRET}%\n", id="percent"),
        pytest.param(f"[other]\naws_access_key_id=x\naws_secret_access_key = {SECRET}\n", id="another profile"),
        pytest.param("", id="empty"),
    ],
)
def test_a_bad_credentials_file_is_not_repeated(content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "credentials"
    file.write_text(content)
    with opened("s3://bucket?endpoint=http://127.0.0.1:9", file) as store, pytest.raises(Unavailable) as caught:
        store.check()
    assert "no usable credentials" in caught.value.message
    assert SECRET not in caught.value.message + caplog.text
    assert str(tmp_path) not in caught.value.message


class Scripted(http.server.ThreadingHTTPServer):
    """Answers each request by the next function of a script; the last one goes on. For networks that fail on cue."""

    daemon_threads = True

    def __init__(self, *script: Callable[[http.server.BaseHTTPRequestHandler], None]) -> None:
        self.script = list(script)
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def store_url(self) -> str:
        return f"s3://bucket?endpoint=http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self)

    do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *args: object) -> None:
        pass


def reply(status: int, body: bytes = b"", *, declared: int | None = None, kind: str = "application/xml"):
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body) if declared is None else declared))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = handler.close_connection or declared is not None

    return answer


def hang_up(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def test_an_answer_that_breaks_off_is_asked_for_again(fake_credentials: None):
    with Scripted(reply(206, b"hal", declared=7), reply(206, b"halfway")) as server, opened(server.store_url) as store:
        assert store.get("k", 0, 7) == b"halfway"


def test_answers_that_keep_breaking_off_are_unavailable(fake_credentials: None):
    with (
        Scripted(reply(206, b"hal", declared=7)) as server,
        opened(server.store_url) as store,
        pytest.raises(Unavailable, match="connection broke"),
    ):
        store.get("k", 0, 7)


def test_a_server_that_ignores_ranges_is_understood(fake_credentials: None):
    with Scripted(reply(200, b"0123456789")) as server, opened(server.store_url) as store:
        assert store.get("k", 2, 3) == b"234"


def test_a_put_is_repeated_whole_when_the_store_is_busy(fake_credentials: None):
    busy = reply(503, b"<Error><Code>SlowDown</Code></Error>")
    parts = [bytes([n]) * (300 << 10) for n in range(3)]
    with Scripted(busy, hang_up, reply(200)) as server, opened(server.store_url) as store:
        store.put("k", parts, digest(b"".join(parts)))
        assert server.bodies == [b"".join(parts)] * 3


def test_a_store_that_stays_busy_is_unavailable_in_bounded_time(fake_credentials: None):
    busy = reply(503, b"<Error><Code>SlowDown</Code></Error>")
    with Scripted(busy) as server, opened(server.store_url) as store:
        with pytest.raises(Unavailable, match=r"SlowDown \(HTTP 503\)"):
            store.put("k", [b"x"], digest(b"x"))
        assert len(server.bodies) == 4


@pytest.mark.parametrize("call", ["put", "get"])
def test_a_full_store_says_so(call: str, fake_credentials: None):
    full = reply(507, b"<Error><Code>XMinioStorageFull</Code><Message>m</Message></Error>")
    with Scripted(full) as server, opened(server.store_url) as store, pytest.raises(Unavailable, match="make room"):
        store.put("k", [b"x"], digest(b"x")) if call == "put" else store.get("k", 0, 1)


@pytest.mark.parametrize("call", ["check", "put", "get"])
def test_something_that_is_no_s3_server_is_recognised(call: str, fake_credentials: None):
    page = reply(404, b"<html>console</html>", kind="text/html")
    with Scripted(page) as server, opened(server.store_url) as store, pytest.raises(Unavailable) as caught:
        {
            "check": store.check,
            "put": lambda: store.put("k", [b"x"], digest(b"x")),
            "get": lambda: store.get("k", 0, 1),
        }[call]()
    assert f"127.0.0.1:{server.server_port}" in caught.value.message


def test_a_store_that_does_not_answer_is_given_up(fake_credentials: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(s3, "READ_TIMEOUT", 0.1)
    release = threading.Event()

    def stall(handler: http.server.BaseHTTPRequestHandler) -> None:
        release.wait(60)

    with Scripted(stall) as server, opened(server.store_url) as store:
        with pytest.raises(Unavailable, match="does not answer in time"):
            store.put("k", [b"x"], digest(b"x"))
        release.set()


def test_a_redirect_is_not_followed(fake_credentials: None):
    def elsewhere(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "http://127.0.0.1:9/steal")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with Scripted(elsewhere) as server, opened(server.store_url) as store:
        with pytest.raises(Unavailable, match="HTTP 307"):
            store.put("k", [b"x"], digest(b"x"))
        assert len(server.bodies) == 1


def test_a_temporary_token_is_sent_and_signed(fake_credentials: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-an-hour")
    seen: dict[str, str] = {}

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.update({name.lower(): value for name, value in handler.headers.items()})
        reply(200)(handler)

    with Scripted(answer) as server, opened(server.store_url) as store:
        store.put("k", [b"x"], digest(b"x"))
    assert seen["x-amz-security-token"] == "token-of-an-hour"
    assert seen["x-amz-content-sha256"] == digest(b"x").hex()
    assert "x-amz-security-token" in seen["authorization"]


def test_the_representation_holds_no_secret(fake_credentials: None):
    with opened("s3://bucket/p?endpoint=http://127.0.0.1:9") as store:
        assert repr(store) == "S3ObjectStore(s3://bucket/p/ at http://127.0.0.1:9)"
