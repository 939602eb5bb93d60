"""``python -m holdfast_server``: a server in the foreground, until SIGTERM or SIGINT; ``config`` shows its settings."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import logging
import os
import socket
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast_server import logs
from holdfast_server.config import ServerConfig
from holdfast_server.errors import DomainError, Unavailable
from holdfast_server.exposure import UsageError, exposure_warning
from holdfast_server.host import URGENT_SIGNALS, raise_descriptor_limit, share_malloc_arenas, stopping_signals
from holdfast_server.settings import Process, read, resolve
from holdfast_server.settings.report import show_settings
from holdfast_server.storage.privacy import make_data_directory, make_socket_directory
from holdfast_server.tls import TlsFileError
from holdfast_server.workers.role import Announcement, WorkerRole

if TYPE_CHECKING:
    from holdfast_server.app import App

logger = logging.getLogger("holdfast_server")

EXIT_FAILED = 1
EXIT_USAGE = 2


class StartError(Exception):
    """The server cannot start as asked: an address is taken, a directory cannot be used."""


def main(arguments: Sequence[str] | None = None, worker: WorkerRole | None = None) -> int:
    """Run a server, or one of its ``worker`` processes; returns the exit code.

    0 after a stop by signal, 2 when a repetition would not help (bad settings, an address in use, a damaged database),
    1 when something else prevents the start, such as a store that does not answer. One line on standard error says why.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--version" in arguments:
        print(f"holdfast {version('holdfast')}")  # noqa: T201 - what was asked for
        return 0
    try:
        if arguments[:1] == ["config"]:
            return show_settings(arguments[1:])
        process = read(arguments)
        logs.configure(level=process.log_level, log_format=process.log_format)
        # What is made from here on is its owner's alone: data, and sockets, to which connecting needs write permission.
        os.umask(0o077)
        # gRPC's own lines, one for each handshake that fails, are in no format of ours and without end.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        share_malloc_arenas()
        raise_descriptor_limit()
        if worker is None:
            _warn_of_exposure(process.config)
            if process.workers > 1:
                return _supervise(process, arguments)
        with _unix_sockets_held(process.config), _owner_socket_held(process.config, worker) as config:
            asyncio.run(serve(config, worker))
    except UsageError as error:
        _say(f"{error} See holdfast server --help.")
        return EXIT_USAGE
    except (StartError, DomainError) as error:
        _say(str(error))
        return EXIT_FAILED if isinstance(error, Unavailable) else EXIT_USAGE
    return 0


def _supervise(process: Process, arguments: Sequence[str]) -> int:
    from holdfast_server.workers.ports import port_held
    from holdfast_server.workers.supervisor import Supervisor

    config = process.config
    host, _, port = next(a for a in config.addresses if not a.startswith("unix:")).rpartition(":")
    with contextlib.ExitStack() as held:
        try:
            shared = held.enter_context(port_held(host.strip("[]"), int(port)))
        except OSError as error:
            raise StartError(_why_not_bound(config, error)) from error
        return Supervisor(
            resolve(arguments),
            workers=process.workers,
            port=shared,
            metrics_port=int(config.metrics_address.rpartition(":")[2] or 0),
            drain_timeout=config.drain_timeout,
            say=_say,
        ).run()


async def serve(config: ServerConfig, worker: WorkerRole | None = None) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then let calls in progress finish.

    Another of the first two ends the process at once.

    Raises:
        StartError: An address cannot be bound, or the data directory or a TLS file cannot be used.
        DomainError: The database or the store cannot be used.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        for number in URGENT_SIGNALS:
            loop.remove_signal_handler(number)

    for number in stopping_signals():
        loop.add_signal_handler(number, stop)
    if worker is not None:
        worker.when_orphaned(loop, stop)
    app = await loop.run_in_executor(None, _open, config, worker is not None)
    try:
        try:
            await app.start()
        except OSError as error:
            raise StartError(_why_not_bound(config, error)) from error
        for path in _unix_sockets(config):
            path.chmod(0o600)  # gRPC makes it executable
        _tune_collector()
        line = f"Holdfast {version('holdfast')} serving on {_shown_addresses(app)}, data in {_shown_data(config)}"
        metrics_port = app.operations.port if app.operations is not None else 0
        if worker is not None:
            worker.announce(Announcement(line, metrics_port))
        else:
            _say(line)
            if metrics_port:
                _say(f"Metrics on http://{config.metrics_address.rpartition(':')[0]}:{metrics_port}/metrics")
        await stopping.wait()
        logger.info("stopping: calls in progress have %g s", config.drain_timeout)
    finally:
        await app.stop()


def _tune_collector() -> None:
    """Look for cyclic garbage less often, and never among what the start made.

    Requests make many small objects and hardly a cycle: with Python's thresholds the search took a twentieth of an
    upload of small files.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _warn_of_exposure(config: ServerConfig) -> None:
    """Say loudly that strangers can get in: to whoever starts the server, and to whoever reads its log later."""
    lines = exposure_warning(config)
    if lines:
        _say("\n".join(lines))
        logger.warning("%s", " ".join(line.strip() for line in lines))


def _open(config: ServerConfig, shares_ports: bool) -> App:
    from holdfast_server.app import App  # grpc and minio take a while; --help and mistakes need neither

    try:
        return App(config, shares_ports=shares_ports)
    except OSError as error:
        raise StartError(f"The data directory {config.data_dir} cannot be used: {error.strerror or error}.") from error
    except TlsFileError as error:
        raise StartError(str(error)) from None


def _shown_addresses(app: App) -> str:
    """As clients write them: ``holdfast://127.0.0.1:5600`` or ``unix:/path``, with the ports really bound."""
    shown = []
    for address, port in zip(app.config.addresses, app.ports, strict=True):
        if address.startswith("unix:"):
            shown.append(address)
        else:
            scheme = "holdfast" if app.config.tls_cert is None else "holdfast+tls"
            shown.append(f"{scheme}://{address.rpartition(':')[0]}:{port}")
    return " and ".join(shown)


def _why_not_bound(config: ServerConfig, error: OSError) -> str:
    """What the operating system says about the address that gRPC could not bind; gRPC itself does not tell."""
    for address in config.addresses:
        if address.startswith("unix:"):
            continue
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        reason = _bind_error(host, int(port))
        if reason == errno.EADDRINUSE:
            return f"Port {port} of {host} is in use: stop what listens there, or choose another by --port."
        if reason in {errno.EACCES, errno.EPERM}:
            return f"Port {port} of {host} may not be bound by this user: choose one above 1023 by --port."
        if reason == errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this host: choose another by --host."
    return f"{error}."


def _bind_error(host: str, port: int) -> int | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno
    return None


@contextlib.contextmanager
def _unix_sockets_held(config: ServerConfig) -> Iterator[None]:
    """Hold a lock beside each Unix socket.

    Binding a socket that another gRPC server holds succeeds and cuts that one off, so the socket itself cannot tell.
    """
    with contextlib.ExitStack() as held:
        for path in _unix_sockets(config):
            held.enter_context(_unix_socket_held(path))
        yield


def _unix_sockets(config: ServerConfig) -> list[Path]:
    return [Path(address.removeprefix("unix:")) for address in config.addresses if address.startswith("unix:")]


@contextlib.contextmanager
def _owner_socket_held(config: ServerConfig, worker: WorkerRole | None) -> Iterator[ServerConfig]:
    """The configuration with the socket, in the data directory, by which its owner calls without a token.

    It is how the first token is made. Where it cannot be, the log says what to do instead. Of several workers the first
    has it: a second that binds it would cut the first one off.
    """
    path = config.owner_socket
    with contextlib.ExitStack() as held:
        if config.authenticates and (worker is None or worker.is_first) and f"unix:{path}" not in config.addresses:
            try:
                make_data_directory(config.data_dir)
                held.enter_context(_unix_socket_held(path))
                config = replace(config, addresses=(*config.addresses, f"unix:{path}"))
            except (StartError, OSError) as error:
                logger.warning("%s Make the first token through a socket of its own: --unix PATH.", error)
        yield config


@contextlib.contextmanager
def _unix_socket_held(path: Path) -> Iterator[None]:
    if len(os.fsencode(path)) > 100:
        raise StartError(f"The Unix socket's path {path} has more than 100 bytes: choose a shorter one by --unix.")
    # Not removed at the end: whoever waits for a removed file's lock holds the lock of nothing.
    lock_path = path.with_name(path.name + ".lock")
    try:
        make_socket_directory(path.parent)
        lock = lock_path.open("a")
    except OSError as error:
        raise StartError(f"The Unix socket {path} cannot be made: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"The Unix socket {path} is in use by another server.") from None
        if not _is_socket(path) and os.path.lexists(path):
            raise StartError(f"{path} is there and is no Unix socket: choose another path, or move away what is there.")
        if _is_socket(path) and _is_listened_to(path):
            raise StartError(f"The Unix socket {path} is in use by another program.")
        try:
            yield
        finally:
            if _is_socket(path):
                path.unlink(missing_ok=True)


def _is_socket(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISSOCK(path.lstat().st_mode)
    return False


def _is_listened_to(path: Path) -> bool:
    """Whether somebody has a socket open; a server that was killed leaves one that nobody has."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # such as one of another type
            return True
    return True


def _shown_data(config: ServerConfig) -> str:
    folder = str(config.data_dir.absolute())
    return f"{folder}, blocks in {config.store}" if config.store else folder


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the one line that whoever started it waits for


if __name__ == "__main__":
    sys.exit(main())
