"""Uploads sources into a tree: blocks first, then one commit that makes all of it visible at once."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from holdfast._channel import Channel
from holdfast._transfer.asking import MissingBlocks, find_missing
from holdfast._transfer.committing import ANYTHING, MAX_INLINE, Commit, Expectation, MissingError, file_entry
from holdfast._transfer.hashing import HashedBlock, SourceHashing, hash_stream
from holdfast._transfer.keeping import BlockKeeper
from holdfast._transfer.progress import Progress
from holdfast._transfer.sending import BlockSender
from holdfast._transfer.sources import Source
from holdfast.errors import LocalFileError, UnavailableError
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb

# Commits that find blocks missing again, as gc took them meanwhile, before it is an error.
ATTEMPTS = 3


def upload(
    channel: Channel,
    owner: artifact_pb.TreeOwner,
    sources: Sequence[Source],
    *,
    expected: Expectation = ANYTHING,
    progress: Progress | None = None,
) -> artifact_pb.Tree:
    """Put ``sources`` into the tree of ``owner``; all become visible at once when this returns.

    Raises:
        ConflictError: Something other than ``expected`` stands at a source's path.
        LocalFileError: A file changed or cannot be read; nothing is visible.
        HoldfastError: As the server says; nothing is visible. The same call sends only what is still missing.
    """
    files = [source for source in sources if not source.is_directory]
    small = [source for source in files if source.size <= MAX_INLINE]
    large = [source for source in files if source.size > MAX_INLINE]
    directories = [
        pb.NewEntry(path=source.path, kind=artifact_pb.ENTRY_KIND_DIRECTORY)
        for source in sources
        if source.is_directory
    ]
    with progress or Progress("logging") as shown:
        shown.expect(sum(source.size for source in files), files=len(files))
        commit = Commit(channel, owner, uuid.uuid4().hex, shown)
        for _ in range(ATTEMPTS):
            digests = _send_sources(channel, large, shown) if large else []
            entries = [file_entry(source, digests[index], expected) for index, source in enumerate(large)]
            try:
                return commit.run([*directories, *entries], small, expected)
            except MissingError:
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

    def counted() -> Iterator[list[HashedBlock]]:
        nonlocal size
        for batch in hash_stream(stream):
            size += sum(len(block.data) for block in batch)
            yield batch

    with progress or Progress("logging") as shown:
        shown.expect(None, files=1)
        digests = _send_blocks(channel, counted(), 1, shown)
        entry = file_entry(Source(path, size=size), digests[0], ANYTHING)
        try:
            return Commit(channel, owner, uuid.uuid4().hex, shown).run([entry], [], ANYTHING)
        except MissingError:
            raise LocalFileError("The server lost blocks of this stream and it cannot be read again.") from None


def _send_sources(channel: Channel, sources: Sequence[Source], progress: Progress) -> list[list[bytes]]:
    with contextlib.closing(SourceHashing(sources)) as batches:
        return _send_blocks(channel, batches, len(sources), progress)


def _send_blocks(
    channel: Channel, batches: Iterable[list[HashedBlock]], count: int, progress: Progress
) -> list[list[bytes]]:
    """Send what the server lacks; returns the digests of each source's blocks."""
    digests: list[list[bytes]] = [[] for _ in range(count)]
    keeper = BlockKeeper(channel)
    windows = MissingBlocks(channel, batches, recover=lambda asked: find_missing(channel, asked))
    with contextlib.closing(windows), contextlib.closing(BlockSender(channel, progress)) as sender:
        for window, missing in windows:
            for block in window:
                digests[block.source].append(block.digest)
            unique = {block.digest: block for block in window}
            sender.send([block for digest, block in unique.items() if digest in missing])
            keeper.keep(digests)
            progress.save(sum(len(b.data) for b in window) - sum(len(unique[d].data) for d in missing))
        sender.finish()
    return digests
