"""Turns the records of a journal into requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast._calls import MAX_BATCH_BYTES, MAX_BATCH_METRICS
from holdfast._journal.records import CALL, POINT, POINT_BODY, STREAM, bodies, called, described
from holdfast._journal.segment import START, Segment
from holdfast._times import ms_to_proto
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
    stream: _Stream
    fields: dict[str, str]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = _BARE_POINT + sum(len(text.encode()) for text in self.fields.values())


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
        self._last_ms, self._time = 0, Timestamp()

    def requests(self, end: int) -> Iterator[Outgoing]:
        """Yield what is to be sent of the records before ``end``, in an order that keeps each stream's.

        Full batches come as soon as they are, so that one is read while the one before is on its way.
        """
        waiting: list[_Stream] = []
        points = 0  # since the last note
        for position, body in bodies(self.segment.buffer, self.position, end, verify=False):
            kind = body[0]
            if kind == POINT:
                if position <= self.segment.delivered:
                    self._series[POINT_BODY.unpack(body)[1]].stream.position += 1
                else:
                    points += 1
                    full = self._add_point(body, waiting)
                    if full is not None:
                        yield full
            elif kind == CALL:
                if position > self.segment.delivered:
                    # A call comes after all that was logged before it, and before all that was logged after it.
                    yield from self._flush(waiting, self.position, points)
                    yield self._call(body, position)
                    points = 0
            elif kind == STREAM:
                fields = described(body)
                self._streams[fields["number"]] = _Stream(fields["run"], fields["writer"], fields["position"])
            else:
                fields = described(body)
                self._series[fields["number"]] = _Series(
                    self._streams[fields["stream"]],
                    {
                        "key": fields["key"],
                        "model_id": fields["model"],
                        "dataset_name": fields["dataset"][0],
                        "dataset_digest": fields["dataset"][1],
                    },
                )
            self.position = position
            if points >= READ_AHEAD:
                yield from self._flush(waiting, position, points)
                points = 0
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

    def _add_point(self, body: bytes, waiting: list[_Stream]) -> Outgoing | None:
        """Put a point into its stream's batch, and return the batch before if there was no room in it."""
        _, number, value, ms, step = POINT_BODY.unpack(body)
        series = self._series[number]
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
        if ms != self._last_ms:
            self._last_ms, self._time = ms, ms_to_proto(ms)
        batch.request.metrics.add(value=value, step=step, timestamp=self._time, **series.fields)
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
