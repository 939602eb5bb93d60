"""Writes files under temporary names, which become the final ones when all is there."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from holdfast.errors import LocalFileError


def make_directory(path: Path, made: set[Path]) -> None:
    if path not in made:
        path.mkdir(parents=True, exist_ok=True)
        made.add(path)


def write_small(target: Path, data: bytes, *, executable: bool) -> None:
    with partial_file(target) as (descriptor, finish):
        write_at(descriptor, data, 0)
        finish(executable)


@contextlib.contextmanager
def partial_file(target: Path) -> Iterator[tuple[int, Callable[[bool], None]]]:
    """A temporary file beside ``target`` that takes its name when ``finish`` is called, and vanishes otherwise."""
    if target.is_dir():
        raise LocalFileError(
            f"{target} is a directory here and a file in the artifacts. Download to another directory."
        )
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    finished = False

    def finish(executable: bool) -> None:
        nonlocal finished
        if executable:
            mode = os.fstat(descriptor).st_mode
            temporary.chmod(mode | (mode & 0o444) >> 2)
        finished = True

    try:
        try:
            yield descriptor, finish
        finally:
            os.close(descriptor)
        if finished:
            temporary.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
