"""Every setting of the server: one frozen dataclass, filled from flags and variables by the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PORT = 5600
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What a server needs to know.

    Attributes:
        data_dir: Holds the database and, unless ``store`` says otherwise, the blocks. Private to its owner.
        addresses: gRPC addresses to bind, such as ``127.0.0.1:5600`` or ``unix:/run/holdfast.sock``.
        store: ``""`` for blocks below ``data_dir``, or ``s3://bucket[/prefix]?endpoint=http://host:port``.
        insecure: Allow addresses other than loopback without TLS or authentication.
        tls_cert: Certificate chain (PEM) that ports are served with; None: without TLS.
        tls_key: Its private key (PEM, without a passphrase).
        tls_client_ca: Certificates (PEM) one of which must have issued a client's; None: clients need none.
        idle_timeout: Seconds after which a stream on which nothing moves is cancelled.
        drain_timeout: Seconds that calls in progress get when the server stops.
        byte_budget: Bytes of uploads and downloads held in memory by all streams together.
        block_threads: Threads that hash and move blocks.
        max_message: Bytes that a message to the server may have.
        max_connection_calls: Calls that one connection may have open; further ones wait at the client.
        max_streams: Streaming calls that may be open in a process; 0: any number, as in those that follow.
        max_caller_streams: Those of one caller.
        max_strangers: Calls of one host whose caller is not known, or not yet.
        max_caller_requests: Calls that one caller may make in a second.
        max_caller_rate: Bytes a second of one caller's streams, which are slowed down to it.
        max_waiting: Pieces of work that may wait before new transfers are held back.
        reflection: Offer gRPC server reflection.
        run_lease: Seconds after which a run is lost whose client does not renew its lease.
        auth: ``off``: whoever reaches the server may do everything; ``tokens``: each call needs a token.
        audit_interval: Seconds after which records of the audit log are sealed at the latest.
        access_log: Level at which each call is logged: ``debug``, ``info``, or ``off``.
        metrics_address: ``host:port`` of the HTTP port for Prometheus and probes; empty for none.
        metrics_open: That port may be reached from other machines, without TLS and login.
        probe_interval: Seconds between two tries whether database and store can be written.
        trace_endpoint: URL of a collector of OpenTelemetry that gets a span for each call; empty for none.
        s3_credentials_file: AWS credentials file (INI) for ``store``; None: the environment's.
    """

    data_dir: Path
    addresses: tuple[str, ...] = (f"127.0.0.1:{DEFAULT_PORT}",)
    store: str = ""
    insecure: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    idle_timeout: float = 120.0
    drain_timeout: float = 10.0
    byte_budget: int = 64 * MIB
    block_threads: int = 2
    reflection: bool = False
    max_message: int = 4 * MIB
    max_connection_calls: int = 4000
    max_streams: int = 5000
    max_caller_streams: int = 2000
    max_strangers: int = 2000
    max_caller_requests: int = 5000
    max_caller_rate: int = 0
    max_waiting: int = 256
    run_lease: float = 60.0
    auth: str = "off"
    audit_interval: float = 300.0
    access_log: str = "debug"
    metrics_address: str = ""
    metrics_open: bool = False
    probe_interval: float = 10.0
    trace_endpoint: str = ""
    s3_credentials_file: Path | None = field(default=None, repr=False)

    @property
    def authenticates(self) -> bool:
        """Whether callers are asked who they are."""
        return self.auth != "off"

    @property
    def owner_socket(self) -> Path:
        """The Unix socket by which the owner of the data directory calls without a token."""
        return self.data_dir.absolute() / "holdfast.sock"
