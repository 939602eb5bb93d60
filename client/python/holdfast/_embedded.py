"""Starts the embedded server of a data directory, or finds the one that runs already."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import secrets
import select
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from holdfast.errors import UnavailableError

CLIENTS_LOCK = "clients.lock"
START_LOCK = "start.lock"
ADDRESS_FILE = "server.address"
LOG_FILE = "server.log"
# A migration of a large database may take a while.
START_SECONDS = 120.0
# The most that a Unix socket's path may have on Linux; others allow a little less.
MAX_SOCKET_PATH = 100

_lock = threading.Lock()
# Shared locks that keep servers alive, and how many channels here need each; the system drops them with this process.
_held: dict[Path, tuple[IO[str], int]] = {}


def hold(data_dir: Path) -> None:
    """Keep the server of ``data_dir`` alive, once it runs, until ``release`` or the end of this process."""
    data_dir = _resolved(data_dir)
    with _lock:
        _make_private(data_dir)
        lock, count = _held.get(data_dir, (None, 0))
        if lock is None:
            # Not inherited by programs that this process starts: those must not keep the server alive.
            with _usable(data_dir):
                lock = (data_dir / CLIENTS_LOCK).open("a")
            fcntl.flock(lock, fcntl.LOCK_SH)  # waits for a server that is stopping, which holds it exclusively
        _held[data_dir] = (lock, count + 1)


def release(data_dir: Path) -> None:
    """Undo one ``hold``; a server that nobody holds ends by itself."""
    data_dir = _resolved(data_dir)
    with _lock:
        lock, count = _held.pop(data_dir)
        if count > 1:
            _held[data_dir] = (lock, count - 1)
        else:
            lock.close()


def attach(data_dir: Path) -> str:
    """The gRPC address of the server of ``data_dir``, which is started when there is none. ``hold`` it first.

    Raises:
        UnavailableError: It cannot be started; the message says why, or where its log is.
    """
    data_dir = _resolved(data_dir)
    with _lock, (data_dir / START_LOCK).open("w") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        address = _running(data_dir)
        return address if address is not None else _start(data_dir)


def _resolved(data_dir: Path) -> Path:
    return data_dir.expanduser().resolve()


def _running(data_dir: Path) -> str | None:
    """The address of a server that accepts connections, or None."""
    try:
        address = (data_dir / ADDRESS_FILE).read_text()
    except FileNotFoundError:
        return None
    socket_path = address.removeprefix("unix:")
    if _accepts(socket_path):
        return address
    # Its server was killed. The start lock is held, so nobody else is about to use the name.
    Path(socket_path).unlink(missing_ok=True)
    return None


def _accepts(path: str) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True  # a server is there that has not accepted the last ones yet
        except OSError:
            return False
    return True


def _start(data_dir: Path) -> str:
    if importlib.util.find_spec("holdfast_server") is None or importlib.util.find_spec("sqlite_utils") is None:
        raise UnavailableError(
            "No server is configured, and the embedded one is not installed. Either install it: "
            "pip install 'holdfast[server]', or name a server: holdfast.connect('holdfast://host:5600'), or by "
            "HOLDFAST_URI."
        )
    for _ in range(2):
        socket_path = _socket_path(data_dir)
        code = _run(data_dir, socket_path)
        if code is None:
            return f"unix:{socket_path}"
        if socket_path.parent.is_dir():
            break
        # Another client that looked before took the directory for that of a killed server.
    raise UnavailableError(
        f"The embedded server of {data_dir} did not start (exit code {code}). {_last_line(data_dir / LOG_FILE)}"
    )


def _run(data_dir: Path, socket_path: Path) -> int | None:
    """Start a server and wait until it serves; returns its exit code when it does not."""
    ready, ready_child = os.pipe()
    with (data_dir / LOG_FILE).open("ab") as log:
        # A session of its own: Ctrl-C in the terminal must not reach it while the client still logs.
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast_server.embedded", str(data_dir), str(socket_path), str(ready_child)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(ready_child,),
            start_new_session=True,
            cwd="/",
        )
    os.close(ready_child)
    with os.fdopen(ready, "rb") as pipe:
        answered, _, _ = select.select([pipe], [], [], START_SECONDS)
        started = bool(answered) and pipe.read(5) == b"ready"
    if not started:
        process.kill()
        return process.wait()
    _reap_later(process)
    return None


def _reap_later(process: subprocess.Popen[bytes]) -> None:
    """Wait for the server in a thread, so that it is no zombie when it ends before this process does."""
    threading.Thread(target=process.wait, name="holdfast-embedded-reaper", daemon=True).start()


def _socket_path(data_dir: Path) -> Path:
    """A name of its own for each server: binding a socket that another server holds would cut that one off."""
    name = f"{secrets.token_hex(4)}.sock"
    inside = data_dir / name
    if len(os.fsencode(inside)) <= MAX_SOCKET_PATH:
        return inside
    temporary, prefix = Path(tempfile.gettempdir()), f"holdfast-{os.getuid()}-"
    short = temporary / f"{prefix}{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"
    remove_stale_directories(temporary, prefix)
    _make_private(short)
    status = short.lstat()
    # Its name can be foreseen, in a directory where everybody may write.
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077 or not stat.S_ISDIR(status.st_mode):
        raise UnavailableError(
            f"{short} is not a private directory of this user; remove it, or use a shorter data path."
        )
    with contextlib.suppress(FileNotFoundError):  # then the server does not start, and is started again
        os.utime(short)  # young again, so that no other client removes what a killed server left
    return short / name


def remove_stale_directories(temporary: Path, prefix: str) -> None:
    """Remove the directories of sockets of servers that were killed and never started again; errors are passed over.

    A directory that changed lately stays: the server that it was made for may still be starting.
    """
    newest = time.time() - 2 * START_SECONDS
    with contextlib.suppress(OSError), os.scandir(temporary) as entries:
        for entry in entries:
            if re.fullmatch(re.escape(prefix) + "[0-9a-f]{12}", entry.name) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_uid == os.getuid() and status.st_mtime < newest:
                        _remove_if_dead(Path(entry.path))


def _remove_if_dead(directory: Path) -> None:
    sockets = list(directory.glob("*.sock"))
    if not any(_accepts(str(path)) for path in sockets):
        for path in sockets:
            path.unlink(missing_ok=True)
        directory.rmdir()


def _make_private(path: Path) -> None:
    with _usable(path):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = path.stat()
    if status.st_uid != os.getuid() and os.getuid() != 0:
        raise UnavailableError(f"{path} belongs to another user; choose a data directory of your own.")


@contextlib.contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Say what to do about a directory that cannot be written."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"The data directory {path} cannot be used: {error.strerror}. Set HOLDFAST_URI to a directory that can be "
            "written, or to a server such as holdfast://host:5600."
        ) from error


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        if lines:
            return f"{lines[-1]} (more in {log})"
    return f"Its log is {log}."


def _forget_after_fork() -> None:
    """A forked child shares the parent's open files and with them its locks, so it needs none of its own."""
    global _lock  # noqa: PLW0603 - the parent's lock may be held by a thread that does not exist here
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
