"""Downloads files and trees: verified, in bounded memory, and under their final names only when whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast._channel import Channel
from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.progress import Progress
from holdfast._transfer.receiving import Parts, check_whole
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.trees import TreeDownload, below
from holdfast.errors import NotFoundError
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub


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
        name only when it is whole and has its digest. The same download goes on from where an earlier one ended.

        Raises:
            DataLossError: Bytes do not have their digest; the file is not written.
            LocalFileError: A name cannot be written here, or two names would be the same file.
        """
        self.download_locations(self.resolve(uri), target, progress=progress)

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
        location = self.find_file(uri)
        parts: list[bytes | memoryview] = []

        def keep(_: int, more: Parts) -> None:
            parts.extend(more)

        stopping = Stopping()
        entry, digests = stopping.run(lambda: self.reader.read(location, keep, stopping))
        check_whole(location.path, entry.size, entry.digest, digests)
        return b"".join(parts)

    def find_file(self, uri: str) -> artifact_pb.ArtifactLocation:
        """The file that ``uri`` names.

        Raises:
            NotFoundError: It names a directory.
        """
        locations = self.resolve(uri)
        if len(locations) != 1 or locations[0].kind != artifact_pb.ENTRY_KIND_FILE:
            raise NotFoundError(f"{uri} is a directory, not a file.", reason="FILE_NOT_FOUND")
        return locations[0]

    def list(self, uri: str, path: str = "", *, recursive: bool = False) -> list[artifact_pb.Entry]:
        """Entries of one level, or all, below ``path`` of what ``uri`` names; paths are relative to ``uri``.

        A file gives itself.
        """
        found: dict[str, artifact_pb.Entry] = {}
        full = f"{uri.rstrip('/')}/{path}" if path else uri
        for location in self.resolve(full):
            if location.prefix:
                _add(found, location.prefix, artifact_pb.Entry(kind=artifact_pb.ENTRY_KIND_DIRECTORY))
                if not recursive:
                    continue
            for entry in self.reader.list_entries(location, recursive=recursive):
                whole = "/".join(p for p in (path, location.prefix, below(entry.path, location)) if p)
                _add(found, whole, entry)
        return [found[name] for name in sorted(found, key=str.encode)]


def _add(found: dict[str, artifact_pb.Entry], path: str, entry: artifact_pb.Entry) -> None:
    copy = artifact_pb.Entry()
    copy.CopyFrom(entry)
    copy.path = path
    found[path] = copy
