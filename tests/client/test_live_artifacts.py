"""Artifacts that are open for writing: what the writer may rely on, and what followers see."""

from __future__ import annotations

import hashlib
import io
import logging
import secrets
import subprocess
import sys
import threading
import time

import pytest

import holdfast
from holdfast import _open_files
from holdfast._client import Client
from holdfast.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)

MIB = 1 << 20


def read_now(client: Client, run_id: str, path: str = "log") -> bytes:
    return b"".join(client.tail_artifact(f"runs:/{run_id}/{path}", follow=False))


def stored(client: Client, run_id: str, path: str = "log") -> bytes:
    return client.artifacts.read_bytes(f"runs:/{run_id}/{path}")


def paths(client: Client, run_id: str) -> list[str]:
    return [file.path for file in client.list_artifacts(run_id)]


@pytest.fixture(autouse=True)
def _nothing_stays_open():
    yield
    assert not _open_files._open


def test_what_is_written_becomes_a_file_when_closed(client, run_id):
    with client.open_artifact(run_id, "logs/train.log") as file:
        file.write("erste Zeile: ü\n")
        print("loss", 0.5, file=file)
        file.flush()
        assert read_now(client, run_id, "logs/train.log") == "erste Zeile: ü\nloss 0.5\n".encode()
        assert paths(client, run_id) == []
        with pytest.raises(NotFoundError, match="still being written"):
            stored(client, run_id, "logs/train.log")
        (live,) = client.list_live_artifacts(run_id)
        assert (live.path, live.file_size) == ("logs/train.log", 25)
    assert stored(client, run_id, "logs/train.log") == "erste Zeile: ü\nloss 0.5\n".encode()
    assert client.list_live_artifacts(run_id) == []


def test_a_closed_file_is_the_one_that_an_upload_makes(client, run_id):
    data = secrets.token_bytes(9 * MIB + 77)
    client.log_bytes(run_id, data, "uploaded")
    with client.open_artifact(run_id, "written", "wb") as file:
        for start in range(0, len(data), 100_000):
            assert file.write(data[start : start + 100_000]) == min(100_000, len(data) - start)
        assert file.tell() == len(data)
    digests = {entry.path: entry.digest for entry in client.list_artifacts(run_id)}
    assert digests["written"] == digests["uploaded"]


def test_what_is_written_can_be_followed_before_it_is_flushed(client, run_id):
    file = client.open_artifact(run_id, "log", flush_interval=0.05)
    follower = client.tail_artifact(f"runs:/{run_id}/log")
    seen = b""
    for number in range(5):
        file.write(f"{number}\n")
        while not seen.endswith(f"{number}\n".encode()):
            seen += next(follower)
    file.close()
    assert list(follower) == []
    assert seen == b"0\n1\n2\n3\n4\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "latin-1"])
def test_text_is_encoded_as_asked_and_newlines_stay(client, run_id, encoding):
    with client.open_artifact(run_id, "log", "w", encoding=encoding) as file:
        file.write("a\r\nb\n")
        file.write("ü\n")
    assert stored(client, run_id) == "a\r\nb\nü\n".encode(encoding)


def test_modes_do_what_python_s_do(client, run_id):
    for mode, expected in [("x", b"x"), ("a", b"xa"), ("w", b"w"), ("ab", b"wab"), ("wb", b"wb"), ("at", b"wbat")]:
        with client.open_artifact(run_id, "log", mode) as file:
            file.write(mode.encode() if "b" in mode else mode)
        assert stored(client, run_id) == expected
    with pytest.raises(AlreadyExistsError, match="is there already"):
        client.open_artifact(run_id, "log", "x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *[
            pytest.param({"mode": mode}, "opened for writing", id=repr(mode))
            for mode in ("r", "w+", "", "wbt", "bb", 1)
        ],
        pytest.param({"encoding": "klingon"}, "no encoding", id="encoding"),
        pytest.param({"flush_interval": -1}, "seconds from 0", id="interval"),
        pytest.param({"flush_interval": "soon"}, "seconds from 0", id="no number"),
        pytest.param({"artifact_file": "../log"}, "refused", id="path"),
    ],
)
def test_what_cannot_be_opened_is_refused_before_anything_is_begun(client, run_id, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        client.open_artifact(run_id, **{"artifact_file": "log", **options})
    assert client.list_live_artifacts(run_id) == []


def test_it_is_an_ordinary_file_object(client, run_id):
    file = client.open_artifact(run_id, "log", "wb")
    assert (file.writable(), file.readable(), file.seekable(), file.closed) == (True, False, False, False)
    assert (file.name, file.mode) == ("log", "wb")
    with pytest.raises(TypeError):
        file.write("text")
    file.write(memoryview(b"abcd")[::2].tobytes())
    file.writelines([b"1", bytearray(b"2")])
    for refused in (file.read, file.seek, file.fileno):
        with pytest.raises((io.UnsupportedOperation, TypeError)):
            refused()
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")
    assert stored(client, run_id) == b"ac12"


def test_a_logging_handler_can_write_to_it(client, run_id):
    with client.open_artifact(run_id, "log") as file:
        handler = logging.StreamHandler(file)
        handler.handle(logging.makeLogRecord({"msg": "hello %s", "args": ("there",)}))
        assert read_now(client, run_id) == b"hello there\n"


def test_a_crash_in_the_block_keeps_what_was_written(client, run_id):
    def train() -> None:
        with client.open_artifact(run_id, "log") as file:
            file.write("before the crash")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert stored(client, run_id) == b"before the crash"


def test_many_threads_write_whole_pieces(client, run_id):
    def write(number: int) -> None:
        for _ in range(500):
            file.write(bytes([number]) * 100)

    with client.open_artifact(run_id, "log", "wb") as file:
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    data = stored(client, run_id)
    pieces = [data[start : start + 100] for start in range(0, len(data), 100)]
    assert sorted(pieces) == sorted(bytes([number]) * 100 for number in range(8) for _ in range(500))


def test_the_writer_before_learns_that_another_took_over(client, run_id):
    first = client.open_artifact(run_id, "log")
    first.write("one ")
    first.flush()
    with client.open_artifact(run_id, "log", "a") as second:
        second.write("two")
        first.write("lost")
        with pytest.raises(FailedPreconditionError, match="Another writer") as caught:
            first.flush()
        assert caught.value.reason == "WRITER_SUPERSEDED"
        with pytest.raises(FailedPreconditionError, match="Another writer"):
            first.write("more")
        with pytest.raises(FailedPreconditionError, match="Another writer"):
            first.close()
        assert first.closed
    assert stored(client, run_id) == b"one two"


def test_a_follower_learns_that_the_file_was_begun_anew(client, run_id):
    with client.open_artifact(run_id, "log") as first:
        first.write("old")
        first.flush()
        follower = client.tail_artifact(f"runs:/{run_id}/log")
        assert next(follower) == b"old"
        with client.open_artifact(run_id, "log") as second:
            second.write("new")
            with pytest.raises(ConflictError, match="begun anew"):
                next(follower)
        with pytest.raises(FailedPreconditionError, match="begun anew"):
            first.close()
    assert stored(client, run_id) == b"new"


def test_a_follower_can_begin_anywhere(client, run_id):
    client.log_bytes(run_id, b"0123456789", "log")
    uri = f"runs:/{run_id}/log"
    for offset, expected in [(0, b"0123456789"), (7, b"789"), (10, b""), (-3, b"789"), (-30, b"0123456789")]:
        assert b"".join(client.tail_artifact(uri, offset)) == expected
    with pytest.raises(InvalidArgumentError, match="10 bytes"):
        next(client.tail_artifact(uri, 11))
    with pytest.raises(NotFoundError):
        next(client.tail_artifact(f"runs:/{run_id}/nothing"))


def test_memory_of_a_fast_writer_is_bounded(client, run_id):
    from holdfast._transfer import live

    data = secrets.token_bytes(MIB)
    digest = hashlib.sha256()
    with client.open_artifact(run_id, "log", "wb") as file:
        for _ in range(24):
            file.write(data)
            digest.update(data)
            assert len(file._pending) <= live.MAX_PENDING
        file.write(data * 9)
        digest.update(data * 9)
    assert hashlib.sha256(stored(client, run_id)).digest() == digest.digest()


def test_the_end_of_the_run_closes_its_files(fluent):
    with holdfast.start_run() as run:
        file = holdfast.open_artifact("logs/train.log")
        file.write("the last line")
    assert file.closed
    assert stored(fluent, run.info.run_id, "logs/train.log") == b"the last line"


def test_a_run_opens_its_artifacts(client, run_id):
    with client.get_run(run_id).open_artifact("log", "wb") as file:
        file.write(b"of the run")
    assert stored(client, run_id) == b"of the run"


def test_flush_waits_for_open_artifacts(fluent):
    with holdfast.start_run() as run, holdfast.open_artifact("log", flush_interval=60) as file:
        file.write("durable")
        holdfast.flush()
        assert read_now(fluent, run.info.run_id) == b"durable"


def test_the_end_of_the_client_closes_its_files(server, client, run_id):
    with Client(server.uri) as other:
        file = other.open_artifact(run_id, "log", "wb")
        file.write(b"kept")
    assert file.closed
    assert stored(client, run_id) == b"kept"


def test_an_idle_writer_shows_that_it_lives(server, client, run_id, monkeypatch):
    monkeypatch.setattr("holdfast._transfer.live.RENEW_SECONDS", 0.05)
    with client.open_artifact(run_id, "log", "wb") as file:
        before = renewed(server, file)
        while renewed(server, file) == before:
            time.sleep(0.01)


def renewed(server, file) -> int:
    read = server.app.database.read(lambda tx: tx.live.get(file._live_id).update_time)
    return server._run(read)


# In a process of its own: forking one that runs a server as well is more than gRPC bears.
FORKING = """
import multiprocessing, sys
import holdfast
from holdfast.errors import FailedPreconditionError
uri, run_id = sys.argv[1:]
fork = multiprocessing.get_context("fork")

def in_child(connection, file):
    try:
        file.write(b"from the child")
    except FailedPreconditionError as error:
        connection.send(str(error))
    file.flush()
    file.close()

def in_worker():
    holdfast.Client(uri).open_artifact(run_id, "worker").write("from the worker")

with holdfast.Client(uri) as client, client.open_artifact(run_id, "log", "wb", flush_interval=0.001) as file:
    for number in range(5):
        file.write(b"parent %d " % number)  # mostly on its way when the process forks
        ours, theirs = fork.Pipe()
        child = fork.Process(target=in_child, args=(theirs, file))
        child.start()
        child.join(30)
        assert child.exitcode == 0, child.exitcode
        assert "forked" in ours.recv()
    worker = fork.Process(target=in_worker)
    worker.start()
    worker.join(30)
    assert worker.exitcode == 0, worker.exitcode
"""


def test_a_forked_process_writes_its_own_artifacts_and_not_its_parent_s(server, client, run_id):
    subprocess.run([sys.executable, "-c", FORKING, server.uri, run_id], check=True, timeout=120)
    assert stored(client, run_id) == b"".join(b"parent %d " % number for number in range(5))
    assert stored(client, run_id, "worker") == b"from the worker"
