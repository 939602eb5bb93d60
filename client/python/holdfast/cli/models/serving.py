"""``holdfast models serve``."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

MIB = 1 << 20
_UNITS = {"": 1, "KIB": 1 << 10, "MIB": MIB, "GIB": 1 << 30}


F = TypeVar("F", bound=Callable[..., Any])


def _size(_: click.Context, __: click.Parameter, text: str) -> int:
    """Read ``16MiB``."""
    found = re.fullmatch(r"([0-9]{1,15}) ?([KMG]iB)?", text, re.IGNORECASE)
    if not found or not int(found[1]):
        raise click.BadParameter("a size is a number of bytes, or of KiB, MiB or GiB, such as 16MiB.")
    return int(found[1]) * _UNITS[(found[2] or "").upper()]


def _grpc_port(_: click.Context, __: click.Parameter, text: str) -> int | str:
    """Read a port, ``auto`` or ``off``."""
    if text in ("auto", "off"):
        return text
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise click.BadParameter("it is a port from 0 to 65535, auto or off.")
    return int(text)


def _option(*names: str, **settings: Any) -> Callable[[F], F]:
    """An option that a variable can give as well: ``HOLDFAST_SERVE_`` and its name."""
    name = names[-1].removeprefix("--").partition("/")[0].replace("-", "_").upper()
    shown = "default" in settings
    return click.option(*names, envvar=f"HOLDFAST_SERVE_{name}", show_envvar=True, show_default=shown, **settings)


_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("serve")
@_option(
    "-m",
    "--model-uri",
    required=True,
    metavar="URI",
    help="models:/<name>@<alias>, any other artifact URI, or a directory.",
)
@_option("--follow", is_flag=True, help="Change to another version whenever the alias names one.")
@_option(
    "--load-timeout",
    metavar="SECONDS",
    default=600.0,
    type=click.FloatRange(0, 7 * 24 * 3600, min_open=True),
    help="Seconds that a version that --follow takes over has for loading, else it is refused.",
)
@_option("--host", default="127.0.0.1", help="Address or name to listen on.")
@_option("-p", "--port", default=5000, type=click.IntRange(0, 65535), help="Port of HTTP; 0 picks a free one.")
@_option(
    "--grpc-port",
    default="auto",
    metavar="PORT",
    callback=_grpc_port,
    help="Port of gRPC; auto is the next one after --port if it is free, else any; or off.",
)
@_option(
    "--insecure", is_flag=True, help="Listen on more than loopback, without TLS or login: for private networks only."
)
@_option(
    "-w",
    "--workers",
    metavar="COUNT",
    default=1,
    type=click.IntRange(1, 256),
    help="Processes that answer, each with the model in memory.",
)
@_option(
    "--threads", metavar="COUNT", default=2, type=click.IntRange(1, 256), help="Threads of each worker that predict."
)
@_option(
    "--batch-size",
    metavar="COUNT",
    default=1,
    type=click.IntRange(1, 4096),
    help="Requests that may be predicted together; 1 predicts each alone.",
)
@_option(
    "--batch-wait-ms",
    metavar="MILLISECONDS",
    default=0.0,
    type=click.FloatRange(0, 10_000),
    help="How long an incomplete batch waits for more.",
)
@_option(
    "--max-request-size",
    default="16MiB",
    metavar="SIZE",
    callback=_size,
    help="The largest body or message; larger ones are answered 413.",
)
@_option(
    "--max-waiting",
    metavar="COUNT",
    default=1000,
    type=click.IntRange(1),
    help="Requests of each worker that may wait for a thread; more are answered 503.",
)
@_option(
    "-t",
    "--request-timeout",
    metavar="SECONDS",
    default=60.0,
    type=_POSITIVE,
    help="Seconds within which a request is answered, else 504.",
)
@_option(
    "--drain-timeout",
    metavar="SECONDS",
    default=10.0,
    type=_POSITIVE,
    help="Seconds that requests in progress get when the server stops.",
)
@_option(
    "--log-level",
    default="info",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="The least that is logged.",
)
@click.option("--env-manager", default="local", metavar="NAME", help="As for MLflow; local is the only one here.")
@click.pass_context
def serve(
    ctx: click.Context,
    /,
    *,
    grpc_port: int | str,
    insecure: bool,
    batch_wait_ms: float,
    env_manager: str,
    **settings: Any,
) -> None:
    """Serve a model over HTTP, by MLflow's scoring protocol, and over gRPC.

    It runs in this Python's environment. docs/serving.md is the guide.
    """
    if env_manager != "local":
        raise click.UsageError(
            "Holdfast serves in the environment that it runs in: install requirements.txt of the package there."
        )
    host = settings["host"] = settings["host"].removeprefix("[").removesuffix("]")
    if not insecure and not _is_loopback(host):
        raise click.UsageError(
            f"{host} is not a loopback address, and without TLS anyone who reaches it can ask the model. Listen on "
            "127.0.0.1 behind a proxy that speaks TLS, or give --insecure when the network is private."
        )
    _require_libraries()
    from holdfast.serving.config import ServingConfig
    from holdfast.serving.listening import free_port_near

    port: int | None = None if grpc_port == "off" else grpc_port if isinstance(grpc_port, int) else 0
    if grpc_port == "auto" and 0 < settings["port"] < 65535:
        port = free_port_near(host, settings["port"] + 1)
    config = ServingConfig(
        tracking_uri=ctx.find_root().obj, grpc_port=port, batch_wait=batch_wait_ms / 1000, **settings
    )
    if config.follow:
        from holdfast.serving.resolving import alias_of

        alias_of(config.model_uri)
    _leave(_run(config))


def _run(config: Any) -> int:
    if config.workers > 1:
        from holdfast.serving.supervisor import supervise

        return supervise(config)
    from holdfast.serving.worker import Announcement
    from holdfast.serving.worker import serve as serve_here

    return serve_here(config, Announcement(None), shared=False)


def _leave(code: int) -> NoReturn:
    """End the process; a prediction that never ends must not keep it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _require_libraries() -> None:
    from importlib import util

    missing = [
        name
        for name in ("uvicorn", "starlette", "prometheus_client", "grpc_health", "pandas")
        if util.find_spec(name) is None
    ]
    if missing:
        raise click.ClickException(f"Serving needs {', '.join(missing)}: pip install 'holdfast[serve]'.")


def _is_loopback(host: str) -> bool:
    """Whether an address, or every address of a name, is loopback."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise click.UsageError(f"--host={host}: it is neither an address nor the name of one.") from None
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
