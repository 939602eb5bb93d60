"""A block store that believes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from holdfast_server.domain.artifacts import Extent, NewBlock, has_digest
from holdfast_server.errors import DataLoss, InvalidArgument, Reason
from holdfast_server.services.ports.artifacts import BlockStore


class VerifyingBlockStore:
    """Checks every block against its digest before it is stored and after it is read.

    Networks, disks and other programs flip bits; what does not have its digest is an error, never data.
    """

    def __init__(self, base: BlockStore) -> None:
        self._base = base

    def write(self, blocks: Sequence[NewBlock]) -> list[Extent]:
        """Store blocks that have their digests.

        Raises:
            InvalidArgument: CONTENT_MISMATCH, one has not; none is stored.
        """
        for block in blocks:
            if not has_digest(block):
                raise InvalidArgument(
                    f"The data of block {block.digest.hex()} does not have that digest.", reason=Reason.CONTENT_MISMATCH
                )
        return self._base.write(blocks)

    def read(self, blocks: Sequence[tuple[bytes, Extent]]) -> list[bytes]:
        """Read some blocks, in order.

        Raises:
            DataLoss: Stored bytes do not have their digest.
        """
        found = self._base.read(blocks)
        for (digest, _), data in zip(blocks, found, strict=True):
            if hashlib.sha256(data).digest() != digest:
                raise DataLoss(
                    f"Block {digest.hex()} is damaged: its bytes do not have this digest. Restore the store from a "
                    "backup, or log the file again after `holdfast fsck --deep --repair`."
                )
        return found

    def discard(self, extents: Sequence[Extent]) -> None:
        """Remove objects just written whose rows lost a race."""
        self._base.discard(extents)
