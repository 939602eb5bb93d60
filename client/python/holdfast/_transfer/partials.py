"""What came of a large file, kept under a temporary name until it is whole, also when the process ends before that."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterator

from holdfast._transfer.stopping import Stopping
from holdfast._transfer.writing import cannot_write, in_the_way, local_errors, set_executable, write_at

logger = logging.getLogger(__name__)

PREFIX, SUFFIX = ".holdfast-", ".part"
# Seconds between two looks at what another download of the same file to the same place does, and after how many of them
# without a change it counts as stuck and its turn is not waited for.
LOOK_EVERY = 0.1
STUCK_AFTER = 60.0
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class PartialFile:
    """A file that is being written beside its target, locked against other downloads.

    Attributes:
        descriptor: The open file.
        size: Its bytes when it was opened: more than none when an earlier download left them.
        worth_keeping: Whether there is something in it that another download can go on from. Set it when there is.
    """

    def __init__(self, target: str, path: str, descriptor: int, *, shared: bool) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.worth_keeping = False
        self._target, self._path, self._shared = target, path, shared
        self._finished = False

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write at an offset.

        Raises:
            LocalFileError: It cannot be written. What is there stays there.
        """
        try:
            write_at(self.descriptor, data, offset)
        except OSError as error:
            kept = f"What came is kept in {self._path}: the same download, repeated, goes on from there."
            raise cannot_write(self._target, error, kept if self._is_kept else "") from error

    def finish(self, size: int, *, executable: bool) -> None:
        """Give it its final size and name, and remove what is left of other versions of it."""
        with local_errors(self._target):
            os.ftruncate(self.descriptor, size)
            if executable:
                set_executable(self.descriptor, True)
            os.replace(self._path, self._target)
            self._finished = True
        _remove_others(self._target)

    def close(self) -> None:
        """Unlock it, and remove it when it is neither finished nor worth keeping."""
        try:
            if not self._finished and not self._is_kept:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)
        finally:
            os.close(self.descriptor)  # and with it the lock

    @property
    def _is_kept(self) -> bool:
        return self._shared and self.worth_keeping


@contextlib.contextmanager
def partial_file(target: str, digest: bytes, stopping: Stopping) -> Iterator[PartialFile]:
    """The partial file of a target, locked: that which an earlier download left, or a new one.

    Its name comes from the target's and from the file's digest: a download after a crash finds it, and versions never
    mix. While another process (or thread) downloads the same file to the same place, this waits for its turn, which
    comes when that one is done, or dead; then the target is probably whole, or the partial file nearly. Where that one
    is stuck, or there can be no lock, the file is one that only this call knows.

    Raises:
        LocalFileError: There is a directory at ``target``, or nothing can be written there.
    """
    if os.path.isdir(target):
        raise in_the_way(target)
    with local_errors(target):
        partial = _open_shared(target, digest, stopping) or _open_private(target)
    try:
        yield partial
    finally:
        partial.close()


def partial_name(name: str, digest: bytes) -> str:
    """The name of a partial file beside the file ``name`` whose content has this digest."""
    return f"{_common_name(name)}{digest.hex()[:16]}{SUFFIX}"


def _common_name(name: str) -> str:
    """What the partial files of all versions of ``name`` begin with."""
    return f"{PREFIX}{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}-"


def _open_shared(target: str, digest: bytes, stopping: Stopping) -> PartialFile | None:
    """The partial file that every download of this would use; None where that is not possible."""
    folder, name = os.path.split(target)
    path = os.path.join(folder, partial_name(name, digest))
    turn = _Turn(target, stopping)
    while True:
        try:
            descriptor = os.open(path, _OPEN, 0o666)
        except OSError:
            if os.path.lexists(path):
                return None  # another user's, or no file
            raise
        locked, status = _lock(descriptor), os.fstat(descriptor)
        if locked and _is_named(path, status):
            return PartialFile(target, path, descriptor, shared=True)
        if locked is None and status.st_size == 0:
            os.unlink(path)
        os.close(descriptor)
        if locked is None or (not locked and not turn.wait(status)):
            return None


class _Turn:
    """Waits while another download writes the file that this one is to write."""

    def __init__(self, target: str, stopping: Stopping) -> None:
        self._target, self._stopping = target, stopping
        self._seen: tuple[int, int] | None = None
        self._stuck_at = 0.0

    def wait(self, status: os.stat_result) -> bool:
        """Wait a moment; False when nothing happened to the file for long."""
        seen, now = (status.st_size, status.st_mtime_ns), time.monotonic()
        if self._seen is None:
            logger.warning("another download is writing %s; waiting for it", self._target)
        if self._seen != seen:
            self._seen, self._stuck_at = seen, now + STUCK_AFTER
        elif now > self._stuck_at:
            return False
        self._stopping.event.wait(LOOK_EVERY)
        self._stopping.check()
        return True


def _open_private(target: str) -> PartialFile:
    path = os.path.join(os.path.dirname(target), f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}")
    return PartialFile(target, path, os.open(path, _OPEN | os.O_EXCL, 0o666), shared=False)


def _lock(descriptor: int) -> bool | None:
    """Take the lock of an open file: whether it was free, or None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # not on this file system
        return None
    return True


def _is_named(path: str, status: os.stat_result) -> bool:
    """Whether an open file still has its name: another download may have finished or removed it before our lock."""
    try:
        return os.path.samestat(os.lstat(path), status)
    except FileNotFoundError:
        return False


def _remove_others(target: str) -> None:
    """Remove partial files of other versions of ``target`` that nobody is writing; errors are passed over."""
    folder, name = os.path.split(target)
    common = _common_name(name)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(common) and entry.name.endswith(SUFFIX):
                with contextlib.suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    descriptor = os.open(path, _OPEN & ~os.O_CREAT)
    try:
        if _lock(descriptor):
            os.unlink(path)
    finally:
        os.close(descriptor)
