"""Files of one directory of a snapshot, read into memory rather than written to disk."""

from __future__ import annotations

from collections.abc import Callable

from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.receiving import Parts, check_whole, damaged
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.trees import below
from holdfast.format.digests import bytes_digest
from holdfast.v1 import artifact_pb2 as artifact_pb

# Files up to this size come with the list of all, in one stream,
MAX_SMALL = 1 << 20
# as long as they are no more than this together.
MAX_KEPT = 32 << 20


class SnapshotFiles:
    """Reads a directory of a snapshot. Every byte is verified before it is handed out.

    Attributes:
        location: The directory.
    """

    def __init__(self, reader: BlockReader, location: artifact_pb.ArtifactLocation) -> None:
        self.location = location
        self._reader = reader

    def list_with_small_files(self) -> tuple[list[artifact_pb.Entry], dict[str, bytes]]:
        """All entries below the directory, and the contents of small files, by path below it.

        Entries have the paths of the whole tree.

        Raises:
            DataLossError: A content does not have its digest.
        """
        entries: list[artifact_pb.Entry] = []
        kept: dict[str, bytes] = {}
        size = 0

        def take(entry: artifact_pb.Entry, data: bytes) -> bool:
            nonlocal size
            copy = artifact_pb.Entry()
            copy.CopyFrom(entry)
            entries.append(copy)
            if entry.kind == artifact_pb.ENTRY_KIND_FILE and len(data) == entry.size and size < MAX_KEPT:
                if bytes_digest(data) != entry.digest:
                    raise damaged(entry.path)
                kept[below(entry.path, self.location)] = data
                size += len(data)
            return size < MAX_KEPT

        self._read(take, MAX_SMALL, "")
        if size >= MAX_KEPT:
            # The last entry is not counted as wanted, but it was taken.
            self._read(lambda entry, _: take(entry, b"") or True, 0, entries[-1].path)
        return entries, kept

    def list_directory(self, path: str, limit: int) -> list[artifact_pb.Entry] | None:
        """All entries below a directory of the same tree (empty: its root); None when there are more than ``limit``.

        Raises:
            NotFoundError: It is not there for the caller.
        """
        directory = artifact_pb.ArtifactLocation(
            owner=self.location.owner, sequence=self.location.sequence, path=path, kind=artifact_pb.ENTRY_KIND_DIRECTORY
        )
        entries: list[artifact_pb.Entry] = []
        for entry in self._reader.list_entries(directory, recursive=True):
            if len(entries) == limit:
                return None
            entries.append(entry)
        return entries

    def read(self, entry: artifact_pb.Entry) -> bytearray:
        """The content of a file.

        Raises:
            DataLossError: It does not have its digest.
        """
        file = artifact_pb.ArtifactLocation(
            owner=self.location.owner, sequence=self.location.sequence, path=entry.path, kind=entry.kind
        )
        content = bytearray(entry.size)

        def write(offset: int, parts: Parts) -> None:
            for part in parts:
                content[offset : offset + len(part)] = part
                offset += len(part)

        stopping = Stopping()
        came, digests = stopping.run(lambda: self._reader.read(file, write, stopping))
        check_whole(entry.path, entry.size, entry.digest, digests)
        if came.digest != entry.digest or len(content) != entry.size:
            raise damaged(entry.path)
        return content

    def _read(self, take: Callable[[artifact_pb.Entry, bytes], bool], max_data_size: int, start_after: str) -> None:
        stopping = Stopping()
        stopping.run(
            lambda: self._reader.read_files(
                self.location, take, stopping, max_data_size=max_data_size, start_after=start_after
            )
        )
