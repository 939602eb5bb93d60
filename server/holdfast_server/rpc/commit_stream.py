"""Reads the messages of a CommitFiles stream."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from holdfast.format.digests import block_count
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast_server.domain.artifacts import MAX_FILE_SIZE, NewEntry
from holdfast_server.domain.names import check_count
from holdfast_server.errors import InvalidArgument, Reason
from holdfast_server.rpc.byte_budget import read_attentively
from holdfast_server.rpc.convert.artifacts import new_entry_from_proto
from holdfast_server.services.commits import InlineEntry

MAX_COMMIT_PART = 10_000


class CommitStream:
    """The entries of one stream, checked; whether they are all of them is known when it ended."""

    def __init__(self, requests: AsyncIterator[pb.CommitFilesRequest]) -> None:
        self._requests = requests
        self._payload = hashlib.sha256()
        # The last entry so far, whose blocks may go on in further messages, and those that came in such.
        self._last: pb.NewEntry | None = None
        self._more: list[bytes] = []
        self._count = 0
        self._end: int | None = None

    @property
    def payload(self) -> bytes:
        """Tells what is asked for: a retry has the same, however it is cut into messages and contents are named."""
        return self._payload.digest()

    async def read_header(self) -> pb.CommitHeader:
        """The first message."""
        first = await anext(self._requests, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidArgument("A commit begins with its header.", field="header")
        self._payload.update(first.SerializeToString(deterministic=True))
        return first.header

    async def read_entries(
        self, give_way: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[list[NewEntry | InlineEntry]]:
        """All entries, about a message's worth at a time; ``give_way`` is called between messages, and while none come.

        Raises:
            InvalidArgument: A message or an entry breaks a rule, or the stream ended without its end.
        """
        async for message in read_attentively(self._requests, give_way):
            part = message.WhichOneof("part")
            if self._end is not None:
                raise InvalidArgument("Nothing comes after the end of a commit.", field="end")
            if part == "entries":
                check_count(len(message.entries.entries), MAX_COMMIT_PART, what="entries", field="entries")
                if message.entries.entries:
                    yield self._take(message.entries.entries)
            elif part == "more_blocks":
                self._take_more(message.more_blocks.block_digests)
            elif part == "end":
                self._end = message.end.entry_count
            else:
                raise InvalidArgument(
                    "After its header a commit has messages of entries, of more blocks, and its end.", field="entries"
                )
        self._check_end()
        if self._last is not None:
            yield self._converted([self._last])

    def _take(self, messages: Sequence[pb.NewEntry]) -> list[NewEntry | InlineEntry]:
        before = [] if self._last is None else [self._last]
        entries = self._converted([*before, *messages[:-1]])
        self._count += len(messages)
        self._last, self._more = messages[-1], []
        return entries

    def _take_more(self, digests: Sequence[bytes]) -> None:
        if self._last is None:
            raise InvalidArgument("`more_blocks` goes on with an entry, and none came before it.", field="more_blocks")
        self._more.extend(digests)
        size = min(max(self._last.size, 0), MAX_FILE_SIZE)
        if len(self._last.block_digests) + len(self._more) > block_count(size):
            raise InvalidArgument(
                "An entry has more blocks than its size needs.", reason=Reason.CONTENT_MISMATCH, field="more_blocks"
            )

    def _check_end(self) -> None:
        """Half a set must not pass for the whole: gRPC also ends the iteration when the peer went away."""
        if self._end != self._count:
            told = "no end" if self._end is None else f"an end after {self._end}"
            raise InvalidArgument(
                f"The commit has {self._count} entries and {told}. Its last message is `end` with their number.",
                field="end",
            )

    def _converted(self, messages: Sequence[pb.NewEntry]) -> list[NewEntry | InlineEntry]:
        entries = [new_entry_from_proto(m, tuple(self._more) if m is self._last else ()) for m in messages]
        # One update: each gives the interpreter's lock away.
        self._payload.update(b"".join([(e.entry if isinstance(e, InlineEntry) else e).identity for e in entries]))
        return entries
