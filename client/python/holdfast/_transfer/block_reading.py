"""Reads what snapshots hold, verified, going on where it was when the connection breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from holdfast._channel import Channel
from holdfast._transfer.receiving import FileReading, FilesReading, Parts, check_whole
from holdfast._transfer.stopping import Stopping
from holdfast.format.digests import block_count
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

_READ = "/holdfast.v1.ArtifactService/ReadFile"


class BlockReader:
    """Reads from files of snapshots; use it from any thread."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._read: Any = channel.grpc.unary_stream(_READ, pb.ReadFileRequest.SerializeToString, None)

    def read(
        self,
        location: artifact_pb.ArtifactLocation,
        write: Callable[[int, Parts], None],
        stopping: Stopping,
        *,
        offset: int = 0,
        limit: int = 0,
        known: Sequence[bytes] = (),
    ) -> tuple[artifact_pb.Entry, dict[int, bytes]]:
        """Read a range of blocks and hand each, verified, to ``write``; see ``FileReading``.

        Returns:
            The file's entry, and the digests of the blocks that were read, by number.

        Raises:
            DataLossError: A block does not have its digest; it was not handed to ``write``.
        """
        reading = FileReading(location, write, stopping=stopping, offset=offset, limit=limit, known=known)
        with ThreadPoolExecutor(1, thread_name_prefix="holdfast-verify") as pool:
            entry = self._channel.run(
                lambda: reading.run(self._read, pool), position=lambda: reading.position, stopped=stopping.event
            )
        return entry, reading.digests

    def read_files(
        self,
        location: artifact_pb.ArtifactLocation,
        take: Callable[[artifact_pb.Entry, bytes], bool],
        stopping: Stopping,
        *,
        max_data_size: int,
        start_after: str = "",
    ) -> str:
        """Hand entries to ``take`` as long as it wants more; see ``FilesReading``.

        Returns:
            The path of the last entry that it wanted.
        """
        method = self._channel.stub(ArtifactServiceStub).ReadFiles
        reading = FilesReading(location, take, stopping=stopping, max_data_size=max_data_size, start_after=start_after)
        self._channel.run(lambda: reading.run(method), position=lambda: reading.position, stopped=stopping.event)
        return reading.position

    def list_entries(self, location: artifact_pb.ArtifactLocation, *, recursive: bool) -> Iterator[artifact_pb.Entry]:
        """The entries of one level, or all, of a location; a file gives itself."""
        method = self._channel.stub(ArtifactServiceStub).ListFiles
        request = pb.ListFilesRequest(
            owner=location.owner, sequence=location.sequence, path=location.path, recursive=recursive, page_size=10_000
        )
        while True:
            response = self._channel.call(method, request)
            yield from response.entries
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def list_digests(self, location: artifact_pb.ArtifactLocation, digest: bytes) -> list[bytes]:
        """The digests of all blocks of a file whose own digest is ``digest``.

        Raises:
            DataLossError: They are not those of such a file.
        """
        return self.list_blocks(location, digest)[1]

    def list_blocks(
        self, location: artifact_pb.ArtifactLocation, digest: bytes = b""
    ) -> tuple[artifact_pb.Entry, list[bytes]]:
        """A file's entry and the digests of all its blocks; raises as ``list_digests`` does."""
        method = self._channel.stub(ArtifactServiceStub).ListFileBlocks
        request = pb.ListFileBlocksRequest(owner=location.owner, sequence=location.sequence, path=location.path)
        digests: list[bytes] = []
        while True:
            response = self._channel.call(method, request)
            digests += response.block_digests
            if not response.next_page_token or len(digests) > block_count(response.entry.size):
                break
            request.page_token = response.next_page_token
        check_whole(location.path, response.entry.size, digest or response.entry.digest, dict(enumerate(digests)))
        return response.entry, digests
