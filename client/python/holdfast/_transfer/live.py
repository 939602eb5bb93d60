"""Writes an artifact that others can follow meanwhile: what is written is sent in the background and soon durable."""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from holdfast import _open_files
from holdfast._channel import Channel
from holdfast._open_modes import OpenMode
from holdfast._patience import time_left
from holdfast.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    HoldfastError,
    InternalError,
    ResourceExhaustedError,
    UnavailableError,
)
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import live_artifact_pb2 as live_pb
from holdfast.v1 import live_artifact_service_pb2 as pb
from holdfast.v1.live_artifact_service_pb2_grpc import LiveArtifactServiceStub

# Bytes that are sent without waiting for more, that one message has at most, and that are pending before writing waits.
SEND_BYTES = 256 << 10
MAX_APPEND = 1 << 20
MAX_PENDING = 4 << 20
# A writer with nothing to say tells the server so often that it lives, which otherwise closes the file after a day.
RENEW_SECONDS = 3600.0
# Seconds for the server to answer an append or the closing; without them, one that hangs would hold up a flush for the
# two minutes that calls have otherwise. A line that needs longer for MAX_APPEND gets there by smaller parts.
ANSWER_SECONDS = 30.0
MIN_APPEND = 64 << 10
# Between attempts while the server stays away, beyond those that each call makes by itself.
AWAY_SECONDS = 1.0

MODES = {"w": pb.OPEN_MODE_CREATE, "a": pb.OPEN_MODE_APPEND, "x": pb.OPEN_MODE_EXCLUSIVE}


# Errors after which the same append may succeed later. All others are final.
PASSING = (UnavailableError, InternalError, ResourceExhaustedError)


def open_live(channel: Channel, owner: artifact_pb.TreeOwner, path: str, how: OpenMode) -> LiveWriter:
    """Make this process the writer of ``path``."""
    request = pb.OpenLiveArtifactRequest(owner=owner, path=path, mode=MODES[how.kind], request_id=secrets.token_hex(16))
    opened = channel.call(channel.stub(LiveArtifactServiceStub).OpenLiveArtifact, request)
    return LiveWriter(channel, opened, how)


class LiveWriter(io.BufferedIOBase):
    """A binary file for writing at the end.

    ``write`` takes all it is given, and waits only while 4 MiB are not acknowledged. A thread sends what there is at
    256 KiB, or when the oldest of it has waited for the flush interval; ``flush`` returns when all of it is durable. A
    server that is away is tried again without end, while ``write`` and ``flush`` raise ``UnavailableError`` after the
    client's patience and lose nothing by that; any other error is final, and raised by each call from then on.

    Attributes:
        name: The artifact's path.
        mode: Such as ``"wb"``.
        run_id: Whose it is; empty for a logged model's.
        channel: How the server is reached.
        sending: Held while a message is on its way.
    """

    def __init__(self, channel: Channel, opened: pb.OpenLiveArtifactResponse, how: OpenMode) -> None:
        live = opened.live_artifact
        self.name, self.mode, self.run_id, self.channel = live.path, how.kind + "b", live.owner.run_id, channel
        self.sending = threading.Lock()
        self._live_id, self._token, self._interval = live.live_id, opened.writer, how.flush_interval
        # The file is what was acknowledged, then what is pending.
        self._acknowledged, self._pending = live.size, bytearray()
        self._part_size = MAX_APPEND
        self._oldest: float | None = None  # since when something is pending
        self._wanted = 0  # up to where somebody waits
        self._changed = threading.Condition()
        self._failure: Exception | None = None
        self._outage: HoldfastError | None = None  # the last attempt that found no server
        self._ending = self._foreign = False
        self._thread = threading.Thread(target=self._send, name=f"holdfast-live-{live.path}", daemon=True)
        _open_files.add(self)
        self._thread.start()

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes that the file has, acknowledged or not."""
        return self._acknowledged + len(self._pending)

    def write(self, data: Any, /) -> int:
        """Take all of ``data``, which is bytes or a buffer of them, and return its length.

        Raises:
            UnavailableError: Too much is not acknowledged and the server stays away; nothing was taken, unless
                ``data`` has more than 4 MiB.
            FailedPreconditionError: Another writer has taken over, the run is deleted, or a forked process writes.
        """
        self._refuse_if_unusable()
        view = memoryview(data).cast("B")
        with self._changed:
            for start in range(0, len(view), MAX_PENDING):
                part = view[start : start + MAX_PENDING]
                self._wait(partial(self._has_room, len(part)))
                self._pending += part
                if self._oldest is None or len(self._pending) >= SEND_BYTES:
                    self._oldest = self._oldest or time.monotonic()
                    self._changed.notify_all()
        return len(view)

    def flush(self) -> None:
        """Return when all that was written is durable and can be read by others.

        Raises:
            UnavailableError: The server stays away, or holds the connection and does not answer: after half a minute,
                at most a minute. What was written is kept and sent when it is back; flush again to wait for that.
            FailedPreconditionError: As ``write`` does.
        """
        if self._foreign or self._ending:
            return
        self._refuse_if_unusable()
        with self._changed:
            end = self._wanted = self.tell()
            self._changed.notify_all()
            self._wait(lambda: self._acknowledged >= end)

    def close(self) -> None:
        """Make what was written a file of the run, visible at once. Closing again does nothing.

        Raises:
            UnavailableError: The server stays away or does not answer, as for ``flush``, and once more as long for the
                closing itself. The file stays open and goes on sending; close it again to wait for that. If the
                program ends before, what was acknowledged becomes a file after a day.
            FailedPreconditionError: As ``write`` does; or a directory stands at the path by now.
        """
        if self.closed:
            return
        try:
            if not self._foreign:
                self.flush()
                self._close()
        except UnavailableError:
            raise  # with what is pending it would be lost
        except BaseException:
            self._end()
            raise
        self._end()

    def disown(self) -> None:
        """The file is another process's, which this one was forked from: here it cannot be written."""
        self._foreign = True
        self._changed = threading.Condition()  # a thread of the other process may have held it
        self._pending = bytearray()

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        _open_files.remove(self)
        super().close()

    def _close(self) -> None:
        method = self.channel.stub(LiveArtifactServiceStub).CloseLiveArtifact
        request = pb.CloseLiveArtifactRequest(live_id=self._live_id, writer=self._token, size=self._acknowledged)
        try:
            self.channel.call(method, request, timeout=ANSWER_SECONDS)
        except DeadlineExceededError as error:
            raise self._unanswered("Close it again when the server goes on; after a day it becomes a file.") from error

    def _refuse_if_unusable(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        if self._foreign:
            raise FailedPreconditionError(
                f"{self.name} was opened by the process that this one was forked from, and has one writer. Open "
                "another artifact here."
            )

    def _has_room(self, size: int) -> bool:
        return len(self._pending) + size <= MAX_PENDING

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait until ``done()``; raises what goes wrong from now on, and what is final."""
        before = self._outage
        while not done():
            if self._failure is not None:
                raise self._failure
            if self._outage is not None and self._outage is not before:
                raise self._outage
            left = time_left()
            if not left:
                raise UnavailableError(
                    f"Not all that was written to {self.name} is durable at {self.channel.target.uri} in the time that "
                    "there was. It is kept and sent; flush again to wait for that."
                )
            self._changed.wait(min(left, threading.TIMEOUT_MAX))
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        """Send what is due until the file is closed; the only code that talks to the server while it is open."""
        while (part := self._next()) is not None:
            try:
                with self.sending:
                    self._append(self._acknowledged, part)
            except DeadlineExceededError:
                self._part_size = max(self._part_size // 4, MIN_APPEND)
                self._note_outage(self._unanswered("What was written is kept and sent when the server goes on."))
            except PASSING as error:
                self._note_outage(error)
            except Exception as error:  # noqa: BLE001 - whoever waits for this thread must learn of its end
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return
            else:
                self._part_size = MAX_APPEND
                self._acknowledge(len(part))

    def _note_outage(self, error: HoldfastError) -> None:
        """Tell those who wait, and give the server some time."""
        with self._changed:
            self._outage = error
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ending, AWAY_SECONDS)

    def _unanswered(self, outlook: str) -> UnavailableError:
        return UnavailableError(
            f"The server at {self.channel.target.uri} holds the connection and does not answer about {self.name}. "
            f"{outlook}"
        )

    def _next(self) -> bytes | None:
        """Wait for what is due and return it, which is nothing to show a sign of life; None at the end."""
        renew = time.monotonic() + RENEW_SECONDS
        with self._changed:
            while not self._ending:
                now = time.monotonic()
                due = renew if self._oldest is None else self._oldest + self._interval
                if now >= due or len(self._pending) >= SEND_BYTES or self._wanted > self._acknowledged:
                    return bytes(self._pending[: self._part_size])
                self._changed.wait(min(due, renew) - now)
        return None

    def _append(self, offset: int, part: bytes) -> None:
        method = self.channel.stub(LiveArtifactServiceStub).AppendLiveArtifact
        request = pb.AppendLiveArtifactRequest(
            live_id=self._live_id, writer=self._token, offset=offset, data=part, digest=hashlib.sha256(part).digest()
        )
        self.channel.call(method, request, timeout=ANSWER_SECONDS)

    def _acknowledge(self, size: int) -> None:
        with self._changed:
            del self._pending[:size]
            self._acknowledged += size
            self._oldest = time.monotonic() if self._pending else None
            self._changed.notify_all()


class LiveText(io.TextIOWrapper):
    """A text file over a ``LiveWriter``; it keeps no text to itself, so that closing need not flush twice."""

    def __init__(self, writer: LiveWriter, encoding: str) -> None:
        super().__init__(writer, encoding=encoding, newline="", write_through=True)

    def close(self) -> None:
        """Close the writer."""
        self.buffer.close()


def list_live(channel: Channel, owner: artifact_pb.TreeOwner) -> list[live_pb.LiveArtifact]:
    """What is being written in a tree."""
    method = channel.stub(LiveArtifactServiceStub).ListLiveArtifacts
    return list(channel.call(method, pb.ListLiveArtifactsRequest(owner=owner)).live_artifacts)
