"""The test vectors that docs/protocol.md and its JSON give to clients in other languages."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.format.digests import BLOCK_SIZE, file_digest, tree_digest
from holdfast.format.paths import broken_rule, nfc

DOCS = Path(__file__).parents[2] / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
VECTORS: dict[str, Any] = json.loads((DOCS / "protocol-vectors.json").read_text())
PATHS = VECTORS["paths"]


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


@pytest.mark.parametrize("vector", VECTORS["files"], ids=lambda vector: f"{len(vector['blocks'])} blocks")
def test_files_have_the_digests_of_the_vectors(vector: dict[str, Any]) -> None:
    assert file_digest([bytes.fromhex(block) for block in vector["blocks"]]).hex() == vector["digest"]


@pytest.mark.parametrize("vector", VECTORS["trees"], ids=lambda vector: f"{len(vector['entries'])} entries")
def test_trees_have_the_digests_of_the_vectors(vector: dict[str, Any]) -> None:
    entries = [
        SimpleNamespace(
            path=given["path"],
            is_directory=given.get("directory", False),
            executable=given.get("executable", False),
            size=given.get("size", 0),
            digest=bytes.fromhex(given.get("digest", "")),
        )
        for given in sorted(vector["entries"], key=lambda given: given["path"].encode())
    ]
    assert tree_digest(entries).hex() == vector["digest"]


def test_paths_are_accepted_and_refused_as_the_vectors_say() -> None:
    assert [path for path in PATHS["accepted"] if broken_rule(path)] == []
    assert [path for path in PATHS["refused"] if not broken_rule(path)] == []


def test_the_paths_in_conflict_are_good_alone_and_not_together() -> None:
    for first, second in PATHS["conflicting"]:
        assert not broken_rule(first)
        assert not broken_rule(second)
        assert nfc(first) == nfc(second) or second.startswith(f"{first}/")
