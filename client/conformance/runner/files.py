"""Files that clients upload, and what must come of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from client.conformance.runner import digests
from client.conformance.runner.drivers import shortened
from client.conformance.runner.errors import ConformanceError

PIECE = 8 << 20
SMALLEST = 16
# Where a marker stands in a block, again and again: a header of HTTP/2 may split one, never all.
MARKER_PLACES = tuple(range(1_000, 100_000, 5_003))
# Clients keep there what came of a download that did not end; nobody takes it for a file of theirs.
HIDDEN_PREFIX = ".holdfast-"


def make_file(path: Path, size: int, source: random.Random, *, marker: bytes = b"", block: int = 0) -> None:
    """Write random bytes, with a marker in one of the blocks if there is to be one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, PIECE):
            file.write(source.randbytes(min(PIECE, size - start)))
        if marker:
            for place in MARKER_PLACES:
                if (offset := block * digests.BLOCK_SIZE + place) + len(marker) <= size:
                    file.seek(offset)
                    file.write(marker)


def make_tree(path: Path, files: int, source: random.Random, largest: int) -> None:
    """Write many small files in directories of a hundred, with names and kinds that clients get wrong."""
    path.mkdir(parents=True)
    for number in range(files):
        folder = path / f"part-{number // 100:02}"
        folder.mkdir(exist_ok=True)
        # With fewer bytes it could be one that the server has from another scenario.
        size = source.randrange(SMALLEST, largest)
        (folder / f"file {number:04}.bin").write_bytes(source.randbytes(size))
    odd = path / "Übung" / "数据"
    odd.mkdir(parents=True)
    (odd / "naïve +=@,()-#&;'\"$.txt").write_bytes(source.randbytes(100))
    # UTF-16 sorts these two the other way round than UTF-8 does.
    (odd / "\uf8ff").write_bytes(source.randbytes(SMALLEST))
    (odd / "😀").write_bytes(source.randbytes(SMALLEST))
    (odd / "empty file").touch()
    script = path / "run.sh"
    script.write_bytes(b"#!/bin/sh\n" + source.randbytes(8).hex().encode())
    script.chmod(0o755)
    (path / "empty" / "directory").mkdir(parents=True)
    (path / "link.sh").symlink_to("run.sh")


def entries_below(path: Path, at: str = "") -> list[dict[str, Any]]:
    """What a listing of a file or directory that was logged at ``at`` shows, as drivers answer it."""
    found = {at: path} if path.is_file() else {}
    if path.is_dir():
        for each in path.rglob("*"):
            below = each.relative_to(path).as_posix()
            found[f"{at}/{below}" if at else below] = each
    return [{"$subset": _entry(found[name], name)} for name in sorted(found, key=str.encode)]


def compare(found: Path, original: Path) -> None:
    """Compare two files or directories: names, contents, executable bits, empty directories.

    Raises:
        ConformanceError: They differ.
    """
    if original.is_dir() and not found.is_dir():
        raise ConformanceError(f"there is no directory {found}")
    if original.is_file() and not found.is_file():
        raise ConformanceError(f"there is no file {found}")
    if original.is_file():
        _compare_files(found, original, found.name)
        return
    ours, theirs = _names(found), _names(original)
    if ours != theirs:
        missing, more = sorted(theirs - ours), sorted(ours - theirs)
        raise ConformanceError(f"{found} lacks {shortened(missing[:5])} and has besides {shortened(more[:5])}")
    for name in sorted(theirs):
        if (original / name).is_file():
            _compare_files(found / name, original / name, name)
        elif not (found / name).is_dir():
            raise ConformanceError(f"{name} is a directory, and a file in {found}")


def whole_files(found: Path, original: Path) -> set[str]:
    """The names of the files below ``found``, each of which must be as it is in ``original``.

    Raises:
        ConformanceError: One is not.
    """
    names = {name for name in _names(found) if (found / name).is_file()} if found.is_dir() else set()
    for name in sorted(names):
        if not (original / name).is_file():
            raise ConformanceError(f"there is a file {name} at the destination, which nobody logged")
        _compare_files(found / name, original / name, name)
    return names


def flip_in_store(data_dir: Path, marker: bytes) -> int:
    """Flip a bit in the middle of each marker in the files of a local store; returns of how many files."""
    changed = 0
    for path in (data_dir / "store").rglob("*"):
        if not path.is_file() or marker not in (data := bytearray(path.read_bytes())):
            continue
        data[data.index(marker)] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)
        changed += 1
    return changed


def tree_entry(given: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as drivers are told it, from the few fields that a scenario gives."""
    return {"directory": False, "executable": False, "size": 0, "digest": "", **given}


def _entry(path: Path, name: str) -> dict[str, Any]:
    if path.is_dir():
        return {"path": name, "directory": True}
    return {
        "path": name,
        "directory": False,
        "executable": bool(path.stat().st_mode & 0o100),
        "size": path.stat().st_size,
        "digest": digests.file_digest(path),
    }


def _names(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not any(part.startswith(HIDDEN_PREFIX) for part in path.relative_to(folder).parts)
    }


def _compare_files(found: Path, original: Path, name: str) -> None:
    if found.stat().st_size != original.stat().st_size:
        raise ConformanceError(f"{name} has {found.stat().st_size:,} bytes in place of {original.stat().st_size:,}")
    with found.open("rb") as one, original.open("rb") as other:
        position = 0
        while piece := other.read(PIECE):
            if one.read(PIECE) != piece:
                raise ConformanceError(f"{name} has other bytes, in the {PIECE:,} from byte {position:,} on")
            position += len(piece)
    if (found.stat().st_mode & 0o100) != (original.stat().st_mode & 0o100):
        raise ConformanceError(f"the executable bit of {name} was lost, or added")
