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
from holdfast._metrics import add_points
from holdfast.v1 import metric_columns_pb2
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
        if not self.held:
            return self.records
        if self.method != "LogBatch":
            return 1
        return max(len(self.request.metrics) + len(self.request.metric_columns.values), 1)


@dataclass(slots=True)
class _Stream:
    run_id: str
    writer_id: str
    position: int
    batch: Outgoing | None = None
    room: int = 0
    points: list[tuple[int, float, int, int]] = field(default_factory=list)

    def take_batch(self) -> Outgoing | None:
        """The batch that was begun, whole."""
        batch, self.batch = self.batch, None
        if batch is not None:
            batch.records = len(self.points)
            add_points(batch.request.metric_columns, self.points)
            self.points = []
        return batch


@dataclass(slots=True)
class _Series:
    """What points have in common, and where that stands in the last batch that has some."""

    stream: _Stream
    names: metric_columns_pb2.MetricSeries
    batch: Outgoing | None = None
    position: int = 0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = _BARE_POINT + self.names.ByteSize()


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
        names = metric_columns_pb2.MetricSeries(
            key=fields["key"], model_id=fields["model"], dataset_name=name, dataset_digest=digest
        )
        self._series[fields["number"]] = _Series(self._streams[fields["stream"]], names)

    def _add_point(self, series: _Series, value: float, ms: int, step: int, waiting: list[_Stream]) -> Outgoing | None:
        """Put a point into its stream's batch, and return the batch before if there was no room in it."""
        stream = series.stream
        full, batch = None, stream.batch
        if batch is None or len(stream.points) == MAX_BATCH_METRICS or series.size > stream.room:
            if batch is None:
                waiting.append(stream)
            full = stream.take_batch()
            request = messages.LogBatchRequest(
                run_id=stream.run_id, writer_id=stream.writer_id, writer_sequence=stream.position
            )
            batch = stream.batch = Outgoing(request=request)
            stream.room = MAX_BATCH_BYTES
        if series.batch is not batch:
            described = batch.request.metric_columns.series
            series.batch, series.position = batch, len(described)
            described.append(series.names)
        stream.points.append((series.position, value, step, ms))
        stream.room -= series.size
        stream.position += 1
        return full

    def _flush(self, waiting: list[_Stream], position: int, points: int) -> Iterator[Outgoing]:
        for stream in waiting:
            batch = stream.take_batch()
            if batch is not None:
                yield batch
        waiting.clear()
        yield Outgoing(records=points, position=position)

    def _call(self, body: bytes, position: int) -> Outgoing:
        method, data = called(body)
        try:
            request = getattr(messages, f"{method}Request").FromString(data)
        except (AttributeError, DecodeError) as error:
            raise ValueError(f"{self.segment.path} holds a call that this version does not know: {method}") from error
        return Outgoing(method=method, request=request, records=1, position=position, held=True)
