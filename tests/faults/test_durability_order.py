"""What the kernel is asked to do, and in which order, before an upload is answered.

Killing a process cannot show this: what it wrote is in the kernel's cache whether it was synced or not.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc
import pytest
from tests.faults.workload import delete
from tests.server_process import ServerProcess, running_server

from holdfast._client import Client
from holdfast.v1.server_service_pb2 import GetServerInfoRequest
from holdfast.v1.server_service_pb2_grpc import ServerServiceStub

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace"),
]

CALLS = (
    "openat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat,"
    "sendmsg,sendto"
)


class TracedServer:
    """A server whose system calls are written down."""

    def __init__(self, server: ServerProcess, trace: Path) -> None:
        self.uri = f"holdfast://{server.address}"
        self._server, self._trace = server, trace
        self._skipped = 0

    def forget(self) -> None:
        """What happened until now is not looked at."""
        self._skipped = len(self._trace.read_text().splitlines())

    def stop(self) -> Trace:
        """End the server in order, and return what it did."""
        assert self._server.stop() == 0
        # The tracer is a process of its own, which ends after the server.
        deadline = time.monotonic() + 120
        while f"{self._server.process.pid} +++ exited" not in self._trace.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        return Trace(whole_calls(self._trace.read_text().splitlines()[self._skipped :]))


def whole_calls(lines: Iterable[str]) -> Iterator[str]:
    """Lines of strace; of a call that others interrupt, its beginning, and where it returned all of it."""
    begun: dict[str, str] = {}
    for line in lines:
        thread = line.partition(" ")[0]
        head, unfinished, _ = line.partition(" <unfinished ...>")
        resumed = re.match(r"\d+ +<\.\.\. \w+ resumed>(.*)", line)
        if unfinished:
            begun[thread] = head
        yield begun.pop(thread) + resumed[1] if resumed and thread in begun else line


class Trace:
    """Lines of strace."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = list(lines)

    def first(self, pattern: str, start: int = -1) -> int:
        """Number of the first line after ``start`` that the pattern is found in."""
        for number in range(start + 1, len(self.lines)):
            if re.search(pattern, self.lines[number]):
                return number
        raise AssertionError(f"no {pattern} after line {start} of:\n" + "\n".join(self.lines[start + 1 : start + 60]))

    def answer(self, content: bytes, start: int = -1) -> int:
        """Number of the first line after ``start`` that sends a message with this content; other frames of HTTP/2 have
        none of it.
        """
        escaped = "".join(f"\\x{byte:02x}" for byte in content)
        return self.first(r"(sendmsg|sendto)\(.*" + re.escape(escaped), start)

    def never(self, pattern: str, start: int, end: int) -> None:
        """Assert that no line between the two is like the pattern."""
        found = [line for line in self.lines[start:end] if re.search(pattern, line)]
        assert not found, found

    def assert_durable_in_order(self, kind: str, answer: bytes) -> None:
        """Bytes, then their name, then the row, then the answer.

        Args:
            kind: ``blocks`` or ``packs``.
            answer: What the answer has in it.
        """
        written = self.first(r"p?writev?2?(64)?\(\d+<.*/store/\.incoming/")
        synced = self.first(r"f(data)?sync\(\d+<.*/store/\.incoming/.*= 0", written)
        renamed = self.first(rf"rename(at2?)?\(.*\.incoming/.*/store/{kind}/.*= 0", synced)
        directory = self.first(rf"fsync\(\d+<[^>]*/store/{kind}/[0-9a-f]{{2}}>.*= 0", renamed)
        row = self.first(r"pwrite64\(\d+<.*holdfast\.db-wal>", directory)
        committed = self.first(r"f(data)?sync\(\d+<.*holdfast\.db-wal>.*= 0", row)
        assert self.answer(answer, written) > committed
        # The row is not written before its bytes are safe.
        self.never(r"pwrite64\(\d+<.*holdfast\.db-wal>", written, directory)


def test_a_call_that_was_interrupted_in_the_trace_is_put_together() -> None:
    lines = ["7 fsync(3</a> <unfinished ...>", "8 write(1) = 1", "7 <... fsync resumed>)            = 0"]
    assert list(whole_calls(lines)) == [*lines[:2], "7 fsync(3</a>)            = 0"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TracedServer]:
    trace = tmp_path / "trace"
    # -D: the tracer steps aside, so that the process started here is the server itself. -x: bytes in hexadecimal.
    strace = ["strace", "-D", "-f", "-y", "-x", "-s", "256", "-e", f"trace={CALLS}", "-o", trace]
    # It writes nothing by itself while it is looked at.
    arguments = [
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--data-dir",
        str(tmp_path / "data"),
        "--probe-interval",
        "86400",
    ]
    command = [*strace, sys.executable, "-m", "holdfast_server"]
    with running_server(*arguments, command=command) as server:
        with grpc.insecure_channel(server.address) as channel:
            # Is answered when database and store have been tried out.
            ServerServiceStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=120)
        yield TracedServer(server, trace)


def test_bytes_are_durable_before_rows_and_rows_before_the_answer(server: TracedServer, tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"\x5a\xa5" * (1 << 20))
    with Client(server.uri) as client:
        run_id = client.create_run("0").info.run_id
        server.forget()
        client.log_artifact(run_id, file)
    server.stop().assert_durable_in_order("blocks", answer=hashlib.sha256(file.read_bytes()).digest())


def test_a_pack_is_durable_before_its_rows(server: TracedServer, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(50):
        (folder / str(number)).write_bytes(b"%d" % number * 2_000)
    with Client(server.uri) as client:
        run_id = client.create_run("0").info.run_id
        server.forget()
        client.log_artifacts(run_id, folder)
    server.stop().assert_durable_in_order("packs", answer=run_id.encode())


def test_what_travels_within_a_commit_is_durable_before_its_rows(server: TracedServer) -> None:
    with Client(server.uri) as client:
        run_id = client.create_run("0").info.run_id
        server.forget()
        client.log_bytes(run_id, b"small", "note.txt")
    server.stop().assert_durable_in_order("blocks", answer=run_id.encode())


def test_a_new_directory_is_durable_before_anything_is_in_it(server: TracedServer) -> None:
    with Client(server.uri) as client:
        run_id = client.create_run("0").info.run_id
        server.forget()
        client.log_bytes(run_id, b"the first of its prefix", "note.txt")
    trace = server.stop()
    made = trace.first(r"mkdir(at)?\(.*/store/blocks/[0-9a-f]{2}\".*= 0")
    # The entry of the directory itself is in the one above it, and that one's in the store's.
    above = trace.first(r"fsync\(\d+<[^>]*/store/blocks>.*= 0", made)
    renamed = trace.first(r"rename(at2?)?\(.*\.incoming/.*/store/blocks/.*= 0", above)
    trace.first(r"fsync\(\d+<[^>]*/store/blocks/[0-9a-f]{2}>.*= 0", renamed)
    blocks_made = trace.first(r"mkdir(at)?\(.*/store/blocks\".*= 0")
    assert blocks_made < trace.first(r"fsync\(\d+<[^>]*/store>.*= 0", blocks_made) < made


def test_a_deletion_is_durable_before_its_answer(server: TracedServer) -> None:
    with Client(server.uri) as client:
        run_id = client.create_run("0").info.run_id
        client.log_bytes(run_id, b"small", "note.txt")
        server.forget()
        delete(client, run_id, "note.txt")
    trace = server.stop()
    row = trace.first(r"pwrite64\(\d+<.*holdfast\.db-wal>")
    committed = trace.first(r"f(data)?sync\(\d+<.*holdfast\.db-wal>.*= 0", row)
    assert trace.answer(run_id.encode()) > committed
