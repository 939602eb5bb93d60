"""Digests by docs/protocol.md, made anew here so that no client is compared with itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

BLOCK_SIZE = 8_388_608


def file_digest(path: Path) -> str:
    """The digest of a file, in hex."""
    digests = []
    with path.open("rb") as file:
        while block := file.read(BLOCK_SIZE):
            digests.append(hashlib.sha256(block).digest())
    if len(digests) > 1:
        return hashlib.sha256(b"holdfast-blocks-v1\0" + b"".join(digests)).hexdigest()
    return digests[0].hex() if digests else hashlib.sha256(b"").hexdigest()


def block_count(size: int) -> int:
    """Blocks of a file of ``size`` bytes."""
    return -(-size // BLOCK_SIZE)


def tree_digest(entries: Iterable[Mapping[str, Any]]) -> str:
    """The digest of a tree, in hex."""
    digest = hashlib.sha256(b"holdfast-tree-v1\0")
    for entry in sorted(entries, key=lambda entry: str(entry["path"]).encode()):
        path = str(entry["path"]).encode()
        flags = (1 if entry["directory"] else 0) | (2 if entry["executable"] else 0)
        digest.update(len(path).to_bytes(4, "big") + path + bytes((flags,)) + int(entry["size"]).to_bytes(8, "big"))
        if not entry["directory"]:
            digest.update(bytes.fromhex(entry["digest"]))
    return digest.hexdigest()


def printed_vectors(page: str) -> dict[str, str]:
    """The test vectors that docs/protocol.md prints: digests by what they are of."""
    section = page.partition("### Test vectors")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| (.+?) \| `([0-9a-f]{64})` \|$", section, re.MULTILINE))
