"""gRPC's server: its options, its addresses and its certificates. A part of the composition root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import grpc

from holdfast_server.config import MIB, ServerConfig

if TYPE_CHECKING:
    from holdfast_server.tls.reloading import ReloadingCertificates

# Bytes of a message to a client: what each takes that was not told otherwise.
MAX_MESSAGE = 4 * MIB


def make_server(
    config: ServerConfig, interceptors: Sequence[grpc.aio.ServerInterceptor], *, shares_ports: bool
) -> grpc.aio.Server:
    """A server that is bound to nothing yet. ``shares_ports``: other processes bind the same."""
    return grpc.aio.server(
        interceptors=interceptors,
        options=[
            ("grpc.max_receive_message_length", config.max_message),
            ("grpc.max_concurrent_streams", config.max_connection_calls),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.so_reuseport", int(shares_ports)),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", 60_000),
        ],
    )


def bind(server: grpc.aio.Server, address: str, certificates: ReloadingCertificates | None) -> int:
    """Bind an address and return its port; a Unix socket needs no TLS, as only its owner can connect.

    Raises:
        OSError: It cannot be bound.
    """
    try:
        if certificates is None or address.startswith("unix:"):
            return server.add_insecure_port(address)
        return server.add_secure_port(address, certificates.credentials())
    except RuntimeError as error:
        raise OSError(f"cannot bind {address}: {error}") from error


def open_certificates(config: ServerConfig) -> ReloadingCertificates | None:
    """What ports are served with; None: without TLS.

    Raises:
        TlsFileError: They cannot be used.
    """
    if config.tls_cert is None:
        return None
    from holdfast_server.tls.files import TlsFiles  # cryptography takes a while, and few need it
    from holdfast_server.tls.reloading import ReloadingCertificates

    files = TlsFiles.of(config)
    return ReloadingCertificates(files) if files is not None else None
