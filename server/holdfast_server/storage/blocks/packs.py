"""Blocks as objects: large ones alone, small ones that arrive together in one pack."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence

from holdfast_server.domain.artifacts import Extent, NewBlock
from holdfast_server.errors import DataLoss, Unavailable
from holdfast_server.services.ports.artifacts import ObjectStore

logger = logging.getLogger(__name__)

SMALL = 512 << 10
MAX_PACK = 16 << 20
# Reading a gap of this many bytes is cheaper than another request.
MAX_GAP = 64 << 10
MAX_SPAN = 4 << 20


class PackedBlockStore:
    """Implements ``BlockStore`` over any ``ObjectStore``.

    A file a block would cost an fsync (or a PUT) each; a pack costs one for all that arrived together. Keys end in
    random digits, so that each write has an object of its own and gc can only ever delete the one it marked.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def write(self, blocks: Sequence[NewBlock]) -> list[Extent]:
        """Store blocks, durable when this returns, and tell where each is, in order."""
        extents: dict[int, Extent] = {}
        pack: list[tuple[int, NewBlock]] = []
        pack_size = 0
        for index, block in enumerate(blocks):
            if block.size > SMALL or len(blocks) == 1:
                extents[index] = self._write_single(block)
                continue
            if pack_size + block.size > MAX_PACK:
                self._write_pack(pack, extents)
                pack, pack_size = [], 0
            pack.append((index, block))
            pack_size += block.size
        if pack:
            self._write_pack(pack, extents)
        return [extents[index] for index in range(len(blocks))]

    def read(self, blocks: Sequence[tuple[bytes, Extent]]) -> list[bytes]:
        """Read some blocks, in order; neighbours in a pack by one request."""
        found: dict[int, bytes] = {}
        for span in _spans(blocks):
            first, last = blocks[span[0]][1], blocks[span[-1]][1]
            data = self._get(
                blocks[span[0]][0], first.object_key, first.offset, last.offset + last.length - first.offset
            )
            view = memoryview(data)
            for index in span:
                digest, extent = blocks[index]
                start = extent.offset - first.offset
                piece = data if len(span) == 1 else bytes(view[start : start + extent.length])
                if len(piece) != extent.length:
                    raise DataLoss(
                        f"Block {digest.hex()} is damaged: {len(piece)} of {extent.length} bytes are left. Restore the "
                        "store from a backup, or log the file again after `holdfast fsck --deep --repair`."
                    )
                found[index] = piece
        return [found[index] for index in range(len(blocks))]

    def discard(self, extents: Sequence[Extent]) -> None:
        """Remove objects just written whose rows lost a race; gc finds what this cannot remove."""
        for key in {extent.object_key for extent in extents}:
            self._discard(key)

    def _get(self, digest: bytes, key: str, offset: int, length: int) -> bytes:
        try:
            return self._objects.get(key, offset, length)
        except KeyError:
            raise DataLoss(
                f"Block {digest.hex()} is lost: the store has no object for it. Restore the store from a backup, or "
                "log the file again after `holdfast fsck --repair`."
            ) from None

    def _discard(self, key: str) -> None:
        try:
            self._objects.delete(key)
        except (OSError, Unavailable):
            logger.warning("object %s was not discarded; gc will find it", key)

    def _write_single(self, block: NewBlock) -> Extent:
        name = block.digest.hex()
        key = f"blocks/{name[:2]}/{name}.{secrets.token_hex(4)}"
        self._objects.put(key, block.parts, block.digest)
        return Extent(key, 0, block.size)

    def _write_pack(self, pack: list[tuple[int, NewBlock]], extents: dict[int, Extent]) -> None:
        name = secrets.token_hex(16)
        key = f"packs/{name[:2]}/{name}"
        offset = 0
        parts: list[bytes | memoryview] = []
        for index, block in pack:
            parts.extend(block.parts)
            extents[index] = Extent(key, offset, block.size)
            offset += block.size
        self._objects.put(key, parts)


def _spans(blocks: Sequence[tuple[bytes, Extent]]) -> list[list[int]]:
    """Group the blocks' indexes into runs that lie near each other in one object."""
    order = sorted(range(len(blocks)), key=lambda i: (blocks[i][1].object_key, blocks[i][1].offset))
    spans: list[list[int]] = []
    for index in order:
        extent = blocks[index][1]
        if spans:
            first, last = blocks[spans[-1][0]][1], blocks[spans[-1][-1]][1]
            near = 0 <= extent.offset - (last.offset + last.length) <= MAX_GAP
            small = extent.offset + extent.length - first.offset <= MAX_SPAN
            if extent.object_key == last.object_key and near and small:
                spans[-1].append(index)
                continue
        spans.append([index])
    return spans
