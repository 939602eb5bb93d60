"""What the forty lines of docs/polyglot.md leave to the reader's language, in Python over the generated stubs alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from holdfast.v1 import artifact_pb2, artifact_service_pb2
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

# Of a message of entries; what each of them takes for its length is beside it.
MAX_ENTRIES = 1_000_000
TRIES = 8


class Unavailable(Exception):  # noqa: N818 - as the page calls it
    """The same may succeed later."""


class Uploader:
    """Runs the page's lines against a server; can break a stream after a block, and lose the answer to a commit."""

    def __init__(self, code: str, address: str) -> None:
        self.break_after_a_block = self.lose_an_answer = False
        self.tries = self.sent = self.sent_by_last_stream = 0
        self._channel = grpc.insecure_channel(address)
        self._stub = ArtifactServiceStub(self._channel)
        self._names: dict[str, Any] = {
            **vars(artifact_pb2),
            **vars(artifact_service_pb2),
            "Unavailable": Unavailable,
            "WriteBlocks": self._write_blocks,
            "FindMissingBlocks": self._translated(self._stub.FindMissingBlocks),
            "CommitFiles": self._commit_files,
            "back_off": self._back_off,
            "outcome": lambda answer: answer.WhichOneof("outcome"),
            "random_id": lambda: uuid.uuid4().hex,
            "sha256": lambda data: hashlib.sha256(data).digest(),
            "size_of": lambda file: file.stat().st_size,
            "is_executable": lambda file: os.access(file, os.X_OK),
            "read_all": Path.read_bytes,
            "read": _read,
            "batches": _batches,
            "length": lambda message: message.ByteSize(),
        }
        exec(compile(code, "docs/polyglot.md", "exec"), self._names)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def upload(self, run_id: str, directory: Path) -> artifact_pb2.Tree:
        """Upload the files of a directory to the root of a run's tree."""
        files = [(path.name, path) for path in sorted(directory.iterdir())]
        tree: artifact_pb2.Tree = self._names["upload"](artifact_pb2.TreeOwner(run_id=run_id), files)
        return tree

    def _write_blocks(self) -> _Stream:
        self.tries += 1
        self.sent_by_last_stream = 0
        broken, self.break_after_a_block = self.break_after_a_block, False
        return _Stream(self, self._stub, break_after_a_block=broken)

    def count(self, sent: int) -> None:
        """A message of so many bytes goes out."""
        self.sent += sent
        self.sent_by_last_stream += sent

    def _commit_files(self, messages: Iterator[Message]) -> Message:
        answer: Message = self._translated(self._stub.CommitFiles)(messages)
        if self.lose_an_answer:
            self.lose_an_answer = False
            raise Unavailable("the answer was lost")
        return answer

    def _back_off(self, error: Unavailable) -> None:
        if self.tries == TRIES:
            raise error
        time.sleep(0.1)

    def _translated(self, method: Callable[..., Any]) -> Callable[[Any], Any]:
        def call(request: Any) -> Any:
            with _translating():
                return method(request, timeout=60)

        return call


class _Stream:
    """One WriteBlocks call, which sends and receives one message at a time."""

    def __init__(self, uploader: Uploader, stub: ArtifactServiceStub, *, break_after_a_block: bool) -> None:
        self.sent, self.taken, self.window = 0, 0, 1 << 20
        self.unanswered: set[bytes] = set()
        self._uploader, self._breaks, self._broken = uploader, break_after_a_block, False
        self._requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._call = stub.WriteBlocks(iter(self._requests.get, None), timeout=120)

    def send(self, message: Message) -> None:
        self.sent += message.ByteSize()
        self._uploader.count(message.ByteSize())
        self._requests.put(message)

    def receive(self) -> Any:
        if self._broken:
            self._requests.put(None)
            self._call.cancel()
            raise Unavailable("the stream broke")
        with _translating():
            answer = next(self._call)
        self._broken = self._breaks and bool(answer.results)
        return answer

    def half_close(self) -> None:
        self._requests.put(None)


@contextlib.contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except StopIteration:
        raise Unavailable("the stream ended") from None
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        raise Unavailable(error.details()) from error


def _read(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while data := stream.read(size):
            yield data


def _batches(items: Iterable[Any], most: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for item in items:
        added = item.ByteSize() if isinstance(item, Message) else 0
        if batch and (len(batch) == most or size + added > MAX_ENTRIES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += added
    if batch:
        yield batch
