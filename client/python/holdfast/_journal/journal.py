"""What a process has logged for one server and the server does not have yet."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from zlib import crc32

from holdfast._config import Target
from holdfast._journal.folder import Folder, Owner
from holdfast._journal.limits import check_fits
from holdfast._journal.records import HEAD, POINT, POINT_BODY, POINT_SIZE, call_record, series_record, stream_record
from holdfast._journal.segment import SIZE, Segment

logger = logging.getLogger(__name__)

# What a stream and a series take at most to describe: names have at most 500 characters, of 12 bytes in JSON.
_ROOM_TO_DESCRIBE = 16 << 10
# Segments that are kept in memory where no journal can be written: room for 1,800,000 points.
MAX_IN_MEMORY = 16
# Seconds that a call waits for room there, if the server takes what waits.
ROOM_SECONDS = 30.0

SeriesName = tuple[str, str, "str | None", "str | None", "str | None"]


class Stream:
    """Points of one run, and of one logged model or none, in the order in which they are sent.

    Whatever the server may refuse, the run or the model, concerns all of a stream, so that positions never have gaps.

    Attributes:
        run_id: The run.
        model_id: The logged model; empty for none.
        writer_id: Names the stream at the server.
        position: Of the next point.
        segment: Where it is described.
        number: Its name there.
    """

    __slots__ = ("model_id", "number", "position", "run_id", "segment", "writer_id")

    def __init__(self, run_id: str, model_id: str, writer_id: str, number: int) -> None:
        self.run_id, self.model_id, self.writer_id, self.number = run_id, model_id, writer_id, number
        self.position = 0
        self.segment: Segment | None = None


class Series:
    """What points of a key have in common.

    Attributes:
        key: The metric.
        dataset: Name and digest of the dataset; empty for none.
        stream: Where its points belong.
        segment: Where it is described.
        number: Its name there.
    """

    __slots__ = ("dataset", "key", "number", "segment", "stream")

    def __init__(self, key: str, dataset: tuple[str, str], stream: Stream, number: int) -> None:
        self.key, self.dataset, self.stream, self.number = key, dataset, stream, number
        self.segment: Segment | None = None


class Journal:
    """Takes what is logged in microseconds and keeps it where the end of the process does not matter.

    Only what is appended is here; ``Sender`` takes it from ``segments``.

    Attributes:
        target: The server.
        id: Names the journal; a forked process begins another one.
        family: The journal of the process that this one descends from by forks.
        known_runs: Runs that are there for certain, whose first point need not ask.
        series: Those that points were logged of, by run, key, model and dataset.
        segments: What is not delivered, oldest first; the last is written.
        appended: How many points and calls were taken.
        lost: How many were not, for want of room; they are told of.
        idle: Whether ``on_work`` is to be called for the next record.
        on_work: Tells that something waits to be sent.
        wait_for_room: Waits until a segment was delivered; False when that cannot be expected.
    """

    def __init__(self, target: Target, *, on_work: Callable[[], None], wait_for_room: Callable[[float], bool]) -> None:
        self.target, self.on_work, self.wait_for_room = target, on_work, wait_for_room
        self.known_runs: set[str] = set()
        self.family = ""
        self._begin()

    def _begin(self) -> None:
        self.id = secrets.token_hex(16)
        self.family = self.family or self.id
        self.series: dict[SeriesName, Series] = {}
        self.segments: deque[Segment] = deque()
        self.appended = self.lost = 0
        self.idle = True
        self._streams: dict[tuple[str, str], Stream] = {}
        self._numbers = self._files = 0
        self._segment: Segment | None = None
        self._folder: Folder | None = None
        self._in_memory = False
        # A signal's handler that logs may have interrupted just that, so the lock lets the same thread in again.
        self._lock = threading.RLock()
        self._appending = False
        self._interrupting: deque[Callable[[], object]] = deque()

    @property
    def folder(self) -> Folder | None:
        """Where it is on the disk; None when nothing was written."""
        return self._folder

    def known_series(self, name: SeriesName) -> Series:
        """The series of a run, key, model and dataset, which are valid."""
        run_id, key, model_id, dataset_name, dataset_digest = name
        with self._lock:
            stream = self._stream(run_id, model_id or "")
            series = self.series.get(name)
            if series is None:
                self._numbers += 1
                series = Series(key, (dataset_name or "", dataset_digest or ""), stream, self._numbers)
                self.series[name] = series
            return series

    def knows(self, run_id: str, model_id: str | None) -> bool:
        """Whether points of this run and model can be taken without asking whether both are there."""
        return (run_id in self.known_runs and not model_id) or (run_id, model_id or "") in self._streams

    def note_known(self, run_id: str, model_id: str | None) -> None:
        """Take points of a run and model from now on without asking."""
        with self._lock:
            self.known_runs.add(run_id)
            self._stream(run_id, model_id or "")

    def take_lost(self) -> int:
        """How many points and calls were lost since this was asked."""
        lost, self.lost = self.lost, 0
        return lost

    def forget(self, run_id: str) -> None:
        """Ask again before the next point of a run: it was ended or deleted."""
        with self._lock:
            self.known_runs.discard(run_id)
            for key in [key for key in self._streams if key[0] == run_id]:
                del self._streams[key]
            for name in [name for name in self.series if name[0] == run_id]:
                del self.series[name]

    def append_point(self, series: Series, value: float, timestamp: int, step: int) -> None:
        """Keep a point; when this returns, it survives the process.

        Args:
            series: Where it belongs.
            value: Any float.
            timestamp: Milliseconds since 1970.
            step: 64 bits.
        """
        try:
            with self._lock:
                if self._appending:
                    self._interrupting.append(partial(self.append_point, series, value, timestamp, step))
                    return
                self._appending = True
                try:
                    segment = series.segment
                    if segment is None or segment is not self._segment or segment.end + POINT_SIZE > segment.size:
                        segment = self._prepare(series)
                    body = POINT_BODY.pack(POINT, series.number, value, timestamp, step)
                    record = HEAD.pack(POINT_BODY.size, crc32(body)) + body
                    # Counted first: an interruption here leaves a gap, which is told, and not a position taken twice.
                    series.stream.position += 1
                    start = segment.end
                    segment.buffer[start : start + POINT_SIZE] = record
                    segment.end = start + POINT_SIZE
                    self.appended += 1
                finally:
                    self._appending = False
        except _NoRoomError:
            self._again_with_room(lambda: self.append_point(series, value, timestamp, step))
        if self._interrupting:
            self._append_interrupting()
        if self.idle:
            self.on_work()

    def append_call(self, method: str, request: bytes) -> bool:
        """Keep a call that could not be made, to be made after all that was logged before; False when it is lost.

        Raises:
            InvalidArgumentError: LIMIT_EXCEEDED, it is larger than a segment.
        """
        record, kept = call_record(method, request), True
        check_fits(method, record)
        try:
            with self._lock:
                if self._appending:
                    self._interrupting.append(partial(self.append_call, method, request))
                    return True
                self._appending = True
                try:
                    segment = self._segment
                    while segment is None or not segment.append(record):
                        segment = self._begin_segment()
                    self.appended += 1
                finally:
                    self._appending = False
        except _NoRoomError:
            kept = self._again_with_room(lambda: self.append_call(method, request))
        if self._interrupting:
            self._append_interrupting()
        if self.idle:
            self.on_work()
        return kept

    def abandon(self) -> None:
        """Begin anew in a forked process: what is here is the parent's."""
        folder = self._folder
        self._begin()
        if folder is not None:
            folder.let_go()

    def close(self, *, drained: bool) -> None:
        """Let go of the files, and remove them if nothing in them is needed any more."""
        with self._lock:
            segments, self.segments, self._segment = self.segments, deque(), None
            folder, self._folder = self._folder, None
            self.series.clear()
            self._streams.clear()
        for segment in segments:
            segment.close()
        if folder is not None and drained and not folder.holds_refusals():
            folder.remove()
        elif folder is not None:
            folder.let_go()

    def _stream(self, run_id: str, model_id: str) -> Stream:
        stream = self._streams.get((run_id, model_id))
        if stream is None:
            self._numbers += 1
            stream = Stream(run_id, model_id, f"{self.id}.{self._numbers}", self._numbers)
            self._streams[run_id, model_id] = stream
        return stream

    def _prepare(self, series: Series) -> Segment:
        """The segment that is being written, with room for a point of a series and that series described in it."""
        segment, stream = self._segment, series.stream
        if segment is None or segment.end + _ROOM_TO_DESCRIBE > segment.size:
            segment = self._begin_segment()
        if stream.segment is not segment:
            segment.append(
                stream_record(stream.number, run_id=stream.run_id, writer_id=stream.writer_id, position=stream.position)
            )
            stream.segment = segment
        if series.segment is not segment:
            segment.append(
                series_record(
                    series.number,
                    stream=stream.number,
                    key=series.key,
                    model_id=stream.model_id,
                    dataset=series.dataset,
                )
            )
            series.segment = segment
        return segment

    def _begin_segment(self) -> Segment:
        segment = self._new_file()
        if segment is None:
            if sum(segment.path is None for segment in self.segments) >= MAX_IN_MEMORY:
                raise _NoRoomError
            segment = Segment.in_memory()
        self._segment = segment
        self.segments.append(segment)
        return segment

    def _new_file(self) -> Segment | None:
        try:
            if self._folder is None:
                self._folder = Folder.create(self.id, Owner.this_process(self.target.uri, self.family))
            self._files += 1
            return self._folder.new_segment(self._files)
        except OSError as error:
            if not self._in_memory:
                self._in_memory = True
                logger.warning(
                    "No journal can be written (%s): what is logged waits in memory until %s has it, and is lost if"
                    " this process is killed before. Set HOLDFAST_JOURNAL_DIR to a directory that can be written.",
                    error,
                    self.target.uri,
                )
            return None

    def _append_interrupting(self) -> None:
        with contextlib.suppress(IndexError):  # another thread was faster
            while self._interrupting:
                self._interrupting.popleft()()

    def _again_with_room(self, append: Callable[[], bool | None]) -> bool:
        if self.wait_for_room(ROOM_SECONDS):
            return append() is not False
        if not self.lost:
            logger.error(
                "%s is away, no journal can be written, and %d MiB of memory for what waits are full: from now on what"
                " is logged is lost. flush() and end_run() tell how much.",
                self.target.uri,
                MAX_IN_MEMORY * SIZE >> 20,
            )
        self.lost += 1
        return False


class _NoRoomError(Exception):
    """Neither the disk nor memory has room."""
