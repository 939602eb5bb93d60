"""Hashes the blocks of local files that a download finds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from holdfast._transfer.stopping import Stopping
from holdfast.format.digests import BLOCK_SIZE, block_length

THREADS = 2
READ_SIZE = 1 << 20


def hash_blocks(descriptor: int, size: int, numbers: Iterable[int], stopping: Stopping) -> dict[int, bytes]:
    """Digests of some blocks of a file of ``size`` bytes, by number; of a shorter file, of what there is of them."""

    def digest_of(number: int) -> tuple[int, bytes]:
        digest = hashlib.sha256()
        offset, missing = number * BLOCK_SIZE, block_length(size, number)
        while missing > 0:
            stopping.check()
            data = os.pread(descriptor, min(READ_SIZE, missing), offset)
            if not data:
                break
            digest.update(data)
            offset, missing = offset + len(data), missing - len(data)
        return number, digest.digest()

    with ThreadPoolExecutor(THREADS, thread_name_prefix="holdfast-hash") as pool:
        try:
            return dict(pool.map(digest_of, numbers))
        except BaseException:
            stopping.stop()
            raise
