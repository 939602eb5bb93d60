"""Checks of this machine: versions, and the directories that Holdfast keeps things in."""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from holdfast._config import CACHE_VARIABLE, Target, cache_directory
from holdfast._journal.folder import DIRECTORY_VARIABLE, journal_root
from holdfast._journal.syncing import sync
from holdfast.cli.doctor.findings import Finding, failure, ok, skipped, warning
from holdfast.cli.sizes import count_text, size_text
from holdfast.errors import HoldfastError

_LITTLE, _NOTHING = 1 << 30, 100 << 20


def check_machine(target: Target) -> Iterator[Finding]:
    """Everything that needs no server."""
    yield _versions()
    if target.data_dir is not None:
        yield from _check_directory("data directory", target.data_dir, "--uri or HOLDFAST_URI")
    yield from _check_journal()
    yield from _check_cache()


def judge_space(check: str, free: int, total: int, where: str) -> Finding:
    """Whether so many free bytes of a file system are enough."""
    text = f"{size_text(free)} of {size_text(total)} are free {where}."
    if free < _NOTHING:
        return failure(check, text, "Make room: what is logged cannot be stored without.")
    if free < _LITTLE or free < total // 50:
        return warning(check, text, "Make room, or free what nothing needs by `holdfast gc`.")
    return ok(check, text)


def _versions() -> Finding:
    shown = [f"holdfast {version('holdfast')}", f"Python {platform.python_version()}"]
    for package in ("grpcio", "protobuf"):
        try:
            shown.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            return failure("client", f"{package} is not installed.", "Install holdfast again: `pip install holdfast`.")
    return ok("client", f"{', '.join(shown)}.")


def _check_journal() -> Iterator[Finding]:
    try:
        root = journal_root()
    except RuntimeError:
        yield warning(
            "journal",
            "This user has no home directory: what cannot be sent at once waits in memory.",
            f"Set {DIRECTORY_VARIABLE} to a directory that survives the process.",
        )
        return
    yield from _check_directory("journal", root, DIRECTORY_VARIABLE)
    try:
        left = [journal for journal in sync(dry_run=True) if journal.waiting or journal.refused]
    except (HoldfastError, OSError) as error:
        yield failure("unsent", f"The journal cannot be read: {error}", f"Look at {root}.")
        return
    if left:
        uris = ", ".join(sorted({journal.uri for journal in left}))
        waiting = sum(journal.waiting for journal in left)
        yield warning(
            "unsent",
            f"{count_text(waiting, 'change')} of processes that ended wait for {uris}.",
            "Send them by `holdfast sync` when that server can be reached.",
        )
    else:
        yield ok("unsent", "Nothing waits that processes which ended could not send.")


def _check_cache() -> Iterator[Finding]:
    directory = cache_directory()
    if directory is None:
        yield skipped("cache", f"No cache of models is kept ({CACHE_VARIABLE} is not set).")
    else:
        yield from _check_directory("cache", directory, CACHE_VARIABLE)


def _check_directory(check: str, path: Path, setting: str) -> Iterator[Finding]:
    """Whether a directory can be used, is this user's alone, and has room; or could be made."""
    try:
        found = path.stat()
    except FileNotFoundError:
        yield _judge_absent(check, path, setting)
        return
    except OSError as error:
        yield failure(check, f"{path} cannot be looked at: {error.strerror}.", f"Choose another one by {setting}.")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield failure(check, f"{path} is not a directory.", f"Move it away, or choose another one by {setting}.")
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield failure(
            check,
            f"{path} cannot be written by this user.",
            f"Make it this user's (chown), or choose another one by {setting}.",
        )
    elif os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        yield warning(
            check,
            f"{path} can be read by other users of this machine (mode {stat.S_IMODE(found.st_mode):o}).",
            f"Make it private: `chmod 700 {path}`.",
        )
    else:
        space = shutil.disk_usage(path)
        yield judge_space(check, space.free, space.total, f"at {path}")


def _judge_absent(check: str, path: Path, setting: str) -> Finding:
    parent = path
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if os.access(parent, os.W_OK | os.X_OK):
        return ok(check, f"{path} is not there yet; it is made when it is needed.")
    return failure(
        check,
        f"{path} cannot be made: {parent} cannot be written by this user.",
        f"Choose another one by {setting}.",
    )
