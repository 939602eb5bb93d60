"""Live artifacts over kills and restarts: no byte of a log is lost, doubled or out of place."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from tests.minio_server import MinioServer
from tests.ports import free_port
from tests.server_process import clean_environment, running_server

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast._transfer import live
from holdfast.errors import FailedPreconditionError, UnavailableError

MIB = 1 << 20
KILLS = 6
PATIENT = RetryPolicy(window=120, first_window=120, max_delay=0.2)

# Writes numbered lines of all lengths and tells what is durable, until its input ends.
WRITER = """
import random, sys, threading
import holdfast
from holdfast._patience import RetryPolicy
uri, run_id, seed, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
source, stop = random.Random(seed), threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
client = holdfast.Client(uri, retry=RetryPolicy(window=120, first_window=120, max_delay=0.2))
file = client.open_artifact(run_id, "logs/train.log", "a", flush_interval=0.1)
number = 0
while not stop.is_set():
    file.write(f"{number} " + "x" * source.choice([0, 10, 1000, 100_000]) + "\\n")
    number += 1
    if source.random() < 0.2:
        file.flush()
        print(file.buffer.tell(), flush=True)
    stop.wait(source.random() * pause)
file.close()
"""


@contextmanager
def writer(uri: str, run_id: str, pause: float = 0.02) -> Iterator[subprocess.Popen[str]]:
    """A writing process; closing its input lets it end."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, uri, run_id, "1", str(pause)],
        env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def follower(uri: str, run_id: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """``holdfast artifacts tail -f`` from the beginning on."""
    command = [Path(sys.executable).parent / "holdfast", "--uri", uri, "artifacts", "tail", "-f", *options]
    process = subprocess.Popen(
        [*command, f"runs:/{run_id}/logs/train.log"],
        env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(writing: subprocess.Popen[str]) -> None:
    writing.stdin.close()
    writing.stdin = None
    writing.communicate(timeout=90)
    assert writing.returncode == 0


def numbers_of(data: bytes) -> list[int]:
    assert data.endswith(b"\n")
    return [int(line.split()[0]) for line in data.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_follower_sees_every_byte_once_over_kills_of_the_server(tmp_path: Path) -> None:
    moments, port = random.Random(20261124), free_port()
    uri = f"holdfast://127.0.0.1:{port}"
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    written: list[int] = []
    received: list[bytes] = []
    with ExitStack() as stack:
        with running_server(*arguments) as server, Client(uri) as client:
            run_id = client.create_run("0").info.run_id
            writing = stack.enter_context(writer(uri, run_id))
            written.append(int(writing.stdout.readline()))
            following = stack.enter_context(follower(uri, run_id, "--all"))
            received.append(following.stdout.read(1))
            reading = threading.Thread(target=lambda: received.extend(iter(lambda: following.stdout.read1(MIB), b"")))
            reading.start()
            server.process.kill()
        for _ in range(KILLS):
            with running_server(*arguments) as server:
                # The writer is through the last outage when it tells of something durable again.
                written.extend(int(writing.stdout.readline()) for _ in range(moments.randrange(1, 4)))
                # So is the follower when it has that; it gives up a server that is away for half a minute.
                while sum(map(len, received)) < written[-1]:
                    assert following.poll() is None
                    time.sleep(0.01)
                killer = threading.Timer(moments.uniform(0, 0.5), server.process.kill)
                killer.start()
                assert server.process.wait(60) == -signal.SIGKILL
        with running_server(*arguments), Client(uri) as client:
            finish(writing)
            reading.join(120)
            assert following.wait(60) == 0, following.stderr.read()
            stored = client.artifacts.read_bytes(f"runs:/{run_id}/logs/train.log")
    assert written == sorted(written)
    assert len(stored) >= written[-1]
    assert hashlib.sha256(b"".join(received)).digest() == hashlib.sha256(stored).digest()
    numbers = numbers_of(stored)
    assert numbers == list(range(len(numbers)))


def test_a_killed_writer_loses_only_what_was_not_flushed_and_another_goes_on(tmp_path: Path) -> None:
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}", retry=PATIENT) as client:
        uri = client.tracking_uri
        run_id = client.create_run("0").info.run_id
        with writer(uri, run_id) as writing:
            flushed = [int(writing.stdout.readline()) for _ in range(5)]
            writing.kill()
            writing.wait()
            flushed.extend(int(line) for line in writing.stdout.read().split())
        left = b"".join(client.tail_artifact(f"runs:/{run_id}/logs/train.log", follow=False))
        assert len(left) >= flushed[-1]
        whole = left[: left.rindex(b"\n") + 1]
        assert numbers_of(whole) == list(range(len(numbers_of(whole))))
        assert client.list_artifacts(run_id) == []
        with writer(uri, run_id) as writing:
            assert int(writing.stdout.readline()) > len(left)
            finish(writing)
        stored = client.artifacts.read_bytes(f"runs:/{run_id}/logs/train.log")
    assert stored.startswith(left)
    numbers = numbers_of(stored[len(left) :])
    assert numbers == list(range(len(numbers)))


def test_what_one_server_takes_another_shows_within_a_second(tmp_path: Path) -> None:
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with running_server(*arguments) as first, running_server(*arguments) as second:
        ours, theirs = Client(f"holdfast://{first.address}"), Client(f"holdfast://{second.address}")
        with ours, theirs:
            run_id = ours.create_run("0").info.run_id
            file = ours.open_artifact(run_id, "log", "wb")
            chunks = theirs.tail_artifact(f"runs:/{run_id}/log")
            delays, seen = [], b""
            for number in range(10):
                line = b"%d %s\n" % (number, os.urandom(100).hex().encode() * (number * 40))
                file.write(line)
                file.flush()
                flushed = time.monotonic()
                while len(seen) < file.tell():
                    seen += next(chunks)
                delays.append(time.monotonic() - flushed)
                assert seen.endswith(line)
            # The other server takes over.
            with theirs.open_artifact(run_id, "log", "ab") as other:
                other.write(b"end\n")
                with pytest.raises(FailedPreconditionError, match="Another writer"):
                    file.close()
            assert seen + b"".join(chunks) == ours.artifacts.read_bytes(f"runs:/{run_id}/log")
            assert sorted(delays)[5] < 1, delays


class Received(threading.Thread):
    """Collects what a follower gets."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__(daemon=True)
        self._chunks, self.data = chunks, b""
        self.start()

    def run(self) -> None:
        for chunk in self._chunks:
            self.data += chunk


@pytest.mark.minio
def test_a_log_on_minio_is_followed_and_becomes_the_file(
    minio: MinioServer, minio_store_url: str, tmp_path: Path
) -> None:
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path), "--store", minio_store_url]
    server = running_server(*arguments, environment=minio.environment)
    with server as running, Client(f"holdfast://{running.address}") as client:
        run_id = client.create_run("0").info.run_id
        file = client.open_artifact(run_id, "log", "wb")
        received = Received(client.tail_artifact(f"runs:/{run_id}/log"))
        data = random.Random(5).randbytes(1 << 20) * 9
        for start in range(0, len(data), 300_000):
            file.write(data[start : start + 300_000])
        file.close()
        received.join(60)
        assert received.data == data
        client.log_bytes(run_id, data, "uploaded")
        digests = {entry.path: entry.digest for entry in client.list_artifacts(run_id)}
        assert digests["log"] == digests["uploaded"]


def flush_after(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()


def test_a_writer_outlasts_a_server_that_stays_away(tmp_path: Path) -> None:
    port = free_port()
    uri = f"holdfast://127.0.0.1:{port}"
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    hasty = RetryPolicy(window=0.2, first_window=0.2)
    with Client(uri, retry=hasty) as client:
        with running_server(*arguments):
            run_id = client.create_run("0").info.run_id
            file = client.open_artifact(run_id, "log", "wb")
            file.write(b"there")
            file.flush()
        written = b"there"
        with pytest.raises(UnavailableError):
            flush_after(file, b" away")
        written += b" away"
        part = bytes(1 << 20)
        for _ in range(3):  # what fits is taken, server or not
            file.write(part)
            written += part
        with pytest.raises(UnavailableError):
            file.write(part)
        assert file.tell() == len(written)
        with running_server(*arguments):
            deadline = time.monotonic() + 120
            while True:  # the call that meets the server coming back may still be told that it was away
                try:
                    file.flush()
                    break
                except UnavailableError:
                    assert time.monotonic() < deadline
            file.close()
            assert client.artifacts.read_bytes(f"runs:/{run_id}/log") == written


def test_a_flush_to_a_server_that_hangs_fails_soon_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:

        def hang() -> None:
            server.process.send_signal(signal.SIGSTOP)
            monkeypatch.setattr(live, "ANSWER_SECONDS", 1.0)

        def go_on() -> None:
            monkeypatch.undo()  # a busy machine may need longer for an answer
            server.process.send_signal(signal.SIGCONT)

        run_id = client.create_run("0").info.run_id
        file = client.open_artifact(run_id, "log", "wb")
        flush_after(file, b"there")
        hang()
        begin = time.monotonic()
        with pytest.raises(UnavailableError, match="does not answer"):
            flush_after(file, b", while it hung")
        assert time.monotonic() - begin < 20  # of the 30 s that it would be by default
        file.write(b", and after")
        go_on()
        flush_after(file, b".")
        with client.open_artifact(run_id, "empty", "wb") as other:
            hang()
            with pytest.raises(UnavailableError, match="does not answer"):
                other.close()
            go_on()
        assert other.closed
        with pytest.raises(UnavailableError, match="does not answer"), client.open_artifact(run_id, "last") as last:  # noqa: PT012 - what is left of it shows when the block ends
            hang()
            last.write("the last lines")
        go_on()
        last.close()
        assert client.artifacts.read_bytes(f"runs:/{run_id}/last") == b"the last lines"
        file.close()
        assert client.artifacts.read_bytes(f"runs:/{run_id}/log") == b"there, while it hung, and after."


def test_a_server_that_stops_does_not_wait_for_followers(tmp_path: Path) -> None:
    port = free_port()
    uri = f"holdfast://127.0.0.1:{port}"
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    with Client(uri, retry=PATIENT) as client:
        with running_server(*arguments, "--drain-timeout", "600") as server:
            run_id = client.create_run("0").info.run_id
            file = client.open_artifact(run_id, "log", "wb")
            file.write(b"before")
            file.flush()
            chunks = client.tail_artifact(f"runs:/{run_id}/log")
            assert next(chunks) == b"before"
            assert server.stop(timeout=120) == 0
        with running_server(*arguments):
            file.write(b" after")
            file.close()
            assert b"".join(chunks) == b" after"


def test_ctrl_c_ends_a_follower_quietly(tmp_path: Path) -> None:
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        run_id = client.create_run("0").info.run_id
        with client.open_artifact(run_id, "logs/train.log") as file:
            file.write("first\n")
            file.flush()
            with follower(client.tracking_uri, run_id) as following:
                assert following.stdout.readline() == b"first\n"
                following.send_signal(signal.SIGINT)
                assert following.wait(60) == 130
                assert following.stderr.read() == b""
