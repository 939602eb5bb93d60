"""Streams of unknown length: bounded memory, reading beside sending, and nothing visible of what failed."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from tests.server_process import clean_environment

from holdfast.errors import InvalidArgumentError

MIB = 1 << 20
SIZE = 320 * MIB

# The client runs in a process of its own, so that its peak memory is that of nothing else.
PRODUCER = """
import random, re, sys
from pathlib import Path
import holdfast
uri, run_id, size = sys.argv[1], sys.argv[2], int(sys.argv[3])

def resident(which):
    return int(re.search(which + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

class Produced:
    def __init__(self):
        self.left, self.source = size, random.Random(7)
    def read(self, count):
        part = self.source.randbytes(min(count, self.left, 1 << 20))
        self.left -= len(part)
        return part

with holdfast.Client(uri) as client:
    client.log_bytes(run_id, b"warm", "warm")
    before = resident("VmRSS")
    client.log_stream(run_id, Produced(), "stream")
    print(resident("VmHWM") - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_stream(server, client, run_id):
    done = subprocess.run(
        [sys.executable, "-c", PRODUCER, server.uri, run_id, str(SIZE)],
        env=clean_environment(), stdout=subprocess.PIPE, text=True, check=True, timeout=170,
    )  # fmt: skip
    (entry,) = [entry for entry in client.list_artifacts(run_id) if entry.path == "stream"]
    assert entry.file_size == SIZE
    assert int(done.stdout) < 128 * MIB, f"{int(done.stdout) / MIB:.0f} MiB"


class ShortReads(io.RawIOBase):
    """Gives a few bytes at a time, as a socket or pipe does."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._data.readinto(memoryview(buffer)[:4321])


def test_short_reads_give_the_file_that_an_upload_gives(client, run_id):
    data = os.urandom(9 * MIB)
    client.log_stream(run_id, ShortReads(data), "short")
    client.log_bytes(run_id, data, "whole")
    assert len({entry.digest for entry in client.list_artifacts(run_id)}) == 1


def test_what_is_read_first_is_sent_before_the_rest_is_there(server, client, run_id):
    """A producer that only goes on when the server has stored what it gave so far."""
    store = server.app.config.data_dir / "store" / "blocks"
    before = sum(1 for _ in store.glob("*/*"))
    stored = threading.Event()
    parts = [os.urandom(8 * MIB) for _ in range(4)]

    def produce(target: io.FileIO) -> None:
        with target:
            for part in parts:
                target.write(part)
            while sum(1 for _ in store.glob("*/*")) == before:
                if stored.wait(0.01):
                    return
            target.write(b"the end")

    reading, writing = os.pipe()
    producer = threading.Thread(target=produce, args=(os.fdopen(writing, "wb"),))
    producer.start()
    try:
        with os.fdopen(reading, "rb") as source:
            client.log_stream(run_id, source, "stream")
    finally:
        stored.set()
        producer.join()
    data = client.artifacts.read_bytes(f"runs:/{run_id}/stream")
    assert hashlib.sha256(data).digest() == hashlib.sha256(b"".join(parts) + b"the end").digest()


def test_a_producer_that_fails_leaves_nothing_visible(client, run_id):
    class Failing(ShortReads):
        def readinto(self, buffer) -> int:
            count = super().readinto(buffer)
            if not count:
                raise OSError("the disk is gone")
            return count

    with pytest.raises(OSError, match="the disk is gone"):
        client.log_stream(run_id, Failing(os.urandom(20 * MIB)), "stream")
    assert client.list_artifacts(run_id) == []


def test_a_stream_that_does_not_block_is_refused_and_nothing_visible(client, run_id):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb", buffering=0) as source, os.fdopen(writing, "wb", buffering=0) as target:
        target.write(b"some")
        with pytest.raises(InvalidArgumentError, match="blocking"):
            client.log_stream(run_id, source, "stream")
    assert client.list_artifacts(run_id) == []


def test_a_tar_is_logged_while_it_is_made(client, run_id, tmp_path):
    folder = tmp_path / "dataset"
    folder.mkdir()
    contents = {f"{number}.bin": os.urandom(number * 1000) for number in range(50)}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    with subprocess.Popen(["tar", "-C", folder, "-cf", "-", "."], stdout=subprocess.PIPE) as tar:
        client.log_stream(run_id, tar.stdout, "dataset.tar")
    assert tar.returncode == 0
    with tarfile.open(Path(client.download_artifacts(run_id, "dataset.tar", tmp_path / "back"))) as back:
        found = {re.sub(r"^\./", "", m.name): back.extractfile(m).read() for m in back.getmembers() if m.isfile()}
    assert found == contents
