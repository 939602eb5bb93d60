"""Writes files under temporary names, which become the final ones when all is there."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from holdfast.errors import LocalFileError


@contextlib.contextmanager
def local_errors(path: Path) -> Iterator[None]:
    """Say what cannot be written, and where, in place of the system's bare error."""
    try:
        yield
    except LocalFileError:
        raise
    except OSError as error:
        raise LocalFileError(f"{path} cannot be written: {error.strerror}. Download to another directory.") from error


def make_directory(path: Path, made: set[Path]) -> None:
    """Make a directory and those above it, up to one of ``made``, to which they are added.

    Raises:
        LocalFileError: One of them is a symbolic link, which could lead anywhere, or cannot be made.
    """
    if path in made:
        return
    make_directory(path.parent, made)
    if path.is_symlink():
        raise LocalFileError(
            f"{path} is a symbolic link, and downloads do not follow it. Remove it, or download elsewhere."
        )
    with local_errors(path):
        path.mkdir(exist_ok=True)
    made.add(path)


def write_small(target: Path, data: bytes, *, executable: bool) -> None:
    """Write a whole file."""
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
    temporary = target.with_name(f".holdfast-{secrets.token_hex(8)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with local_errors(target):
        descriptor = os.open(temporary, flags, 0o666)
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
            with local_errors(target):
                temporary.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at an offset."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
