"""Keeps a data directory to one host: SQLite's shared memory does not reach across machines."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO

from holdfast_server.errors import FailedPrecondition

# In a data directory that a backup is being brought back into, as long as not all of it is there.
RESTORING = ".restoring"
_REMEDY = (
    "Run one server there and let the others connect to it: set HOLDFAST_URI=holdfast://<host>:5600, or use a data "
    "directory on a local disk."
)
_NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "afs",
    "ceph",
    "lustre",
    "gpfs",
    "beegfs",
    "glusterfs",
    "9p",
}
_NETWORK_FUSE = {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.goofys", "fuse.gcsfuse"}


class HostLock:
    """Held by every server process on a data directory; processes of one host share it.

    Attributes:
        alone_at_ms: A time at which this was the only process, in milliseconds since 1970; None when others were there.

    Raises:
        FailedPrecondition: Another host uses the directory, it is on a network file system, or a backup is
            being restored there.
    """

    def __init__(self, data_dir: Path) -> None:
        kind = file_system_of(data_dir)
        if kind in _NETWORK | _NETWORK_FUSE:
            raise FailedPrecondition(
                f"{data_dir} is on a network file system ({kind}), which cannot hold the database. {_REMEDY}"
            )
        if (data_dir / RESTORING).exists():
            raise FailedPrecondition(
                f"A restore into {data_dir} is not finished. Wait for it, or run the same `holdfast restore` again."
            )
        self.alone_at_ms: int | None = None
        self._file: IO[str] = (data_dir / "host.lock").open("a+")
        try:
            self._acquire(data_dir)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Give the directory up."""
        self._file.close()

    def _acquire(self, data_dir: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Others hold it; the first of them wrote its host before it let others share.
            fcntl.flock(self._file, fcntl.LOCK_SH)
            self._file.seek(0)
            holder = self._file.read().strip()
            if holder != host_id():
                name = holder.partition(" ")[0] or "another host"
                raise FailedPrecondition(f"{data_dir} is in use by a server on {name}. {_REMEDY}") from None
            return
        self.alone_at_ms = time.time_ns() // 1_000_000
        self._file.seek(0)
        self._file.truncate()
        self._file.write(host_id())
        self._file.flush()
        fcntl.flock(self._file, fcntl.LOCK_SH)


def host_id() -> str:
    """This host's name, and what tells it from others of that name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()} {boot}".strip()


def file_system_of(path: Path) -> str:
    """The type of the file system that holds ``path``, such as ``ext4``; empty where the system does not tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    real, best, kind = os.path.realpath(path), "", ""
    for line in mounts:
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape")
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind
