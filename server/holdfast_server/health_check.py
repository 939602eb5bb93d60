"""``python -m holdfast_server.health_check [ADDRESS]``: 0 when it serves, else 1 and a line why.

For containers and supervisors that have no gRPC probe. Without an address it asks the server that the
``HOLDFAST_SERVER_…`` variables of this environment describe.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from holdfast_server.config import DEFAULT_PORT

TIMEOUT = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask once; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    address = arguments[0] if arguments else default_address(os.environ)
    problem = ask(address.removeprefix("holdfast://"))
    if problem:
        sys.stderr.write(f"{address}: {problem}\n")
    return 1 if problem else 0


def default_address(environment: Mapping[str, str]) -> str:
    """Where the server of this environment listens, seen from its own host."""
    unix = environment.get("HOLDFAST_SERVER_UNIX")
    host, port = environment.get("HOLDFAST_SERVER_HOST"), environment.get("HOLDFAST_SERVER_PORT")
    if unix and not (host or port):
        return f"unix:{os.path.abspath(unix)}"  # noqa: PTH100 - resolving links could make it too long for a socket
    if not host or host == "0.0.0.0":  # noqa: S104 - heard on every interface, so on loopback too
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"[{host}]:{port or DEFAULT_PORT}" if ":" in host else f"{host}:{port or DEFAULT_PORT}"


def ask(address: str) -> str:
    """What is wrong with the server at a gRPC address; empty when it serves."""
    # A proxy for the outside world has nothing to say about this host.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    return ""


if __name__ == "__main__":
    sys.exit(main())
