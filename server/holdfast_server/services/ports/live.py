"""Rows of live artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast_server.domain.artifacts import Owner
from holdfast_server.domain.live import LiveFile, Piece


class LiveRepository(Protocol):
    """Files that are being written, and the pieces that they consist of."""

    def get(self, live_id: str) -> LiveFile | None:
        """One, open or remembered."""
        ...

    def get_open(self, owner: Owner, path: str) -> LiveFile | None:
        """The open one at a path."""
        ...

    def list_open(self, owner: Owner) -> list[LiveFile]:
        """All that are open in a tree, in order of the paths' UTF-8 bytes."""
        ...

    def list_idle(self, before_ms: int, after: int, limit: int) -> list[LiveFile]:
        """Open ones without a sign of life since ``before_ms`` and with numbers above ``after``, by number."""
        ...

    def sizes(self, numbers: Sequence[int]) -> dict[int, int]:
        """Sizes of those of ``numbers`` that are open."""
        ...

    def create(self, owner: Owner, path: str, *, writer: str, executable: bool) -> LiveFile:
        """Add an open and empty one."""
        ...

    def take_over(self, live: LiveFile, writer: str) -> LiveFile:
        """Let another writer append."""
        ...

    def replace(self, live: LiveFile) -> None:
        """End one whose path is begun anew: its bytes are given up."""
        ...

    def renew(self, live: LiveFile) -> None:
        """Note a sign of life."""
        ...

    def append_tail(self, live: LiveFile, data: bytes) -> None:
        """Add bytes at the end that stay in the database for now."""
        ...

    def add_blocks(self, live: LiveFile, digests: Sequence[tuple[bytes, int]]) -> None:
        """Put present blocks (digest, length) in the place of the tail's bytes, and go on behind those."""
        ...

    def merge(self, live: LiveFile, digest: bytes) -> None:
        """Put one present block of full size in the place of all pieces from ``live.full`` on to its end."""
        ...

    def list_pieces(self, live: LiveFile, start: int, limit: int) -> list[Piece]:
        """Up to ``limit`` pieces of an open or closed one, in order, from the one that holds byte ``start`` on."""
        ...

    def full_digests(self, live: LiveFile) -> list[bytes]:
        """Digests of its blocks of full size, in order."""
        ...

    def close(self, live: LiveFile, digest: bytes, sequence: int) -> None:
        """Note that it became a file of its tree; its pieces stay for those who are about to read the last of them."""
        ...

    def delete(self, live: LiveFile) -> None:
        """Forget one, with its bytes."""
        ...

    def delete_ended(self, before_ms: int, limit: int) -> int:
        """Forget closed and replaced ones that ended before ``before_ms``; returns how many."""
        ...
