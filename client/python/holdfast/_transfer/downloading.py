"""Downloads files and trees: verified, in bounded memory, and under their final names only when whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from holdfast._channel import Channel
from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.progress import Progress
from holdfast._transfer.receiving import Parts, check_whole
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.trees import TreeDownload, below
from holdfast.errors import FailedPreconditionError, NotFoundError
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

T = TypeVar("T")
# How often a URI is resolved when what it named was replaced, and collected, before it was read.
RESOLVED = 3


class Downloader:
    """Reads from snapshots.

    Attributes:
        reader: Reads what they hold.
    """

    def __init__(self, channel: Channel) -> None:
        self.reader = BlockReader(channel)
        self._channel = channel

    def resolve(self, uri: str) -> list[artifact_pb.ArtifactLocation]:
        """The trees that together are what ``uri`` names."""
        return list(self.resolve_origin(uri).locations)

    def resolve_origin(self, uri: str) -> pb.ResolveArtifactResponse:
        """What ``uri`` names, which version it goes through, and who logged the model there."""
        method = self._channel.stub(ArtifactServiceStub).ResolveArtifact
        return self._channel.call(method, pb.ResolveArtifactRequest(uri=uri))

    def download(self, uri: str, target: Path, *, progress: Progress | None = None) -> None:
        """Write what ``uri`` names to ``target``: a file there, or a directory's contents below it.

        Files that are there are replaced, unless they are the same already; others stay. Each file appears under its
        name only when it is whole and has its digest. The same download goes on from where an earlier one ended. What a
        directory was replaced by is not mixed with what came of it before.

        Raises:
            DataLossError: Bytes do not have their digest; the file is not written.
            FailedPreconditionError: SNAPSHOT_EXPIRED, the directory was replaced and collected meanwhile.
            LocalFileError: A name cannot be written here, or two names would be the same file.
        """
        with progress or Progress("downloading") as shown:
            download = TreeDownload(self.reader, str(target), shown)

            def fetch(locations: Sequence[artifact_pb.ArtifactLocation]) -> None:
                download.fetch(locations)

            def begin_again() -> bool:
                nonlocal download
                if download.has_begun:
                    return False
                shown.restart(forget=True)
                download = TreeDownload(self.reader, str(target), shown)
                return True

            self._newest(uri, fetch, begin_again=begin_again)

    def download_locations(
        self, locations: Sequence[artifact_pb.ArtifactLocation], target: Path, *, progress: Progress | None = None
    ) -> None:
        """Write what was resolved to ``target``, as ``download`` does."""
        with progress or Progress("downloading") as shown:
            TreeDownload(self.reader, str(target), shown).fetch(locations)

    def read_bytes(self, uri: str) -> bytes:
        """The content of a file, verified.

        Raises:
            NotFoundError: The URI names a directory.
        """

        def read(location: artifact_pb.ArtifactLocation) -> bytes:
            parts: list[bytes | memoryview] = []

            def keep(_: int, more: Parts) -> None:
                parts.extend(more)

            stopping = Stopping()
            entry, digests = stopping.run(lambda: self.reader.read(location, keep, stopping))
            check_whole(location.path, entry.size, entry.digest, digests)
            return b"".join(parts)

        return self.with_file(uri, read)

    def with_file(self, uri: str, read: Callable[[artifact_pb.ArtifactLocation], T]) -> T:
        """What ``read`` makes of the file that ``uri`` names; it may be called again, with a newer one.

        Raises:
            NotFoundError: It names a directory.
        """

        def read_one(locations: Sequence[artifact_pb.ArtifactLocation]) -> T:
            if len(locations) != 1 or locations[0].kind != artifact_pb.ENTRY_KIND_FILE:
                raise NotFoundError(f"{uri} is a directory, not a file.", reason="FILE_NOT_FOUND")
            return read(locations[0])

        return self._newest(uri, read_one)

    def list(self, uri: str, path: str = "", *, recursive: bool = False) -> list[artifact_pb.Entry]:
        """Entries of one level, or all, below ``path`` of what ``uri`` names; paths are relative to ``uri``.

        A file gives itself.
        """
        full = f"{uri.rstrip('/')}/{path}" if path else uri
        found = self._newest(full, lambda locations: self._list(locations, path, recursive=recursive))
        return [found[name] for name in sorted(found, key=str.encode)]

    def _list(
        self, locations: Sequence[artifact_pb.ArtifactLocation], path: str, *, recursive: bool
    ) -> dict[str, artifact_pb.Entry]:
        found: dict[str, artifact_pb.Entry] = {}
        for location in locations:
            if location.prefix:
                _add(found, location.prefix, artifact_pb.Entry(kind=artifact_pb.ENTRY_KIND_DIRECTORY))
                if not recursive:
                    continue
            for entry in self.reader.list_entries(location, recursive=recursive):
                whole = "/".join(p for p in (path, location.prefix, below(entry.path, location)) if p)
                _add(found, whole, entry)
        return found

    def _newest(
        self,
        uri: str,
        read: Callable[[Sequence[artifact_pb.ArtifactLocation]], T],
        *,
        begin_again: Callable[[], bool] = lambda: True,
    ) -> T:
        """What ``read`` makes of what ``uri`` names.

        A snapshot that was replaced and collected between the two is no failure of a caller who asked for what is
        there: it is resolved again, and read from the beginning, if ``begin_again`` says so.
        """
        for _ in range(RESOLVED - 1):
            try:
                return read(self.resolve(uri))
            except FailedPreconditionError as error:
                if error.reason != "SNAPSHOT_EXPIRED" or not begin_again():
                    raise
        return read(self.resolve(uri))


def _add(found: dict[str, artifact_pb.Entry], path: str, entry: artifact_pb.Entry) -> None:
    copy = artifact_pb.Entry()
    copy.CopyFrom(entry)
    copy.path = path
    found[path] = copy
