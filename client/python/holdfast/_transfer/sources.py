"""What is to be logged: local files found and checked before anything is sent."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import InvalidArgumentError, LocalFileError
from holdfast.format.paths import broken_rule

SYMLINKS = ("inside", "follow")


@dataclass(slots=True)  # not frozen, which would triple the time to make one; nobody changes it
class Source:
    """A file or directory to put at ``path`` of a tree.

    Attributes:
        path: Artifact path.
        local: Path of the local file; None for directories and for data in memory.
        size: Bytes.
        executable: Whether its owner may execute it.
        is_directory: Whether it is a directory.
        data: The content, when it is in memory.
        stamp: Identity, size and time of change when it was found; another one later means that it changed.
        offset: Where in the local file the content begins.
    """

    path: str
    local: str | None = None
    size: int = 0
    executable: bool = False
    is_directory: bool = False
    data: bytes | None = None
    stamp: tuple[int, ...] = ()
    offset: int = 0


def stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written or replaced."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def check_artifact_path(path: str) -> str:
    """Return ``path`` if the format allows it.

    Raises:
        InvalidArgumentError: It breaks a rule, which the message states.
    """
    rule = broken_rule(path)
    if rule:
        raise InvalidArgumentError(f"The artifact path {path[:200]!a} is refused: {rule}.", reason="INVALID_PATH")
    return path


def join_path(artifact_path: str | None, name: str) -> str:
    """``name`` below ``artifact_path``; None or empty is the root."""
    return f"{artifact_path}/{name}" if artifact_path else name


def find_path(
    local_path: str | os.PathLike[str], artifact_path: str | None, *, symlinks: str = "inside"
) -> list[Source]:
    """A file at ``<artifact_path>/<basename>``, or a directory with its tree below ``<artifact_path>/<dirname>``.

    Raises:
        FileNotFoundError: There is nothing at ``local_path``.
        LocalFileError: A socket, device or fifo; a link that leaves the directory; a name that is not UTF-8.
        InvalidArgumentError: An artifact path breaks a rule.
    """
    local = _existing(local_path)
    path = join_path(
        artifact_path, _utf8_name(local.resolve().name if local.name in {"", ".", ".."} else local.name, local)
    )
    return find_as(local, check_artifact_path(path), symlinks=symlinks)


def find_as(local_path: str | os.PathLike[str], path: str, *, symlinks: str = "inside") -> list[Source]:
    """A file at ``path``, or a directory there with its tree below it; raises as ``find_path`` does."""
    local = _existing(local_path)
    if local.is_dir():
        return list(_walk(local, path, symlinks))
    return [_file(os.fspath(local), local.stat(), path)]


def find_contents(
    local_dir: str | os.PathLike[str], artifact_path: str | None, *, symlinks: str = "inside"
) -> list[Source]:
    """The contents of a directory below ``artifact_path``.

    Raises:
        FileNotFoundError: There is nothing at ``local_dir``.
        NotADirectoryError: It is a file; use ``log_artifact``.
        LocalFileError: As ``find_path``.
        InvalidArgumentError: An artifact path breaks a rule.
    """
    local = _existing(local_dir)
    if not local.is_dir():
        raise NotADirectoryError(f"{local} is a file, not a directory. Use log_artifact to log a single file.")
    return list(_walk(local, artifact_path or "", symlinks))


def _existing(local_path: str | os.PathLike[str]) -> Path:
    local = Path(local_path)
    if not local.exists():
        kind = "A broken symbolic link" if local.is_symlink() else "No file or directory"
        raise FileNotFoundError(f"{kind}: {local}")
    return local


def _walk(root: Path, base: str, symlinks: str) -> Iterator[Source]:
    if symlinks not in SYMLINKS:
        raise InvalidArgumentError(f"symlinks={symlinks!r} is unknown; choose one of {', '.join(map(repr, SYMLINKS))}.")
    real_root = os.path.realpath(root)
    if base:
        yield Source(check_artifact_path(base), is_directory=True)
    stack = [(os.fspath(root), base, frozenset({real_root}))]
    while stack:
        folder, path, above = stack.pop()
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            inner = check_artifact_path(join_path(path, _utf8_name(entry.name, entry.path)))
            if entry.is_symlink():
                _check_link(entry.path, real_root, symlinks)
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real in above:
                    raise LocalFileError(f"The symbolic link {entry.path} leads back to a directory above it.")
                yield Source(inner, is_directory=True)
                stack.append((entry.path, inner, above | {real}))
            else:
                yield _file(entry.path, entry.stat(), inner)


def _check_link(path: str, real_root: str, symlinks: str) -> None:
    target = os.path.realpath(path)
    if not os.path.exists(target):  # noqa: PTH110 - as the functions around it
        raise LocalFileError(f"The symbolic link {path} is broken. Remove it, or log the files beside it one by one.")
    inside = target == real_root or target.startswith(real_root.rstrip(os.sep) + os.sep)
    if not inside and symlinks != "follow":
        raise LocalFileError(
            f"The symbolic link {path} leaves the directory that is logged. Pass symlinks='follow' to log its target."
        )


def _file(local: str, status: os.stat_result, path: str) -> Source:
    if not stat.S_ISREG(status.st_mode):
        kinds = ((stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "fifo"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))
        kind = next((name for test, name in kinds if test(status.st_mode)), "special file")
        raise LocalFileError(f"{local} is a {kind}; only files and directories can be logged.")
    executable = bool(status.st_mode & stat.S_IXUSR)
    return Source(path, local, status.st_size, executable, stamp=stamp_of(status))


def _utf8_name(name: str, local: str | os.PathLike[str]) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise LocalFileError(
            f"The name of {os.fsencode(local)!r} is not valid UTF-8. Rename it before logging."
        ) from None
    return name
