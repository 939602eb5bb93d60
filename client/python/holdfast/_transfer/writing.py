"""Writes files under temporary names, which become the final ones when all is there.

Paths are texts here, and the calls those of ``os``: objects cost more than the system does for a small file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterator

from holdfast.errors import LocalFileError

# Names of small files that are being written: they end so, and begin so. One that is far older than any write takes was
# left by a process that was killed.
TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".holdfast-", ".tmp"
_TEMPORARY_KEPT_S = 3600
_READ = 1 << 20
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def local_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say what cannot be written, and where, in place of the system's bare error."""
    try:
        yield
    except LocalFileError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str | os.PathLike[str], error: OSError, advice: str = "") -> LocalFileError:
    """The error for a path that cannot be written."""
    advice = advice or "Download to another directory."
    return LocalFileError(f"{os.fspath(path)} cannot be written: {error.strerror}. {advice}")


def in_the_way(path: str | os.PathLike[str]) -> LocalFileError:
    """The error for a directory that stands where a file is to be."""
    return LocalFileError(
        f"{os.fspath(path)} is a directory here and a file in the artifacts. Download to another directory."
    )


def make_directory(path: str, made: set[str]) -> None:
    """Make a directory and those above it, up to one of ``made``, to which they are added.

    Raises:
        LocalFileError: One of them is a symbolic link, which could lead anywhere, or cannot be made.
    """
    if path in made:
        return
    make_directory(os.path.dirname(path), made)
    try:
        os.mkdir(path)
    except FileExistsError as error:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            raise LocalFileError(
                f"{path} is a symbolic link, and downloads do not follow it. Remove it, or download elsewhere."
            ) from error
        if not stat.S_ISDIR(mode):
            raise cannot_write(path, error) from error
        remove_stale(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    made.add(path)


def remove_stale(directory: str) -> None:
    """Remove temporary files that are too old to be another process's; errors are passed over."""
    oldest = time.time() - _TEMPORARY_KEPT_S
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(TEMPORARY_PREFIX) and entry.name.endswith(TEMPORARY_SUFFIX):
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)


def write_small(target: str, data: bytes, temporary_name: str, *, executable: bool) -> None:
    """Write a whole file.

    Args:
        target: Its path.
        data: Its content.
        temporary_name: Its name, beside ``target``, until it is whole; nobody else uses it.
        executable: Whether those who may read it may execute it too.

    Raises:
        OSError: It cannot be written; ``cannot_write`` says so to users.
    """
    temporary = os.path.join(os.path.dirname(target), temporary_name)
    descriptor = os.open(temporary, _NEW_FILE, 0o666)
    try:
        try:
            written = os.write(descriptor, data) if data else 0
            while written < len(data):
                written += os.write(descriptor, memoryview(data)[written:])
            if executable:
                set_executable(descriptor, True)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def set_executable(file: int | str, executable: bool) -> None:
    """Let those who may read a file execute it, or nobody."""
    mode = stat.S_IMODE(os.stat(file).st_mode)
    os.chmod(file, mode | (mode & 0o444) >> 2 if executable else mode & ~0o111)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at an offset."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def holds(path: str, size: int, digest: bytes, *, executable: bool) -> bool:
    """Whether a small file (of one block at most) is there as it should be, and needs no writing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
        if bool(status.st_mode & 0o100) != executable:
            return False
        actual = hashlib.sha256()
        while size > 0 and (data := os.read(descriptor, min(size, _READ))):
            actual.update(data)
            size -= len(data)
        return size == 0 and actual.digest() == digest
    except OSError:
        return False
    finally:
        os.close(descriptor)
