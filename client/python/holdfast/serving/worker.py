"""One process that answers: loads the model, binds both ports, serves until a signal, and drains."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import uvicorn

from holdfast import _connection
from holdfast.errors import HoldfastError
from holdfast.models._files import is_remote
from holdfast.serving.config import ServingConfig
from holdfast.serving.following import AliasFollower
from holdfast.serving.grpc_service import GrpcServer
from holdfast.serving.http_app import http_app
from holdfast.serving.listening import bind, host_port
from holdfast.serving.metrics import ServingMetrics
from holdfast.serving.model import Identity, ModelError, load_served
from holdfast.serving.predicting import Predictor
from holdfast.serving.resolving import alias_of, identify
from holdfast.serving.state import ServerState

__all__ = ["Announcement", "main", "serve"]

logger = logging.getLogger("holdfast.serving")

EXIT_FAILED, EXIT_USAGE = 1, 2
# Longer than the minute after which the usual load balancers drop an idle connection, so that they do it first.
_KEEP_ALIVE = 75
# Seconds after the drain in which those who got no prediction are told so.
_LAST_WORDS = 1.0


class _HttpServer(uvicorn.Server):
    """uvicorn, which leaves signals to us: HTTP and gRPC stop together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class Announcement:
    """Tells whoever started this process that it serves; one line, so that it can also be read by people."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def make(self, identity: Identity, http: str, grpc: str | None) -> None:
        """Say it."""
        line = f"Holdfast {_version()} serving {identity} on http://{http}" + (f" and gRPC on {grpc}" if grpc else "")
        if self._descriptor is None:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - the one line that whoever started it waits for
        else:
            os.write(self._descriptor, f"{line}\n".encode())
            os.close(self._descriptor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of several workers; the supervisor calls this with the settings and the ports that it holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--announce", type=int, required=True)
    options = parser.parse_args(arguments)
    return serve(ServingConfig.from_json(options.config), Announcement(options.announce), shared=True)


def serve(config: ServingConfig, announcement: Announcement, *, shared: bool) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code, after one line on standard error when it is not 0.

    Args:
        config: The settings; its ports are not 0 when they are shared.
        announcement: Made once requests are answered.
        shared: Other workers listen on the same ports.
    """
    _log_to_stderr(config)
    try:
        _loop().run_until_complete(_serve(config, announcement, shared=shared))
    except (ModelError, OSError, HoldfastError) as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - what is told of a failed start
        return EXIT_FAILED
    return 0


async def _serve(config: ServingConfig, announcement: Announcement, *, shared: bool) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # Before the model is loaded, which may take minutes: a port that is taken is told at once. It listens afterwards.
    with bind(config.host, config.port, shared=shared) as listener:
        starting = asyncio.ensure_future(_open(config))
        stop = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            os._exit(0)  # no request was answered yet, and the thread that loads cannot be stopped
        stop.cancel()
        state, follower = starting.result()
        await _answer(state, follower, listener, announcement, stopping, shared=shared)


async def _open(config: ServingConfig) -> tuple[ServerState, AliasFollower | None]:
    client: Any = None
    identity = Identity(config.model_uri)
    if is_remote(config.model_uri):
        client = await asyncio.to_thread(_connection.connect, config.tracking_uri)
        identity = await asyncio.to_thread(identify, client, config.model_uri)
    model = await asyncio.to_thread(load_served, identity)
    metrics = ServingMetrics()
    metrics.serves(model.identity, model.model_id, now=True)
    predictor = Predictor(
        model,
        metrics,
        threads=config.threads,
        max_waiting=config.max_waiting,
        batch_size=config.batch_size,
        batch_wait=config.batch_wait,
    )
    follower = None
    if config.follow:
        follower = AliasFollower(
            client,
            *alias_of(config.model_uri),
            predictor=predictor,
            metrics=metrics,
            load_timeout=config.load_timeout,
        )
    return ServerState(config, _version(), predictor, metrics, follower), follower


async def _answer(
    state: ServerState,
    follower: AliasFollower | None,
    listener: socket.socket,
    announcement: Announcement,
    stopping: asyncio.Event,
    *,
    shared: bool,
) -> None:
    config = state.config
    state.predictor.start()
    grpc_server = None
    if config.grpc_port is not None:
        grpc_server = GrpcServer(state, host_port(config.host, config.grpc_port), shared=shared)
        await grpc_server.start()
    http_server = _HttpServer(
        uvicorn.Config(
            http_app(state),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=math.ceil(config.drain_timeout + _LAST_WORDS),
            ws="none",
        )
    )
    serving = asyncio.ensure_future(http_server.serve(sockets=[listener]))
    while not http_server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.001)
    if follower is not None:
        follower.start()
    announcement.make(
        state.model.identity,
        host_port(config.host, listener.getsockname()[1]),
        host_port(config.host, grpc_server.port) if grpc_server is not None else None,
    )
    await stopping.wait()
    await _drain(state, follower, http_server, serving, grpc_server)


async def _drain(
    state: ServerState,
    follower: AliasFollower | None,
    http_server: _HttpServer,
    serving: asyncio.Future[None],
    grpc_server: GrpcServer | None,
) -> None:
    """Refuse what is new, answer what came; a second signal ends the process at once."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, os._exit, 128 + number)
    logger.info("stopping: requests in progress have %g s", state.config.drain_timeout)
    state.stopping = True
    http_server.should_exit = True
    if follower is not None:
        follower.stop()
    loop.call_later(state.config.drain_timeout, state.predictor.abandon)
    if grpc_server is not None:
        await grpc_server.stop(state.config.drain_timeout + _LAST_WORDS)
    await serving
    state.predictor.stop()


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def _version() -> str:
    return metadata.version("holdfast")


def _log_to_stderr(config: ServingConfig) -> None:
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that it starts and stops is said by ourselves
    logging.captureWarnings(capture=True)
    warnings.simplefilter("once")
    # Each request's columns are compared with the signature's; see plain_estimators.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    threading.excepthook = _log_thread_error


def _log_thread_error(arguments: threading.ExceptHookArgs) -> None:
    logger.error("a thread ended", exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback))  # type: ignore[arg-type]


if __name__ == "__main__":
    code = main()
    # A prediction that never ends must not keep the process.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
