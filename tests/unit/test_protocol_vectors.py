"""The test vectors that docs/protocol.md prints for clients in other languages."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

from holdfast.format.digests import BLOCK_SIZE, file_digest, tree_digest

PROTOCOL = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def entry(path: str, *, is_directory: bool = False, executable: bool = False, data: bytes = b"") -> SimpleNamespace:
    return SimpleNamespace(
        path=path,
        is_directory=is_directory,
        executable=executable,
        size=len(data),
        digest=b"" if is_directory else sha(data),
    )


def vectors() -> dict[str, str]:
    zeros = sha(bytes(BLOCK_SIZE))
    tree = [entry("d", is_directory=True), entry("d/hello", data=b"hello"), entry("run", executable=True)]
    return {
        "empty file": file_digest([]).hex(),
        "`hello`": file_digest([sha(b"hello")]).hex(),
        "8,388,608 zero bytes": file_digest([zeros]).hex(),
        "8,388,609 zero bytes": file_digest([zeros, sha(b"\0")]).hex(),
        "tree: directory `d`, file `d/hello` with `hello`, executable file `run` without content": tree_digest(
            tree
        ).hex(),
    }


def test_the_printed_vectors_are_true() -> None:
    for content, digest in vectors().items():
        assert f"| {content} | `{digest}` |" in PROTOCOL
