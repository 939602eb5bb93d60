"""Makes entries visible: one CommitFiles stream, which brings the contents of small files along."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import grpc

from holdfast._channel import Channel
from holdfast._transfer.asking import MissingBlocks
from holdfast._transfer.following import FollowedCall
from holdfast._transfer.hashing import HashedBlock, SourceHashing
from holdfast._transfer.progress import Progress
from holdfast._transfer.sources import Source
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

# Contents up to this size go inside the commit: less to say about each than as blocks that are written before.
MAX_INLINE = 64 << 10
COMMIT_ENTRIES = 2_000
COMMIT_BYTES = 768 << 10
DIGESTS_PER_MESSAGE = 16_384
# What an entry takes besides its path and content, at most.
ENTRY_BYTES = 120
# Digests that are remembered as sent, so that equal files of one tree are sent once.
MAX_REMEMBERED = 65_536
# Times that a commit is sent whose contents were damaged on their way, before it is an error.
MAX_DAMAGED = 3


class MissingError(Exception):
    """The commit names blocks that the server lacks."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must stand at a path for a commit to succeed: a file with a digest, nothing, or (neither set) anything."""

    digest: bytes = b""
    absent: bool = False


ANYTHING = Expectation()


class Commit:
    """A set of entries that becomes visible at once, with the contents of small files.

    It may be tried again after an interruption, or a bit that flipped on the way: what the server has by then is named
    by digest and not sent again.
    """

    def __init__(self, channel: Channel, owner: artifact_pb.TreeOwner, request_id: str, progress: Progress) -> None:
        self._channel, self._progress = channel, progress
        self._header = pb.CommitHeader(owner=owner, request_id=request_id)
        self._method = channel.stub(ArtifactServiceStub).CommitFiles
        self._reached = 0  # small files that were handed to gRPC so far, in the attempt that came furthest

    def run(self, entries: Sequence[pb.NewEntry], small: Sequence[Source], expected: Expectation) -> artifact_pb.Tree:
        """Commit ``entries``, whose blocks were written, and the files of ``small``, which are read here.

        Raises:
            MissingError: Blocks of ``entries`` are gone meanwhile.
            LocalFileError: A small file changed or cannot be read; nothing is visible.
            HoldfastError: As the server says; nothing is visible.
        """
        for damaged in range(1, MAX_DAMAGED + 1):
            try:
                response = self._channel.run(
                    lambda: self._attempt(entries, small, expected), position=lambda: self._reached
                )
                break
            except InvalidArgumentError as refused:
                # Damaged on the way, as what was read is what was hashed.
                if refused.reason != "CONTENT_MISMATCH" or damaged == MAX_DAMAGED:
                    raise
        if response.WhichOneof("outcome") == "missing":
            raise MissingError
        return response.committed

    def _attempt(
        self, entries: Sequence[pb.NewEntry], small: Sequence[Source], expected: Expectation
    ) -> pb.CommitFilesResponse:
        with contextlib.ExitStack() as opened:
            hashing = opened.enter_context(contextlib.closing(SourceHashing(small)))
            hashing.start()
            windows: Iterable[tuple[list[HashedBlock], set[bytes] | None]]
            if sum(source.size for source in small) > MAX_INLINE:
                windows = opened.enter_context(contextlib.closing(MissingBlocks(self._channel, hashing)))
            else:
                # So little is sent in one round trip, without asking.
                windows = ((batch, None) for batch in hashing)
            messages = _Messages(_commit_messages(self._header, entries, self._small_files(windows, small), expected))
            call = FollowedCall[pb.CommitFilesResponse](
                lambda: self._method.future(messages), lambda future: [future.result()]
            )
            # Closed before what the messages are made of: it may be Ctrl-C that ends this, while nothing moves.
            opened.callback(call.close)
            opened.callback(messages.close)
            call.start()
            try:
                response = call.next()
            except (grpc.RpcError, grpc.FutureCancelledError):
                if messages.error is not None:  # which is why the server refused the rest
                    raise messages.error from None
                raise
            return response

    def _small_files(
        self, windows: Iterable[tuple[list[HashedBlock], set[bytes] | None]], small: Sequence[Source]
    ) -> Iterator[_SmallFile]:
        sent: set[bytes] = set()
        done = 0
        for window, missing in windows:
            for block in window:
                there = block.digest in sent or (missing is not None and block.digest not in missing)
                yield _SmallFile(small[block.source], block.digest, None if there else bytes(block.data))
                sent.add(block.digest)
                done += 1
                if not there:
                    self._progress.send(len(block.data))
                if done > self._reached:
                    self._reached = done
                    (self._progress.save if there else self._progress.advance)(len(block.data))
            if len(sent) > MAX_REMEMBERED:
                sent.clear()


def file_entry(source: Source, digests: Sequence[bytes], expected: Expectation) -> pb.NewEntry:
    """The entry of a file, by the digests of its blocks."""
    entry = pb.NewEntry()
    _describe(entry, source, expected)
    if source.size:
        entry.block_digests.extend(digests)
    return entry


def _describe(entry: pb.NewEntry, source: Source, expected: Expectation) -> None:
    entry.path = source.path
    entry.kind = artifact_pb.ENTRY_KIND_FILE
    entry.size = source.size
    if source.executable:
        entry.executable = True
    if expected.digest:
        entry.expected_digest = expected.digest
    elif expected.absent:
        entry.expected_absent = True


class _SmallFile(NamedTuple):
    """A file of one block at most; with its content when that is to be sent."""

    source: Source
    digest: bytes
    data: bytes | None


class _Messages(Iterator[pb.CommitFilesRequest]):
    """What gRPC sends, in a thread of its own. After an error there is no end, so that the server commits nothing."""

    def __init__(self, messages: Iterator[pb.CommitFilesRequest]) -> None:
        self._messages = messages
        self._closed = False
        self.error: BaseException | None = None

    def __next__(self) -> pb.CommitFilesRequest:
        try:
            if not self._closed:
                return next(self._messages)
        except StopIteration:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller gets it
            self.error = error
        raise StopIteration

    def close(self) -> None:
        """Make no more messages."""
        self._closed = True


def _commit_messages(
    header: pb.CommitHeader, entries: Sequence[pb.NewEntry], small: Iterable[_SmallFile], expected: Expectation
) -> Iterator[pb.CommitFilesRequest]:
    yield pb.CommitFilesRequest(header=header)
    yield from _entry_messages(entries)
    count, size = len(entries), 0
    message = pb.CommitFilesRequest()
    for source, digest, data in small:
        # Made where it is sent from: messages copy the messages that they are given, with all contents, twice here.
        entry = message.entries.entries.add()
        _describe(entry, source, expected)
        if data is not None:
            entry.inline_data = data
            entry.digest = digest  # so that a bit that flips on the way is noticed
            size += len(data)
        elif source.size:
            entry.block_digests.append(digest)
        count += 1
        size += len(source.path) + ENTRY_BYTES
        if size > COMMIT_BYTES:
            yield message
            message, size = pb.CommitFilesRequest(), 0
    if size:
        yield message
    yield pb.CommitFilesRequest(end=pb.CommitEnd(entry_count=count))


def _entry_messages(entries: Iterable[pb.NewEntry]) -> Iterator[pb.CommitFilesRequest]:
    """Messages for entries that are made already, those of large files in several."""
    batch: list[pb.NewEntry] = []
    size = 0
    for entry in entries:
        more = list(entry.block_digests[DIGESTS_PER_MESSAGE:])
        if more:
            entry = pb.NewEntry.FromString(entry.SerializeToString())  # noqa: PLW2901 - a copy to shorten
            del entry.block_digests[DIGESTS_PER_MESSAGE:]
        batch.append(entry)
        size += entry.ByteSize()
        if more or size > COMMIT_BYTES or len(batch) >= COMMIT_ENTRIES:
            yield pb.CommitFilesRequest(entries=pb.CommitEntries(entries=batch))
            batch, size = [], 0
        for start in range(0, len(more), DIGESTS_PER_MESSAGE):
            part = more[start : start + DIGESTS_PER_MESSAGE]
            yield pb.CommitFilesRequest(more_blocks=pb.MoreBlocks(block_digests=part))
    if batch:
        yield pb.CommitFilesRequest(entries=pb.CommitEntries(entries=batch))
