"""``python -m holdfast_server.health_check [ADDRESS]``: 0 when it serves, else 1 and a line why.

For containers and supervisors that have no gRPC probe. Without an address it asks the server that the
``HOLDFAST_SERVER_…`` variables of this environment describe, over TLS if they name a certificate, which is then the one
to find there. For mutual TLS the variables ``HOLDFAST_TLS_CERT_FILE`` and ``HOLDFAST_TLS_KEY_FILE`` name a client's;
a server that also has a Unix socket is asked there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from holdfast_server.config import DEFAULT_PORT

TIMEOUT = 5.0
TLS_SCHEME = "holdfast+tls://"


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask once; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    address = arguments[0] if arguments else default_address(os.environ)
    try:
        tls = Tls.of(os.environ) if address.startswith(TLS_SCHEME) else None
    except (OSError, ValueError) as error:
        problem = str(error)
    else:
        problem = ask(address.removeprefix(TLS_SCHEME).removeprefix("holdfast://"), tls)
    if problem:
        sys.stderr.write(f"{address}: {problem}\n")
    return 1 if problem else 0


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server is asked over TLS.

    Attributes:
        credentials: Whom to trust, and what to show.
        name: The name that its certificate is for; empty for that of the address.
    """

    credentials: grpc.ChannelCredentials
    name: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Tls:
        """That of an environment: its authorities, else the server's own certificate.

        Raises:
            OSError: A file cannot be read.
            ValueError: The server's certificate cannot be used.
        """
        authorities, own = environment.get("HOLDFAST_TLS_CA_FILE"), environment.get("HOLDFAST_SERVER_TLS_CERT")
        trusted = authorities or own
        files = (environment.get("HOLDFAST_TLS_KEY_FILE"), environment.get("HOLDFAST_TLS_CERT_FILE"))
        key, certificate = (Path(file).read_bytes() if file else None for file in files)
        roots = Path(trusted).read_bytes() if trusted else None
        name = _name_in(Path(own).read_bytes()) if own else ""
        return cls(grpc.ssl_channel_credentials(roots, key, certificate), name)


def _name_in(pem: bytes) -> str:
    """A name that a certificate is for: on its own host the server is asked by another, such as 127.0.0.1."""
    from cryptography import x509

    try:
        names = x509.load_pem_x509_certificates(pem)[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.value.get_values_for_type(x509.DNSName)), "").replace("*", "any")


def default_address(environment: Mapping[str, str]) -> str:
    """Where the server of this environment listens, seen from its own host."""
    unix = environment.get("HOLDFAST_SERVER_UNIX")
    host, port = environment.get("HOLDFAST_SERVER_HOST"), environment.get("HOLDFAST_SERVER_PORT")
    tls = bool(environment.get("HOLDFAST_SERVER_TLS_CERT"))
    if unix and (tls or not (host or port)):
        return f"unix:{os.path.abspath(unix)}"  # noqa: PTH100 - resolving links could make it too long for a socket
    if not host or host == "0.0.0.0":  # noqa: S104 - heard on every interface, so on loopback too
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    address = f"[{host}]:{port or DEFAULT_PORT}" if ":" in host else f"{host}:{port or DEFAULT_PORT}"
    return f"{TLS_SCHEME}{address}" if tls else address


def ask(address: str, tls: Tls | None = None) -> str:
    """What is wrong with the server at a gRPC address; empty when it serves."""
    # A proxy for the outside world has nothing to say about this host.
    options: list[tuple[str, object]] = [("grpc.enable_http_proxy", 0)]
    if tls is not None and tls.name:
        options.append(("grpc.ssl_target_name_override", tls.name))
    with (
        grpc.insecure_channel(address, options=options)
        if tls is None
        else grpc.secure_channel(address, tls.credentials, options=options)
    ) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    return ""


if __name__ == "__main__":
    sys.exit(main())
