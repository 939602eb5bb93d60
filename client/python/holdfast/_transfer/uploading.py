"""Uploads sources into a tree: blocks first, then one commit that makes all of it visible at once."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from holdfast._channel import Channel
from holdfast._transfer.following import answer_of
from holdfast._transfer.hashing import HashedBlock, hash_sources, hash_stream, read_source
from holdfast._transfer.progress import Progress
from holdfast._transfer.sending import BlockSender, find_missing
from holdfast._transfer.sources import Source
from holdfast.errors import LocalFileError, UnavailableError
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

# Contents that go inside the commit itself, so that logging something small is one round trip.
MAX_INLINE_TOTAL = 64 << 10
# Blocks whose presence is asked for together; with what is unanswered, this bounds the memory of an upload.
WINDOW_BYTES = 16 << 20
WINDOW_BLOCKS = 2_048
COMMIT_ENTRIES = 2_000
COMMIT_BYTES = 768 << 10
DIGESTS_PER_MESSAGE = 16_384
# Commits that find blocks missing again, as gc took them meanwhile, before it is an error.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must stand at a path for a commit to succeed: a file with a digest, nothing, or (neither set) anything."""

    digest: bytes = b""
    absent: bool = False


def upload(
    channel: Channel,
    owner: artifact_pb.TreeOwner,
    sources: Sequence[Source],
    *,
    expected: Expectation = Expectation(),
    progress: Progress | None = None,
) -> artifact_pb.Tree:
    """Put ``sources`` into the tree of ``owner``; all become visible at once when this returns.

    Args:
        channel: The server.
        owner: Whose tree.
        sources: Files and directories, no path twice.
        expected: What must stand at their paths.
        progress: Counts what is done; None for one of the call's own.

    Raises:
        ConflictError: Something other than ``expected`` stands at a source's path.
        LocalFileError: A file changed or cannot be read; nothing is visible.
        HoldfastError: As the server says; nothing is visible. The same call sends only what is still missing.
    """
    sources = list(sources)
    request_id = uuid.uuid4().hex
    total = sum(source.size for source in sources)
    with progress or Progress("logging") as shown:
        shown.expect(total, files=sum(not source.is_directory for source in sources))
        if total <= MAX_INLINE_TOTAL:
            # It brings all its content; should gc take a block of it in the same moment, the long way follows.
            with contextlib.suppress(_MissingError):
                tree = _commit(channel, owner, request_id, [_inline_entry(source, expected) for source in sources])
                shown.advance(total)
                return tree
        for _ in range(ATTEMPTS):
            digests = _send_blocks(channel, hash_sources(list(sources)), len(sources), shown)
            entries = [_entry(source, digests[index], expected) for index, source in enumerate(sources)]
            try:
                return _commit(channel, owner, request_id, entries)
            except _MissingError:
                shown.restart()
    raise UnavailableError("The server kept losing blocks of this upload; its garbage collection may be misconfigured.")


def upload_stream(
    channel: Channel,
    owner: artifact_pb.TreeOwner,
    stream: BinaryIO,
    path: str,
    *,
    progress: Progress | None = None,
) -> artifact_pb.Tree:
    """Put the bytes of a stream of unknown length at ``path``, in bounded memory."""
    size = 0

    def counted() -> Generator[list[HashedBlock], None, None]:
        nonlocal size
        for batch in hash_stream(stream):
            size += sum(len(block.data) for block in batch)
            yield batch

    with progress or Progress("logging") as shown:
        shown.expect(None, files=1)
        digests = _send_blocks(channel, counted(), 1, shown)
        entry = _entry(Source(path, size=size), digests[0], Expectation())
        try:
            return _commit(channel, owner, uuid.uuid4().hex, [entry])
        except _MissingError:
            raise LocalFileError("The server lost blocks of this stream and it cannot be read again.") from None


def _send_blocks(
    channel: Channel, batches: Generator[list[HashedBlock], None, None], count: int, progress: Progress
) -> list[list[bytes]]:
    """Send what the server lacks; returns the digests of each source's blocks."""
    digests: list[list[bytes]] = [[] for _ in range(count)]
    # Closed here and not when they are collected: the error that ends this, such as Ctrl-C, would keep them until then.
    with contextlib.closing(batches), contextlib.closing(BlockSender(channel, progress)) as sender:
        for window in _windows(batches):
            for block in window:
                digests[block.source].append(block.digest)
            unique = {block.digest: block for block in window}
            missing = find_missing(channel, list(unique))
            sender.send([unique[digest] for digest in missing])
            progress.save(sum(len(b.data) for b in window) - sum(len(unique[d].data) for d in missing))
        sender.finish()
    return digests


def _windows(batches: Iterable[list[HashedBlock]]) -> Iterator[list[HashedBlock]]:
    window: list[HashedBlock] = []
    size = 0
    for batch in batches:
        added = sum(len(block.data) for block in batch)
        if window and (size + added > WINDOW_BYTES or len(window) + len(batch) > WINDOW_BLOCKS):
            yield window
            window, size = [], 0
        window = window + batch
        size += added
    if window:
        yield window


class _MissingError(Exception):
    """The commit names blocks that the server lacks."""


def _commit(
    channel: Channel, owner: artifact_pb.TreeOwner, request_id: str, entries: Sequence[pb.NewEntry]
) -> artifact_pb.Tree:
    method = channel.stub(ArtifactServiceStub).CommitFiles
    header = pb.CommitHeader(owner=owner, request_id=request_id)

    # A stream per attempt: the request id makes repeated commits one.
    response = answer_of(channel, lambda: method.future(_commit_messages(header, entries)))
    if response.WhichOneof("outcome") == "missing":
        raise _MissingError
    tree: artifact_pb.Tree = response.committed
    return tree


def _commit_messages(header: pb.CommitHeader, entries: Sequence[pb.NewEntry]) -> Iterator[pb.CommitFilesRequest]:
    yield pb.CommitFilesRequest(header=header)
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


def _entry(source: Source, digests: Sequence[bytes], expected: Expectation) -> pb.NewEntry:
    if source.is_directory:
        return pb.NewEntry(path=source.path, kind=artifact_pb.ENTRY_KIND_DIRECTORY)
    entry = pb.NewEntry(
        path=source.path,
        kind=artifact_pb.ENTRY_KIND_FILE,
        executable=source.executable,
        size=source.size,
        block_digests=digests,
    )
    if expected.digest:
        entry.expected_digest = expected.digest
    elif expected.absent:
        entry.expected_absent = True
    return entry


def _inline_entry(source: Source, expected: Expectation) -> pb.NewEntry:
    entry = _entry(source, (), expected)
    if not source.is_directory:
        entry.inline_data = read_source(source)
    return entry
