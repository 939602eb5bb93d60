"""Keeps the data directory, and the directory of a socket, to their owner."""

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

from holdfast_server.errors import FailedPrecondition

logger = logging.getLogger(__name__)

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
# What a server and its clients make in a data directory: the database with its journals and backups, blocks, locks,
# sockets, and what an embedded server tells.
_OURS = re.compile(r"holdfast\.db.*|store|.+\.lock|.+\.sock|server\.log|server\.address.*", re.DOTALL)
# What the root of a file system of its own may hold besides.
_PASSED_OVER = {"lost+found"}


def make_data_directory(directory: Path) -> None:
    """Make a directory that is private to this user, or take from others what they may do in one that is there.

    A directory that also holds what is not ours keeps its mode, since others may need it: there our files alone are
    made private, and it must not be writable by others, who could replace them.

    Raises:
        FailedPrecondition: It belongs to another user, others can write to it, or its mode cannot be changed.
        OSError: It cannot be made.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = directory.stat()
    if os.geteuid() not in {0, status.st_uid}:
        raise FailedPrecondition(
            f"The data directory {directory} belongs to another user: run the server as that one, or name a directory "
            "below it, which the server makes for itself."
        )
    entries = set(os.listdir(directory)) - _PASSED_OVER  # noqa: PTH208 - names are all that is wanted
    ours = set(filter(_OURS.fullmatch, entries))
    if ours == entries and not status.st_mode & stat.S_ISVTX:
        _close_to_others(directory)
    elif status.st_mode & _OTHERS_WRITE:
        raise FailedPrecondition(
            f"Others can write to the data directory {directory} (mode {stat.S_IMODE(status.st_mode):04o}), which "
            "holds more than Holdfast's data: name a directory of its own, or take it from them "
            f"(chmod go-w {directory})."
        )
    for name in sorted(ours):
        _close_to_others(directory / name)


def make_socket_directory(directory: Path) -> None:
    """Make a directory for a Unix socket, private to this user, unless there is one that others cannot write to.

    Raises:
        FailedPrecondition: Others could replace the socket there, and get what is meant for this server.
        OSError: It cannot be made.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = directory.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
        raise FailedPrecondition(
            f"Others can write to {directory} (mode {mode:04o}) and could replace the Unix socket there: take it from "
            f"them (chmod go-w {directory}), or name a path in a directory of your own by --unix."
        )


def _close_to_others(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & _OTHERS:
        return
    try:
        path.chmod(mode & ~_OTHERS)
        closed = not stat.S_IMODE(path.stat().st_mode) & _OTHERS
    except PermissionError:
        closed = False
    if not closed:
        raise FailedPrecondition(
            f"{path} is open to others (mode {mode:04o}) and cannot be made private here: use a file system that keeps "
            "permissions, and a directory of this user's own."
        )
    level = logging.WARNING if path.is_dir() else logging.INFO
    logger.log(level, "%s was open to others (mode %04o) and is private now", path, mode)
