"""Sends blocks over one WriteBlocks stream and follows what the server answers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc

from holdfast._channel import Channel
from holdfast._patience import Patience
from holdfast._rpc_errors import is_interruption, retry_after
from holdfast._transfer.asking import find_missing
from holdfast._transfer.following import LOOK_SECONDS, FollowedCall
from holdfast._transfer.hashing import HashedBlock
from holdfast._transfer.progress import Progress
from holdfast._transfer.streams import BrokenStreamError, Messages
from holdfast.errors import DataLossError, UnavailableError
from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb

CHUNK = 1 << 20
# Blocks up to this size share messages.
SMALL = 64 << 10
# Bytes that may be sent and not yet answered; they are kept to be sent again when the connection breaks.
MAX_UNANSWERED = 32 << 20
# Bytes that may be under way before the server has said how many.
INITIAL_WINDOW = 1 << 20
# Times that a block is sent before a mismatch is an error.
ATTEMPTS = 4

_WRITE = "/holdfast.v1.ArtifactService/WriteBlocks"


class BlockSender:
    """Sends blocks and returns from ``finish`` when each is durable on the server.

    Blocks that were not answered when the connection broke are sent again on a new one, after asking which are missing.
    """

    def __init__(self, channel: Channel, progress: Progress) -> None:
        self._channel, self._progress = channel, progress
        self._write: Any = channel.grpc.stream_stream(_WRITE, None, pb.WriteBlocksResponse.FromString)
        self._unanswered: dict[bytes, HashedBlock] = {}
        self._attempts: dict[bytes, int] = {}
        self._patience = Patience(channel.retry, channel.retry.window)
        self._size = 0
        self._stream: _Stream | None = None

    def send(self, blocks: Sequence[HashedBlock]) -> None:
        """Send blocks; waits while too much is unanswered.

        Raises:
            HoldfastError: A block was refused, or the server stayed away.
        """
        fresh = [block for block in blocks if block.digest not in self._unanswered]
        for block in fresh:
            self._unanswered[block.digest] = block
            self._size += len(block.data)
        self._transmit(fresh)
        while self._size > MAX_UNANSWERED:
            self._settle()

    def finish(self) -> None:
        """Wait until all blocks are answered and end the stream."""
        while self._unanswered:
            self._settle()
        self.close()

    def close(self) -> None:
        """End the stream at once; blocks that are not answered may have to be sent again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _transmit(self, blocks: Sequence[HashedBlock]) -> None:
        if self._stream is None:
            self._stream = _Stream(self._channel, self._write, self._progress)
            self._stream.start()
        self._stream.put(blocks)

    def _settle(self) -> None:
        """Take one answer of the stream; when there is no stream any more, begin another."""
        assert self._stream is not None
        try:
            response = self._stream.next_response()
        except grpc.RpcError as error:
            failure = self._channel.translate(error)
        else:
            self._take_all(response)
            return
        # Outside of the handler, so that gRPC's error, which holds on to its call, is no context of what is raised.
        self._stream.close()
        self._stream = None
        if not is_interruption(failure) or not self._patience.pause(told=retry_after(failure)):
            raise failure
        self._resume()

    def _take_all(self, response: pb.WriteBlocksResponse) -> None:
        again = [block for result in response.results if (block := self._take(result)) is not None]
        if again:
            self._transmit(again)

    def _take(self, result: pb.BlockResult) -> HashedBlock | None:
        """Note an answer; returns the block if it is to be sent again."""
        block = self._unanswered.get(result.digest)
        if block is None:
            return None
        if result.status == pb.BLOCK_STATUS_STORED:
            self._done(block)
            return None
        if result.status == pb.BLOCK_STATUS_UNAVAILABLE:
            # A store that is full or away: the same patience as with a server that is away.
            if not self._patience.pause():
                raise UnavailableError(result.message, reason="UNAVAILABLE")
            return block
        attempts = self._attempts[result.digest] = self._attempts.get(result.digest, 0) + 1
        if result.status != pb.BLOCK_STATUS_DIGEST_MISMATCH or attempts >= ATTEMPTS:
            what = result.message or pb.BlockStatus.Name(result.status)
            raise DataLossError(f"Block {block.digest.hex()} was refused {attempts} times on its way: {what}")
        return block

    def _resume(self) -> None:
        """Ask which of the unanswered blocks are missing, and send those on a new stream."""
        missing = set(find_missing(self._channel, list(self._unanswered)))
        for block in [block for digest, block in self._unanswered.items() if digest not in missing]:
            self._done(block)
        self._transmit(list(self._unanswered.values()))

    def _done(self, block: HashedBlock) -> None:
        del self._unanswered[block.digest]
        self._size -= len(block.data)
        self._progress.advance(len(block.data))
        self._patience = Patience(self._channel.retry, self._channel.retry.window)


class _Stream:
    """One WriteBlocks call: gRPC takes messages from a queue in a thread of its own.

    What is under way stays within the window that the server allows, which shrinks while many clients send.
    """

    def __init__(self, channel: Channel, write: Any, progress: Progress) -> None:
        self._channel, self._progress = channel, progress
        self._queue: queue.SimpleQueue[Sequence[HashedBlock] | None] = queue.SimpleQueue()
        self._call = FollowedCall[pb.WriteBlocksResponse](lambda: write(self._messages()), self._answers)
        self._changed = threading.Condition()
        self._sent = self._taken = 0
        self._window = INITIAL_WINDOW
        self._closed = False

    def start(self) -> None:
        self._call.start()

    def put(self, blocks: Sequence[HashedBlock]) -> None:
        self._queue.put(blocks)

    def next_response(self) -> pb.WriteBlocksResponse:
        try:
            return self._call.next()
        except StopIteration:
            # The server ends the stream only after us, or when it stops.
            raise BrokenStreamError from None

    def close(self) -> None:
        self._closed = True  # seen by who waits for room with its next look
        self._queue.put(None)
        self._call.close()

    def _messages(self) -> Iterator[bytes]:
        """Encoded when gRPC asks for them, so that encoded copies do not pile up."""
        while (blocks := self._queue.get()) is not None:
            for message in encode_blocks(blocks):
                if not self._wait_for_room(len(message)):
                    return
                self._progress.send(len(message))
                yield message

    def _wait_for_room(self, size: int) -> bool:
        """Wait until ``size`` more bytes may be under way; False when the stream is to end."""

        def has_room() -> bool:
            under_way = self._sent - self._taken
            return self._closed or not under_way or under_way + size <= self._window

        with self._changed:
            # No lock in ``close``, which Ctrl-C may interrupt: so look at times.
            while not self._changed.wait_for(has_room, LOOK_SECONDS):
                pass
            self._sent += size
            return not self._closed

    def _answers(self, call: Any) -> Iterator[pb.WriteBlocksResponse]:
        for response in Messages(call):
            self._channel.note_answer()
            with self._changed:
                self._taken, self._window = response.taken_bytes, response.window_bytes
                self._changed.notify()
            if response.results:
                yield response


def encode_blocks(blocks: Iterable[HashedBlock]) -> Iterator[bytes]:
    """Messages for blocks: small ones together, large ones in chunks."""
    small: list[artifact_pb.Block] = []
    size = 0
    for block in blocks:
        if len(block.data) > SMALL:
            yield from _chunks(block)
            continue
        if size + len(block.data) > CHUNK:
            yield pb.WriteBlocksRequest(blocks=small).SerializeToString()
            small, size = [], 0
        small.append(artifact_pb.Block(digest=block.digest, data=bytes(block.data)))
        size += len(block.data) + 40
    if small:
        yield pb.WriteBlocksRequest(blocks=small).SerializeToString()


def _chunks(block: HashedBlock) -> Iterator[bytes]:
    view, digest = memoryview(block.data), block.digest
    for start in range(0, len(view), CHUNK):
        yield encode_chunk(Chunk(digest, len(view) if digest else 0, view[start : start + CHUNK]))
        digest = b""
