"""Downloads large files: in parallel, going on from what an earlier download left."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.local_blocks import hash_blocks
from holdfast._transfer.partials import PartialFile, partial_file
from holdfast._transfer.progress import Progress
from holdfast._transfer.receiving import Parts, check_whole
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.writing import local_errors, set_executable
from holdfast.errors import DataLossError
from holdfast.format.digests import BLOCK_SIZE, block_count, file_digest
from holdfast.v1 import artifact_pb2 as artifact_pb

# Files at once. A second one keeps the network busy while the first is opened, or waits for the server's store.
PARALLEL = 2


@dataclass(frozen=True, slots=True)
class LargeFile:
    """A file of a snapshot, and where it goes."""

    location: artifact_pb.ArtifactLocation
    size: int
    digest: bytes
    executable: bool
    target: str


class LargeFileDownloader:
    """Fetches large files to their targets.

    A file that is at its target already is recognised by its digest and not fetched again; hashing it costs less than
    any network. Of one that is not, each verified block stays in a partial file, whatever ends the download.
    """

    def __init__(self, reader: BlockReader, stopping: Stopping, progress: Progress) -> None:
        self._reader, self._stopping, self._progress = reader, stopping, progress

    def fetch(self, files: Sequence[LargeFile]) -> None:
        """Fetch files, some at a time.

        Raises:
            DataLossError: Bytes do not have their digest; that file is not written.
            LocalFileError: One cannot be written.
        """
        if len(files) == 1:
            self._fetch_file(files[0])
            return
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="holdfast-get") as pool:
            done, rest = wait([pool.submit(self._fetch_file, file) for file in files], return_when=FIRST_EXCEPTION)
            if rest:  # one failed, and the others need not be fetched
                self._stopping.stop()
                pool.shutdown(wait=True, cancel_futures=True)
            for fetched in done:
                fetched.result()

    def _fetch_file(self, file: LargeFile) -> None:
        self._stopping.check()
        with partial_file(file.target, file.digest, self._stopping) as partial:
            # Looked at under the lock: another download may just have put it there.
            if self._is_there(file):
                self._progress.save(file.size)
                return
            digests = self._verified_blocks(file, partial)
            for first, last in _gaps(digests, block_count(file.size)):
                digests |= self._fetch_blocks(file, partial, first, last)
            try:
                check_whole(file.location.path, file.size, file.digest, digests)
            except DataLossError:
                partial.worth_keeping = False  # its blocks belong to another file
                raise
            partial.finish(file.size, executable=file.executable)

    def _is_there(self, file: LargeFile) -> bool:
        """Whether the target is the file already; its executable bit is set right then."""
        with local_errors(file.target):
            try:
                descriptor = os.open(file.target, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            except OSError:
                return False
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
                    return False
                digests = hash_blocks(descriptor, file.size, range(block_count(file.size)), self._stopping)
            finally:
                os.close(descriptor)
            if file_digest([digests[number] for number in sorted(digests)]) != file.digest:
                return False
            if bool(status.st_mode & 0o100) != file.executable:
                set_executable(file.target, file.executable)
        return True

    def _verified_blocks(self, file: LargeFile, partial: PartialFile) -> dict[int, bytes]:
        """Digests, by number, of the blocks in a partial file that are as they should be."""
        whole = block_count(file.size) if partial.size >= file.size else partial.size // BLOCK_SIZE
        if not whole:
            return {}
        known = self._reader.list_digests(file.location, file.digest)
        with local_errors(file.target):
            found = hash_blocks(partial.descriptor, file.size, range(whole), self._stopping)
        verified = {number: digest for number, digest in found.items() if digest == known[number]}
        if verified:
            partial.worth_keeping = True
            self._progress.save(sum(min(BLOCK_SIZE, file.size - number * BLOCK_SIZE) for number in verified))
        return verified

    def _fetch_blocks(self, file: LargeFile, partial: PartialFile, first: int, last: int) -> dict[int, bytes]:
        """Fetch the blocks from number ``first`` to before ``last``; returns their digests by number."""

        def write(offset: int, parts: Parts) -> None:
            for part in parts:
                self._stopping.check()
                partial.write(offset, part)
                offset += len(part)
                self._progress.advance(len(part))
            partial.worth_keeping = True

        limit = (last - first) * BLOCK_SIZE
        return self._reader.read(file.location, write, self._stopping, offset=first * BLOCK_SIZE, limit=limit)[1]


def _gaps(present: Iterable[int], count: int) -> Iterator[tuple[int, int]]:
    """The ranges of the numbers up to ``count`` that are not among ``present``."""
    first = 0
    for number in [*sorted(present), count]:
        if number > first:
            yield first, number
        first = number + 1
