"""What is transferred: files whose every block is unique, made fast; and the check that what came back is equal."""

from __future__ import annotations

import hashlib
import itertools
import random
from pathlib import Path

MIB = 1 << 20
STAMP = 16
FILES_IN_A_FOLDER = 100

_stamps = itertools.count()


def make_source(path: Path, *, files: int, size: int, seed: int) -> Path:
    """Make one file of ``size`` bytes, or a directory of ``files`` of them, of content that never was before."""
    base = random.Random(seed).randbytes(MIB)
    if files == 1:
        _write(path, size, base)
        return path
    for number in range(files):
        file = path / f"part-{number // FILES_IN_A_FOLDER:03}" / f"{number:06}.bin"
        if number % FILES_IN_A_FOLDER == 0:
            file.parent.mkdir(parents=True)
        _write(file, size, base)
    return path


def fingerprint(path: Path) -> str:
    """A digest of a file, or of the names and contents below a directory."""
    digest = hashlib.sha256()
    if path.is_file():
        _hash_into(digest, path)
        return digest.hexdigest()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        _hash_into(digest, file)
    return digest.hexdigest()


def _write(path: Path, size: int, base: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, MIB):
            stamp = next(_stamps).to_bytes(STAMP, "little")
            file.write((stamp + base[STAMP:])[: size - start])


def _hash_into(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while data := file.read(MIB):
            digest.update(data)
