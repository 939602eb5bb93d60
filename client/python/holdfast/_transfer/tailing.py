"""Reads a file from an offset on and follows it while it is being written, over any number of broken connections."""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Iterator

import grpc

from holdfast._channel import Channel
from holdfast._patience import Patience
from holdfast._rpc_errors import is_interruption, retry_after
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.streams import BrokenStreamError, Messages
from holdfast.errors import ConflictError, DataLossError, HoldfastError, UnavailableError
from holdfast.v1 import live_artifact_pb2 as live_pb
from holdfast.v1 import live_artifact_service_pb2 as pb
from holdfast.v1.live_artifact_service_pb2_grpc import LiveArtifactServiceStub

# Bytes before the end in which lines are looked for first; then eight times as many.
LINES_WINDOW = 64 << 10
# Pieces, of up to 1 MiB, that may wait to be taken.
AHEAD = 4


class Tail:
    """The bytes of a file from an offset on, as an iterator that goes on where it was when a connection breaks.

    Attributes:
        position: The offset after the last byte that was taken; None before it is known where the first is.
        end: What the server said of the file in the end: its state, size and, when it is closed, digest. None before.
    """

    def __init__(self, channel: Channel, uri: str, offset: int, *, follow: bool) -> None:
        self._channel, self._uri = channel, uri
        self._request = pb.TailArtifactRequest(uri=uri, offset=offset, follow=follow)
        self._stopping = Stopping()
        self._patience = self._fresh_patience()
        self._ended = False
        self._reached = 0  # the offset after the last byte that came
        self.position: int | None = None
        self.end: pb.TailEnd | None = None

    def chunks(self) -> Iterator[bytes]:
        """Pieces as they come, each verified; once.

        Raises:
            NotFoundError: It is not there.
            ConflictError: Another writer began the file anew.
            DataLossError: Bytes do not have their digest.
            UnavailableError: The server stays away.
        """
        for end, data in self._stopping.follow(self._follow, ahead=AHEAD):
            self.position = end
            yield data
        self.position = self._reached

    def _follow(self) -> Iterator[tuple[int, bytes]]:
        """The pieces, each after the offset behind it."""
        while not self._ended:
            failure: HoldfastError = UnavailableError("The server ended the stream early.")
            try:
                for data in self._read_on():
                    yield self._reached, data
            except grpc.RpcError as error:
                failure = self._interruption(error)
            # Outside of the handler, so that gRPC's error is no context of what may be raised here.
            if not self._ended and not self._patience.pause(self._stopping.event, told=retry_after(failure)):
                raise failure

    def _read_on(self) -> Iterator[bytes]:
        """What one call brings."""
        method = self._channel.stub(LiveArtifactServiceStub).TailArtifact
        with contextlib.ExitStack() as calls:

            def begin() -> tuple[Messages, pb.TailHeader]:
                return _begin(calls.enter_context(self._stopping.watch(method(self._request))))

            call, header = self._channel.run(begin, stopped=self._stopping.event)
            self._note(header)
            for message in call:
                self._patience = self._fresh_patience()
                part = message.WhichOneof("part")
                if part == "data":
                    yield self._take(message.data)
                elif part == "end":
                    # The call is read on to its own end, so that nothing of it is under way when the program ends.
                    self._check_end(message.end)

    def _fresh_patience(self) -> Patience:
        return Patience(self._channel.retry, self._channel.retry.window)

    def _interruption(self, error: grpc.RpcError) -> HoldfastError:
        """Our error for one after which the stream can go on; raises any other."""
        failure = self._channel.translate(error)
        if not is_interruption(failure):
            raise failure from None
        return failure

    def _note(self, header: pb.TailHeader) -> None:
        """Ask for this very file, from where it was left, when the stream breaks."""
        self._reached = self._request.offset = header.start_offset
        if header.live_id:
            self._request.live_id = header.live_id
        else:
            self._request.expected_digest = header.digest

    def _take(self, data: pb.TailData) -> bytes:
        if data.offset != self._reached or hashlib.sha256(data.data).digest() != data.digest:
            raise DataLossError(
                f"What came of {self._uri} at {self._reached} does not have its digest. Try again; if it stays so, the "
                "server's store is damaged.",
                reason="DATA_LOSS",
            )
        self._reached = self._request.offset = data.offset + len(data.data)
        return data.data

    def _check_end(self, end: pb.TailEnd) -> None:
        self.end = end
        if end.state == live_pb.LIVE_STATE_REPLACED:
            raise ConflictError(
                f"{self._uri} was begun anew by another writer, and its earlier bytes are gone. Read it again from the "
                "beginning.",
                reason="CONFLICT",
            )
        if end.size != self._reached:
            raise DataLossError(f"{self._reached} bytes came of {self._uri}, which has {end.size}.", reason="DATA_LOSS")
        self._ended = True


def _begin(messages: Messages) -> tuple[Messages, pb.TailHeader]:
    """Wait for the header, so that a server that is not there is noticed where it is retried."""
    first = next(messages, None)
    if first is None:
        raise BrokenStreamError
    return messages, first.header


def start_of_lines(channel: Channel, uri: str, lines: int) -> int:
    """The offset at which the last ``lines`` lines of a file begin, as it is now, in memory for their offsets only."""
    window = LINES_WINDOW
    while True:
        tail = Tail(channel, uri, -window, follow=False)
        # The beginnings of lines; that of what follows the last newline is the file's end as a rule.
        starts: deque[int] = deque(maxlen=lines + 1)
        first: int | None = None
        for chunk in tail.chunks():
            end = tail.position or 0
            first = end - len(chunk) if first is None else first
            starts.extend(end - len(chunk) + at for at in _line_starts(chunk))
        position = tail.position or 0
        while starts and starts[-1] == position:
            starts.pop()
        if len(starts) >= lines or not first:
            return 0 if len(starts) < lines else (starts[-lines] if lines else position)
        window *= 8


def _line_starts(chunk: bytes) -> Iterator[int]:
    at = chunk.find(b"\n")
    while at >= 0:
        yield at + 1
        at = chunk.find(b"\n", at + 1)
