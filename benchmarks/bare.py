"""The practical limit: a gRPC stream in Python that hashes and writes, and does nothing else.

Everything about it is fixed, so that it cannot be made slow: an asyncio server, raw bytes (no protobuf), messages of
1 MiB, SHA-256 at both ends, an fsync every 8 MiB of an upload. Small files share messages and one pack. There is no
database, no deduplication, no resuming and no name.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import os
import signal
import struct
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import grpc
import grpc.aio

MIB = 1 << 20
MESSAGE = MIB
SYNC_EVERY = 8 * MIB
# Messages of an upload that wait for the disk while further ones arrive.
OUTSTANDING = 4
# A small file in a message: length of its name, digest, size; then name and content.
RECORD = struct.Struct("<H32sI")
OPTIONS = [
    ("grpc.max_receive_message_length", 4 * MIB),
    ("grpc.max_send_message_length", 4 * MIB),
    ("grpc.enable_http_proxy", 0),
]


class Sink:
    """A file that is hashed while it is written and synced every 8 MiB."""

    def __init__(self, path: Path, *, records: bool) -> None:
        self._file = path.open("wb", buffering=0)
        self._digest = hashlib.sha256()
        self._records, self._unsynced = records, 0

    def write(self, data: bytes) -> None:
        if self._records:
            for _, digest, content in unpack(data):
                assert hashlib.sha256(content).digest() == digest
            self._file.write(len(data).to_bytes(4, "little"))
        else:
            self._digest.update(data)
        self._file.write(data)
        self._unsynced += len(data)
        if self._unsynced >= SYNC_EVERY:
            os.fsync(self._file.fileno())
            self._unsynced = 0

    def finish(self) -> bytes:
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.digest()


class BareServer:
    """Keeps each upload as one file below a directory; answers with its number and digest."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._numbers = directory, itertools.count()
        self._pool = ThreadPoolExecutor(2)

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "bare.Bare",
            {
                "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
                "Upload": grpc.stream_unary_rpc_method_handler(functools.partial(self.upload, records=False)),
                "UploadFiles": grpc.stream_unary_rpc_method_handler(functools.partial(self.upload, records=True)),
                "Download": grpc.unary_stream_rpc_method_handler(functools.partial(self.download, records=False)),
                "DownloadFiles": grpc.unary_stream_rpc_method_handler(functools.partial(self.download, records=True)),
            },
        )

    async def echo(self, request: bytes, context: Any) -> bytes:
        return request

    async def upload(self, requests: AsyncIterator[bytes], context: Any, *, records: bool) -> bytes:
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        sink = Sink(self._directory / str(number), records=records)
        # One thread for each stream keeps its order.
        with ThreadPoolExecutor(1) as thread:
            writes = deque[asyncio.Future[None]]()
            async for data in requests:
                if len(writes) == OUTSTANDING:
                    await writes.popleft()
                writes.append(loop.run_in_executor(thread, sink.write, data))
            for write in writes:
                await write
            digest = await loop.run_in_executor(thread, sink.finish)
        return digest + str(number).encode()

    async def download(self, request: bytes, context: Any, *, records: bool) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        with (self._directory / request.decode()).open("rb", buffering=0) as file:
            read = functools.partial(loop.run_in_executor, self._pool, read_hashed, file, hashlib.sha256(), records)
            data = await read()
            while data:
                following = read()
                yield data
                data = await following


def read_hashed(file: BinaryIO, digest: Any, records: bool) -> bytes:
    """The next message of a stored file, hashed as a server has to that verifies what it reads."""
    data = file.read(int.from_bytes(file.read(4), "little") if records else MESSAGE)
    if records:
        for _, expected, content in unpack(data):
            assert hashlib.sha256(content).digest() == expected
    else:
        digest.update(data)
    return data


class BareClient:
    """The other end. What an upload returns names it for a download."""

    def __init__(self, address: str) -> None:
        self._channel: Any = grpc.insecure_channel(address, options=OPTIONS)
        self.echo: Any = self._channel.unary_unary("/bare.Bare/Echo")

    def upload(self, path: Path) -> str:
        digest = hashlib.sha256()
        answer: bytes = self._channel.stream_unary("/bare.Bare/Upload")(_read(path, digest))
        assert answer[:32] == digest.digest()
        return answer[32:].decode()

    def download(self, name: str, target: Path) -> None:
        digest = hashlib.sha256()
        with target.open("wb", buffering=0) as file:
            for data in self._channel.unary_stream("/bare.Bare/Download")(name.encode()):
                digest.update(data)
                file.write(data)

    def upload_files(self, directory: Path) -> str:
        answer: bytes = self._channel.stream_unary("/bare.Bare/UploadFiles")(_pack(directory))
        return answer[32:].decode()

    def download_files(self, name: str, target: Path) -> None:
        for data in self._channel.unary_stream("/bare.Bare/DownloadFiles")(name.encode()):
            for path, digest, content in unpack(data):
                assert hashlib.sha256(content).digest() == digest
                _write(f"{target}/{path}", content)


def unpack(message: bytes) -> Iterator[tuple[str, bytes, memoryview]]:
    """Path, digest and content of each file of a message."""
    view, position = memoryview(message), 0
    while position < len(message):
        length, digest, size = RECORD.unpack_from(message, position)
        position += RECORD.size
        name = message[position : position + length].decode()
        position += length
        yield name, digest, view[position : position + size]
        position += size


def _read(path: Path, digest: Any) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while data := file.read(MESSAGE):
            digest.update(data)
            yield data


def _pack(directory: Path) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for folder, _, names in os.walk(directory):
        prefix = os.path.relpath(folder, directory)
        for name in names:
            with open(f"{folder}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - pathlib costs as much as the read
                content = file.read()
            path = f"{prefix}/{name}".encode()
            parts += [RECORD.pack(len(path), hashlib.sha256(content).digest(), len(content)), path, content]
            size += RECORD.size + len(path) + len(content)
            if size >= MESSAGE:
                yield b"".join(parts)
                parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _write(path: str, content: memoryview) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(path, flags, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib costs as much as the write
        descriptor = os.open(path, flags, 0o644)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


async def serve(directory: Path) -> None:
    """Serve until SIGTERM; the first line of output is the address."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((BareServer(directory).handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print(f"serving on 127.0.0.1:{port}", flush=True)
    await stopped.wait()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
