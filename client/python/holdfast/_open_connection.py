"""An open connection to a server, with its credentials and options."""

from __future__ import annotations

from typing import Any

import grpc

from holdfast import _tls
from holdfast._config import Target

MIB = 1 << 20
MAX_MESSAGE = 4 * MIB


class Connection:
    """An open gRPC channel.

    Attributes:
        address: Where it leads.
        answered: Whether a server was ever heard on it.
        metadata: Goes with each call: who makes it.
        files: Tells whether the files of TLS are still those that it was opened with.
    """

    def __init__(self, address: str, target: Target, *, answered: bool = False) -> None:
        self.address = address
        self.answered = answered
        self.files = _tls.fingerprint(target)
        self.metadata = (("authorization", f"Bearer {target.token}"),) if target.token else ()
        if target.tls:
            self.channel = grpc.secure_channel(address, _tls.credentials(target), options=_options(target))
        else:
            self.channel = grpc.insecure_channel(address, options=_options(target))


def address_of(target: Target) -> str:
    """Where a server is to be reached; the embedded one of a directory is started unless it runs."""
    if target.data_dir is None:
        return target.address
    from holdfast._embedded import attach

    return attach(target.data_dir)


def _options(target: Target) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_send_message_length", MAX_MESSAGE),
        # What a stream may have waiting here unread. gRPC would let it grow with the bandwidth, to tens of MiB where a
        # disk is slower than the network; with 8 MiB a line of 1 Gbit/s and 50 ms is used to four fifths only.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 12 * MIB),
        # The server allows a ping every 10 s.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Channels of the same arguments would share a connection, and a stalled upload would stall metrics.
        ("grpc.use_local_subchannel_pool", 1),
        # gRPC would wait up to two minutes before it looks whether a restarted server is back.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # By its code this also bounds an attempt to connect, which takes 20 s otherwise when nothing answers at all.
        ("grpc.min_reconnect_backoff_ms", 5_000),
        # Retries are ours: gRPC's own stop once its buffer overflows.
        ("grpc.enable_retries", 0),
        ("grpc.primary_user_agent", "holdfast-python"),
    ]
    if target.loopback:
        # A proxy cannot reach what is on this machine.
        options.append(("grpc.enable_http_proxy", 0))
    return options
