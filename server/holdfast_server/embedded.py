"""The embedded server: a child process on a Unix socket that lives as long as clients need it.

``python -m holdfast_server.embedded DATA_DIR SOCKET READY_FD`` is started by the first client on a data directory.
Clients hold a shared ``flock`` on ``DATA_DIR/clients.lock``; the server exits when it can take it exclusively, so that
nothing is left behind however the clients ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from pathlib import Path

from holdfast_server import logs
from holdfast_server.app import App
from holdfast_server.config import ServerConfig
from holdfast_server.errors import DomainError
from holdfast_server.timing_out import within

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
CLIENTS_LOCK = "clients.lock"
START_LOCK = "start.lock"
ADDRESS_FILE = "server.address"


async def serve(data_dir: Path, socket: Path, ready_fd: int) -> None:
    """Serve until no client is left, then remove the address."""
    app = App(ServerConfig(data_dir=data_dir, addresses=(f"unix:{socket}",), drain_timeout=5.0), embedded=True)
    await app.start()
    _publish(data_dir, socket)
    with contextlib.suppress(BrokenPipeError):  # the client that started this server is gone; the lock tells below
        os.write(ready_fd, b"ready")
    os.close(ready_fd)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    lock = os.open(data_dir / CLIENTS_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not stopped.is_set() and not _alone(lock):
        with contextlib.suppress(asyncio.TimeoutError):
            async with within(POLL_SECONDS):
                await stopped.wait()
    # The exclusive lock is held from here on: a client that comes now waits, finds no address, and starts a server.
    if not stopped.is_set():
        await app.leases.end_embedded()
    _remove(data_dir / ADDRESS_FILE)
    await app.stop()
    _remove(socket)
    if socket.parent != data_dir:
        _remove_directory(socket.parent, data_dir / START_LOCK)
    os.close(lock)


def _alone(lock: int) -> bool:
    """Whether no client holds the lock; if so it is now held exclusively."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _publish(data_dir: Path, socket: Path) -> None:
    """Tell clients where the server is, once it can be connected to."""
    socket.chmod(0o600)
    temporary = data_dir / (ADDRESS_FILE + ".new")
    temporary.write_text(f"unix:{socket}")
    temporary.rename(data_dir / ADDRESS_FILE)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _remove_directory(directory: Path, start_lock: Path) -> None:
    """Remove the directory that the socket had of its own, unless a client is starting another server there."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as held:
        with contextlib.suppress(FileNotFoundError):  # on a data directory that is gone nobody starts one
            fcntl.flock(held.enter_context(start_lock.open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        directory.rmdir()


def main() -> None:
    """Entry point of the child process."""
    data_dir, socket, ready_fd = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    os.umask(0o077)
    logs.configure(level="warning", log_format="human")
    try:
        asyncio.run(serve(data_dir, socket, ready_fd))
    except DomainError as error:
        # The client that started this server shows its last line.
        sys.exit(error.message)


if __name__ == "__main__":
    main()
