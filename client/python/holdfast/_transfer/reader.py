"""A file of a snapshot as a seekable, binary Python file that fetches only what is read."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.following import FollowedCall
from holdfast._transfer.receiving import Parts
from holdfast._transfer.stopping import Stopping
from holdfast.errors import HoldfastError
from holdfast.format.digests import BLOCK_SIZE, block_length
from holdfast.v1 import artifact_pb2 as artifact_pb

# Blocks fetched before they are asked for, once the reading went from block to block so often: a single step is as
# likely a piece that lies across two blocks. CACHED is how many are in memory with those, the newest of those read.
READ_AHEAD = 2
STEPS = 2
CACHED = 5
# Small reads are served from this much, which is copied from a block whenever the reading jumps.
BUFFER_SIZE = 128 << 10


def open_reader(reader: BlockReader, location: artifact_pb.ArtifactLocation) -> io.BufferedReader:
    """Open a file for reading."""
    entry, digests = reader.list_blocks(location)
    return io.BufferedReader(ArtifactReader(reader, location, entry.size, digests), BUFFER_SIZE)


class ArtifactReader(io.RawIOBase):
    """Reads ranges of one snapshot's file, which nothing changes meanwhile. Each block is verified.

    A block is what is fetched, as only whole ones can be verified: reading a byte costs up to 8 MiB. The blocks read
    last stay in memory, up to 40 MiB in all. When the reading goes from block to block, the next ones are fetched in
    the background. One thread at a time is served, and all share one position. What ends a read, such as Ctrl-C or a
    server that is away, ends just that: seek, and read again. After a fork, parent and child go on independently. It
    cannot be pickled; open the URI again where it is needed.
    """

    def __init__(
        self, reader: BlockReader, location: artifact_pb.ArtifactLocation, size: int, digests: list[bytes]
    ) -> None:
        self._reader, self._location, self._size, self._digests = reader, location, size, digests
        self._position = 0
        self._last = -1  # number of the block that was read last, and steps that led to it from its neighbours
        self._steps = 0
        self._blocks: OrderedDict[int, _Block] = OrderedDict()
        self._pid = os.getpid()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; positions past the end read as empty."""
        self._check_open()
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        if whence not in bases:
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        if bases[whence] + offset < 0:
            raise ValueError(f"cannot seek to {bases[whence] + offset}, before the beginning")
        self._position = bases[whence] + offset
        return self._position

    def tell(self) -> int:
        """Where the next read begins."""
        self._check_open()
        return self._position

    def readinto(self, buffer: object) -> int:
        """Fill ``buffer`` from the block at this position; 0 at the end.

        Raises:
            DataLossError: What came does not have its digest.
        """
        self._check_open()
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # any writable buffer
        if self._position >= self._size or not view:
            return 0
        number, inner = divmod(self._position, BLOCK_SIZE)
        block = self._block(number)
        count = min(len(view), len(block) - inner)
        view[:count] = memoryview(block)[inner : inner + count]
        self._position += count
        return count

    def readall(self) -> bytes:
        """The rest of the file."""
        self._check_open()
        parts: list[bytes] = []
        position = self._position  # stays where it is when the rest does not come
        while position < self._size:
            number, inner = divmod(position, BLOCK_SIZE)
            block = self._block(number)
            parts.append(block[inner:] if inner else block)
            position += len(block) - inner
        self._position = position
        return b"".join(parts)

    def close(self) -> None:
        """End what is being fetched, and forget what was."""
        if not self.closed:
            for block in self._blocks.values():
                block.close()
            self._blocks.clear()
        super().close()

    def _block(self, number: int) -> bytes:
        self._forget_parents_threads()
        if number != self._last:
            self._steps = self._steps + 1 if number == self._last + 1 and number > 0 else 0
        ahead = READ_AHEAD if self._steps >= STEPS else 0
        was_fetched_ahead = number in self._blocks
        for wanted in range(number, min(number + 1 + ahead, len(self._digests))):
            self._fetch(wanted)
        try:
            data = self._data(number)
        except HoldfastError:
            if not was_fetched_ahead:
                raise
            self._fetch(number)  # the error may be of long ago
            data = self._data(number)
        self._last = number
        self._blocks.move_to_end(number)
        self._evict(number)
        return data

    def _fetch(self, number: int) -> None:
        if number not in self._blocks:
            self._blocks[number] = _Block(partial(self._read, number))

    def _data(self, number: int) -> bytes:
        try:
            return self._blocks[number].data()
        except BaseException:
            # Also on Ctrl-C, after which the program may go on; the next read tries again.
            self._blocks.pop(number).close()
            raise

    def _read(self, number: int, stopping: Stopping) -> bytes:
        pieces: list[bytes | memoryview] = []

        def keep(_: int, parts: Parts) -> None:
            pieces.extend(parts)

        self._reader.read(
            self._location,
            keep,
            stopping,
            offset=number * BLOCK_SIZE,
            limit=block_length(self._size, number),
            known=self._digests,
        )
        return b"".join(pieces)

    def _evict(self, current: int) -> None:
        """Forget the blocks that were read longest ago, but none that is to be read next."""
        for number in list(self._blocks):
            if len(self._blocks) <= CACHED:
                return
            if not current <= number <= current + READ_AHEAD:
                self._blocks.pop(number).close()

    def _forget_parents_threads(self) -> None:
        """After a fork: threads that were fetching exist in the other process only."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            for number in [number for number, block in self._blocks.items() if not block.is_here]:
                del self._blocks[number]

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")


class _Block:
    """A block that a thread of its own fetches; one thread at a time may ask for it."""

    def __init__(self, read: Callable[[Stopping], bytes]) -> None:
        stopping = Stopping()
        self._call = FollowedCall[bytes](lambda: stopping, lambda _: [read(stopping)])
        self._data: bytes | None = None
        self._call.start()

    @property
    def is_here(self) -> bool:
        """Whether ``data`` was asked for, and came."""
        return self._data is not None

    def data(self) -> bytes:
        """Wait for it; raises what fetching it raised."""
        if self._data is None:
            self._data = self._call.next()
        return self._data

    def close(self) -> None:
        """End the fetching."""
        self._call.close()
