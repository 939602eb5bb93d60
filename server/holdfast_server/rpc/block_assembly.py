"""Puts the messages of a WriteBlocks stream together to blocks."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.format.chunks import Chunk
from holdfast.format.digests import BLOCK_SIZE, DIGEST_SIZE
from holdfast.v1 import artifact_service_pb2 as service_pb
from holdfast_server.domain.artifacts import NewBlock
from holdfast_server.errors import InvalidArgument

BAD_SIZE = service_pb.BLOCK_STATUS_BAD_SIZE
# Chunks below this size are joined: each object costs some hundred bytes besides its data.
SMALL_CHUNK = 64 << 10


@dataclass(slots=True)
class BlockAssembler:
    """State of one stream: the block whose chunks are arriving.

    ``feed`` returns blocks that are whole; those with a bad size become ``rejected`` results and do not end the stream.
    """

    rejected: list[service_pb.BlockResult] = field(default_factory=list)
    _digest: bytes = b""
    _size: int = 0
    _received: int = 0
    _parts: list[bytes | bytearray | memoryview] = field(default_factory=list)

    def feed(self, message: Chunk | service_pb.WriteBlocksRequest) -> list[NewBlock]:
        """Take a message.

        Raises:
            InvalidArgument: It does not follow the protocol, so that nothing after it can be understood.
        """
        if isinstance(message, Chunk):
            return self._feed_chunk(message)
        if self._digest:
            raise InvalidArgument("Whole blocks came between the chunks of another; send a block's chunks together.")
        if message.HasField("chunk") or not message.blocks:
            raise InvalidArgument("A message holds either whole blocks or one chunk.")
        return [whole for block in message.blocks if (whole := self._whole(block.digest, block.data)) is not None]

    @property
    def kept(self) -> int:
        """Bytes of the block that is arriving that are in memory here."""
        return sum(map(len, self._parts))

    def take_parts(self) -> tuple[bytes | memoryview, ...]:
        """What came of the block that is arriving; the block itself will have only what comes after it."""
        parts, self._parts = self._parts, []
        return tuple(memoryview(part) if isinstance(part, bytearray) else part for part in parts)

    def close(self) -> None:
        """The stream ended; a block that is not whole is rejected."""
        if self._digest:
            self._reject(self._digest, f"the stream ended after {self._received} of {self._size} bytes")
            self._digest = b""

    def _whole(self, digest: bytes, data: bytes) -> NewBlock | None:
        _check_digest(digest)
        if not 0 < len(data) <= BLOCK_SIZE:
            self._reject(digest, f"a block has 1 to {BLOCK_SIZE} bytes, not {len(data)}")
            return None
        return NewBlock(digest, (data,), len(data))

    def _feed_chunk(self, chunk: Chunk) -> list[NewBlock]:
        if chunk.digest:
            self.close()
            _check_digest(chunk.digest)
            self._digest, self._size, self._received, self._parts = chunk.digest, chunk.size, 0, []
        elif not self._digest:
            raise InvalidArgument("The first chunk of a block carries its digest and size.")
        if not chunk.data:
            raise InvalidArgument("A chunk is never empty.")
        self._received += len(chunk.data)
        if not 0 < self._size <= BLOCK_SIZE:
            self._parts = []  # nothing of it is kept in memory; it is rejected when its last chunk is here
        elif self._received <= self._size:
            self._keep(chunk.data)
        if self._received < self._size:
            return []
        digest, size, received, parts = self._digest, self._size, self._received, self.take_parts()
        self._digest = b""
        if not 0 < size <= BLOCK_SIZE:
            self._reject(digest, f"a block has 1 to {BLOCK_SIZE} bytes, not {size}")
        elif received != size:
            self._reject(digest, f"{received} bytes came for a block of {size}")
        else:
            return [NewBlock(digest, parts, size)]
        return []

    def _keep(self, data: bytes | memoryview) -> None:
        if len(data) >= SMALL_CHUNK:
            self._parts.append(data)
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += data
        else:
            self._parts.append(bytearray(data))

    def _reject(self, digest: bytes, why: str) -> None:
        self.rejected.append(
            service_pb.BlockResult(digest=digest, status=BAD_SIZE, message=f"Nothing was kept: {why}.")
        )


def _check_digest(digest: bytes) -> None:
    if len(digest) != DIGEST_SIZE:
        raise InvalidArgument(f"A block's digest has {DIGEST_SIZE} bytes, not {len(digest)}.")
