"""Copies files of a snapshot to a tree of another server: it sends the blocks which that one lacks, and no others."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence

from holdfast._channel import Channel
from holdfast._transfer.asking import WINDOW_BLOCKS, find_missing
from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.committing import ANYTHING, Commit, MissingError
from holdfast._transfer.hashing import HashedBlock
from holdfast._transfer.keeping import BlockKeeper
from holdfast._transfer.progress import Progress
from holdfast._transfer.receiving import Parts, damaged
from holdfast._transfer.sending import CHUNK, BlockSender
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.trees import MAX_BATCHED, below
from holdfast._wholes import whole_tree
from holdfast.errors import UnavailableError
from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb

# Commits that find blocks missing again, as gc took them meanwhile, before it is an error.
ATTEMPTS = 3
# Small files up to which each is read by itself, and not with all that are beside it.
_FEW = 16

Entries = Sequence[artifact_pb.Entry]
# Takes a block: its digest and its bytes.
Send = Callable[[bytes, bytes], None]


class TreeCopy:
    """Copies between two servers.

    Attributes:
        source: Where the files are.
        target: Where they are to be.
    """

    def __init__(self, source: Channel, target: Channel, progress: Progress) -> None:
        self.source, self.target = source, target
        self._reader, self._progress = BlockReader(source), progress

    def lacking(
        self, location: artifact_pb.ArtifactLocation, owner: artifact_pb.TreeOwner | None, *, after: int = 0
    ) -> list[artifact_pb.Entry]:
        """What was put into the source's snapshot after commit ``after`` and is not the same at the target.

        Args:
            location: The snapshot, or a part of it.
            owner: The tree at the target; None for one that is not there yet.
            after: A commit of the source.
        """
        if location.sequence <= after:
            return []
        entries = [e for e in self._reader.list_entries(location, recursive=True) if e.sequence > after]
        there = self._entries_at_target(owner) if owner is not None and entries else {}
        return [entry for entry in entries if there.get(below(entry.path, location)) != _content(entry)]

    def copy(
        self, location: artifact_pb.ArtifactLocation, entries: Entries, owner: artifact_pb.TreeOwner | None
    ) -> int:
        """Put entries of the source's snapshot into a tree, all of them at once; returns the bytes that were sent.

        Args:
            location: The snapshot, or a part of it.
            entries: Some of those below it.
            owner: The tree; None to send nothing and return what would have to be.

        Raises:
            DataLossError: What the source has does not have its digest; nothing is visible.
            HoldfastError: As the servers say; nothing is visible.
        """
        files = [entry for entry in entries if entry.kind == artifact_pb.ENTRY_KIND_FILE]
        self._progress.expect(sum(entry.size for entry in files), files=len(files))
        digests = [self._block_digests(location, entry) for entry in files]
        if owner is None:
            return self._missing_size(files, digests)
        new = [_new_entry(entry, below(entry.path, location)) for entry in entries]
        by_path = dict(zip((below(entry.path, location) for entry in files), digests, strict=True))
        for entry in new:
            entry.block_digests.extend(by_path.get(entry.path, ()))
        commit = Commit(self.target, owner, uuid.uuid4().hex, self._progress)
        sent = 0
        for _ in range(ATTEMPTS):
            stopping = Stopping()
            sent += stopping.run(lambda stopping=stopping: self._send(location, files, digests, stopping))  # type: ignore[misc]
            with contextlib.suppress(MissingError):
                commit.run(new, [], ANYTHING)
                return sent
            self._progress.restart()
        raise UnavailableError(
            "The server kept losing blocks of this upload; its garbage collection may be misconfigured."
        )

    def _entries_at_target(self, owner: artifact_pb.TreeOwner) -> dict[str, tuple[object, ...]]:
        location = whole_tree(self.target, owner)
        if not location.sequence:
            return {}
        found = BlockReader(self.target).list_entries(location, recursive=True)
        return {entry.path: _content(entry) for entry in found}

    def _block_digests(self, location: artifact_pb.ArtifactLocation, entry: artifact_pb.Entry) -> list[bytes]:
        if entry.size <= BLOCK_SIZE:  # the digest of one block is that of its file
            return [entry.digest] if entry.size else []
        return self._reader.list_digests(_file(location, entry), entry.digest)

    def _missing_size(self, files: Entries, digests: Sequence[Sequence[bytes]]) -> int:
        missing = set(find_missing(self.target, _unique(digests)))
        sizes = {digest: size for e, blocks in zip(files, digests, strict=True) for digest, size in _sizes(e, blocks)}
        return sum(sizes[digest] for digest in missing)

    def _send(
        self,
        location: artifact_pb.ArtifactLocation,
        files: Entries,
        digests: Sequence[Sequence[bytes]],
        stopping: Stopping,
    ) -> int:
        """Send the blocks that the target lacks; returns their bytes."""
        missing = set(find_missing(self.target, _unique(digests)))
        keeper, size = BlockKeeper(self.target), 0
        with contextlib.closing(BlockSender(self.target, self._progress)) as sender:
            # Blocks that are sent together are stored together, and small ones by themselves cost an object each.
            held: list[HashedBlock] = []
            held_size = 0

            def flush() -> None:
                nonlocal held_size
                if held:
                    sender.send(held)
                held.clear()
                held_size = 0
                keeper.keep(digests)

            def send(digest: bytes, data: bytes) -> None:
                nonlocal size, held_size
                if digest in missing:  # the same content may be in several files
                    missing.discard(digest)
                    size += len(data)
                    held_size += len(data)
                    held.append(HashedBlock(0, digest, data))
                    if held_size >= CHUNK or len(held) >= WINDOW_BLOCKS:
                        flush()

            needed = [
                (entry, blocks) for entry, blocks in zip(files, digests, strict=True) if not missing.isdisjoint(blocks)
            ]
            total = sum(entry.size for entry in files)
            small = [entry for entry, _ in needed if entry.size <= MAX_BATCHED]
            self._read_small(location, small, send, stopping)
            for entry, blocks in needed:
                if entry.size > MAX_BATCHED:
                    for first, end in _ranges([digest in missing for digest in blocks]):
                        self._read_blocks(_file(location, entry), blocks, range(first, end), send, stopping)
            flush()
            sender.finish()
        self._progress.save(total - size)
        return size

    def _read_small(
        self,
        location: artifact_pb.ArtifactLocation,
        entries: Entries,
        send: Send,
        stopping: Stopping,
    ) -> None:
        wanted = {entry.path: entry.digest for entry in entries}

        def take(entry: artifact_pb.Entry, data: bytes) -> bool:
            digest = wanted.pop(entry.path, None)
            if digest is not None:
                if hashlib.sha256(data).digest() != digest:
                    raise damaged(entry.path)
                send(digest, bytes(data))
            return bool(wanted)

        if len(entries) > _FEW:
            self._reader.read_files(location, take, stopping, max_data_size=MAX_BATCHED)
            return
        for entry in entries:
            self._reader.read_files(_file(location, entry), take, stopping, max_data_size=MAX_BATCHED)

    def _read_blocks(
        self,
        file: artifact_pb.ArtifactLocation,
        digests: Sequence[bytes],
        numbers: range,
        send: Send,
        stopping: Stopping,
    ) -> None:
        """Read some blocks of a file, neighbours, of which ``digests`` are all."""

        def keep(offset: int, parts: Parts) -> None:
            send(digests[offset // BLOCK_SIZE], b"".join(parts))

        offset, limit = numbers.start * BLOCK_SIZE, len(numbers) * BLOCK_SIZE
        self._reader.read(file, keep, stopping, offset=offset, limit=limit, known=digests)


def _file(location: artifact_pb.ArtifactLocation, entry: artifact_pb.Entry) -> artifact_pb.ArtifactLocation:
    return artifact_pb.ArtifactLocation(
        owner=location.owner, sequence=location.sequence, path=entry.path, kind=entry.kind
    )


def _content(entry: artifact_pb.Entry) -> tuple[object, ...]:
    """What makes two entries the same."""
    return (entry.kind, entry.executable, entry.size, entry.digest)


def _new_entry(entry: artifact_pb.Entry, path: str) -> pb.NewEntry:
    return pb.NewEntry(path=path, kind=entry.kind, executable=entry.executable, size=entry.size, digest=entry.digest)


def _unique(digests: Sequence[Sequence[bytes]]) -> list[bytes]:
    return list(dict.fromkeys(digest for blocks in digests for digest in blocks))


def _sizes(entry: artifact_pb.Entry, digests: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
    for number, digest in enumerate(digests):
        yield digest, min(BLOCK_SIZE, entry.size - number * BLOCK_SIZE)


def _ranges(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Begin and end of each stretch of flags that are set."""
    begin: int | None = None
    for number, flag in enumerate([*flags, False]):
        if flag and begin is None:
            begin = number
        elif not flag and begin is not None:
            yield begin, number
            begin = None
