"""Turns the records of a journal into requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from holdfast._calls import MAX_BATCH_BYTES, MAX_BATCH_METRICS
from holdfast._journal.records import (
    CALL,
    POINT,
    POINT_BODY,
    POINT_RECORD,
    POINT_SIZE,
    STREAM,
    bodies,
    called,
    described,
)
from holdfast._journal.segment import START, Segment
from holdfast.v1 import run_pb2
from holdfast.v1 import run_service_pb2 as messages

# Points of several runs that are read before the first of them is sent, so that requests are full.
READ_AHEAD = 4 * MAX_BATCH_METRICS
# Of a point without its texts, as protobuf has it.
_BARE_POINT = 64


@dataclass(slots=True)
class Outgoing:
    """What is sent at once, or the note that all up to a position was.

    Attributes:
        method: Of the run service.
        request: None for the note.
        records: How many points and calls these are; of the note, all since the position before.
        position: All before it was sent, once this is; 0 when that is not so.
        held: Whether it is a change that could not be made when it was asked for.
    """

    method: str = "LogBatch"
    request: Any = None
    records: int = 0
    position: int = 0
    held: bool = False

    @property
    def weight(self) -> int:
        """How many points and changes a user would count here."""
        return max(len(getattr(self.request, "metrics", ())), 1) if self.held else self.records


@dataclass(slots=True)
class _Stream:
    run_id: str
    writer_id: str
    position: int
    batch: Outgoing | None = None
    room: int = 0


@dataclass(slots=True)
class _Series:
    """What points have in common, and the last of them."""

    stream: _Stream
    metric: run_pb2.Metric
    ms: int | None = None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = _BARE_POINT + self.metric.ByteSize()


class Reader:
    """Reads a segment from where it is not delivered.

    Attributes:
        segment: What is read.
        position: All before it was read.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment, self.position = segment, START
        self._streams: dict[int, _Stream] = {}
        self._series: dict[int, _Series] = {}

    def requests(self, end: int) -> Iterator[Outgoing]:  # noqa: C901 - the kinds of records, one after the other
        """Yield what is to be sent of the records before ``end``, in an order that keeps each stream's.

        Full batches come as soon as they are, so that one is read while the one before is on its way.
        """
        waiting: list[_Stream] = []
        points = 0  # since the last note
        while self.position < end:
            start, delivered = self.position, self.segment.delivered
            for length, _, kind, number, value, ms, step in self._possible_points(end, READ_AHEAD - points):
                if kind != POINT or length != POINT_BODY.size:
                    break
                self.position += POINT_SIZE
                series = self._series[number]
                if self.position <= delivered:
                    series.stream.position += 1
                    continue
                points += 1
                full = self._add_point(series, value, ms, step, waiting)
                if full is not None:
                    yield full
            if points >= READ_AHEAD:
                yield from self._flush(waiting, self.position, points)
                points = 0
            if self.position > start:
                continue
            position, body = next(bodies(self.segment.buffer, start, end, verify=False), (start, b""))
            if not body:
                break
            if body[0] == CALL and position > delivered:
                # A call comes after all that was logged before it, and before all that was logged after it.
                yield from self._flush(waiting, start, points)
                yield self._call(body, position)
                points = 0
            elif body[0] != CALL:
                self._learn(body)
            self.position = position
        yield from self._flush(waiting, self.position, points)

    def count(self) -> int:
        """How many points and calls are not delivered."""
        count = 0
        for position, body in bodies(self.segment.buffer, START, self.segment.end, verify=False):
            if position <= self.segment.delivered:
                continue
            if body[0] == POINT:
                count += 1
            elif body[0] == CALL:
                count += self._call(body, position).weight
        return count

    def _possible_points(self, end: int, most: int) -> Iterator[tuple[Any, ...]]:
        """What follows, read as if all of it were points: most of it is, and this way takes a tenth of the time."""
        size = min((end - self.position) // POINT_SIZE, most) * POINT_SIZE
        return POINT_RECORD.iter_unpack(self.segment.buffer[self.position : self.position + size])

    def _learn(self, body: bytes) -> None:
        """Take in what a stream or a series is."""
        fields = described(body)
        if body[0] == STREAM:
            self._streams[fields["number"]] = _Stream(fields["run"], fields["writer"], fields["position"])
            return
        name, digest = fields["dataset"]
        metric = run_pb2.Metric(key=fields["key"], model_id=fields["model"], dataset_name=name, dataset_digest=digest)
        self._series[fields["number"]] = _Series(self._streams[fields["stream"]], metric)

    def _add_point(self, series: _Series, value: float, ms: int, step: int, waiting: list[_Stream]) -> Outgoing | None:
        """Put a point into its stream's batch, and return the batch before if there was no room in it."""
        stream = series.stream
        full, batch = None, stream.batch
        if batch is None or batch.records == MAX_BATCH_METRICS or series.size > stream.room:
            if batch is None:
                waiting.append(stream)
            full = batch
            request = messages.LogBatchRequest(
                run_id=stream.run_id, writer_id=stream.writer_id, writer_sequence=stream.position
            )
            batch = stream.batch = Outgoing(request=request)
            stream.room = MAX_BATCH_BYTES
        metric = series.metric
        if ms != series.ms:
            series.ms = ms
            metric.timestamp.seconds, metric.timestamp.nanos = ms // 1_000, ms % 1_000 * 1_000_000
        metric.value, metric.step = value, step
        # Which copies it; a point made from arguments takes twice as long.
        batch.request.metrics.append(metric)
        batch.records += 1
        stream.room -= series.size
        stream.position += 1
        return full

    def _flush(self, waiting: list[_Stream], position: int, points: int) -> Iterator[Outgoing]:
        for stream in waiting:
            if stream.batch is not None:
                yield stream.batch
                stream.batch = None
        waiting.clear()
        yield Outgoing(records=points, position=position)

    def _call(self, body: bytes, position: int) -> Outgoing:
        method, data = called(body)
        try:
            request = getattr(messages, f"{method}Request").FromString(data)
        except (AttributeError, DecodeError) as error:
            raise ValueError(f"{self.segment.path} holds a call that this version does not know: {method}") from error
        return Outgoing(method=method, request=request, records=1, position=position, held=True)
