"""The table of settings, topic by topic, in the order of help and documentation."""

from __future__ import annotations

from holdfast_server.config import DEFAULT_PORT
from holdfast_server.settings import values
from holdfast_server.settings.setting import Setting

AUTH_MODES = ("off", "tokens")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("human", "json")
ACCESS_LOGS = ("debug", "info", "off")

MAX_BLOCK_THREADS = 1024
# More would spend their time waiting for the database's one write lock.
MAX_WORKERS = 64
# One client has that many open with ease: watches, transfers and the calls beside them.
MIN_CONNECTION_CALLS = 100

_LISTENING = (
    Setting(
        name="host",
        field="addresses",
        default="127.0.0.1",
        metavar="HOST",
        parse=values.any_text,
        help="Name or address to listen on; 0.0.0.0 is every IPv4 interface, :: every one.",
    ),
    Setting(
        name="port",
        field="addresses",
        default=str(DEFAULT_PORT),
        metavar="PORT",
        parse=values.port,
        help="Port to listen on; 0 picks a free one, which the first line of output names.",
    ),
    Setting(
        name="unix",
        field="addresses",
        default="",
        metavar="PATH",
        parse=values.optional_path,
        help="Unix socket to listen on in place of a port; give --host or --port as well to have both.",
    ),
)

_STORAGE = (
    Setting(
        name="data_dir",
        field="data_dir",
        default=".holdfast",
        metavar="DIR",
        parse=values.path,
        help="Directory of the database and, without --store, of the blocks; made when absent.",
    ),
    Setting(
        name="store",
        field="store",
        default="",
        metavar="URL",
        parse=values.any_text,
        help="Keep blocks in S3 instead: s3://bucket[/prefix]?endpoint=http://host:port[&region=NAME].",
    ),
    Setting(
        name="s3_credentials_file",
        field="s3_credentials_file",
        default="",
        metavar="FILE",
        parse=values.optional_path,
        help="Credentials of the store in AWS ini format; without it the usual AWS_… variables and files are read.",
    ),
)

_ACCESS = (
    Setting(
        name="tls_cert",
        field="tls_cert",
        default="",
        metavar="FILE",
        parse=values.optional_path,
        help="Certificate of the server with its chain, in PEM; ports speak TLS then. Read anew when it changes.",
    ),
    Setting(
        name="tls_key",
        field="tls_key",
        default="",
        metavar="FILE",
        parse=values.optional_path,
        help="Private key of the certificate, in PEM without a passphrase; for its owner's eyes only.",
    ),
    Setting(
        name="tls_client_ca",
        field="tls_client_ca",
        default="",
        metavar="FILE",
        parse=values.optional_path,
        help="Mutual TLS: only clients are let in whose certificate is by one of these, in PEM.",
    ),
    Setting(
        name="insecure",
        field="insecure",
        default="off",
        parse=values.switch,
        help="Listen beyond loopback without TLS or authentication: for private networks only; it warns of the risk.",
    ),
    Setting(
        name="auth",
        field="auth",
        default="off",
        metavar="MODE",
        parse=values.one_of(*AUTH_MODES),
        help="Who may call: off lets in anyone who reaches the server; tokens asks each call for a token.",
    ),
)

_CAPACITY = (
    Setting(
        name="idle_timeout",
        field="idle_timeout",
        default="120",
        metavar="SECONDS",
        parse=values.seconds,
        help="A stream on which nothing moves for so long is cancelled.",
    ),
    Setting(
        name="drain_timeout",
        field="drain_timeout",
        default="10",
        metavar="SECONDS",
        parse=values.seconds,
        help="Time that calls in progress get to finish when the server stops.",
    ),
    Setting(
        name="byte_budget",
        field="byte_budget",
        default="64MiB",
        metavar="SIZE",
        parse=values.byte_budget,
        help="Memory for the bytes of all uploads, and as much for all downloads; at least 16MiB.",
    ),
    Setting(
        name="block_threads",
        field="block_threads",
        default="2",
        metavar="COUNT",
        parse=values.number(1, MAX_BLOCK_THREADS),
        help="Threads of each process that hash and move blocks.",
    ),
    Setting(
        name="workers",
        field="",
        default="1",
        metavar="COUNT",
        parse=values.number(1, MAX_WORKERS),
        help="Processes that serve the same port and data directory; see docs/operations.md.",
    ),
    Setting(
        name="max_message",
        field="max_message",
        default="4MiB",
        metavar="SIZE",
        parse=values.message_size,
        help="Largest message that a client may send; from 4MiB, which clients count on, to 64MiB.",
    ),
    Setting(
        name="max_connection_calls",
        field="max_connection_calls",
        default="4000",
        metavar="COUNT",
        parse=values.number(MIN_CONNECTION_CALLS, values.MAX_LIMIT),
        help="Calls that one connection may have open; further ones wait at the client.",
    ),
    Setting(
        name="max_streams",
        field="max_streams",
        default="5000",
        metavar="COUNT",
        parse=values.limit,
        help="Streams that a process may have open; 0 is any number. Further ones are told to come back.",
    ),
    Setting(
        name="max_caller_streams",
        field="max_caller_streams",
        default="2000",
        metavar="COUNT",
        parse=values.limit,
        help="The same of one caller: a principal or, with --auth off, a host.",
    ),
    Setting(
        name="max_strangers",
        field="max_strangers",
        default="2000",
        metavar="COUNT",
        parse=values.limit,
        help="Calls of one host that wait for their first message or watch the health; 0 is any number.",
    ),
    Setting(
        name="max_caller_requests",
        field="max_caller_requests",
        default="5000",
        metavar="COUNT",
        parse=values.limit,
        help="Calls a second of one caller; 0 is any number. Further ones are told to come back.",
    ),
    Setting(
        name="max_caller_rate",
        field="max_caller_rate",
        default="0",
        metavar="SIZE",
        parse=values.rate,
        help="Bytes a second to which one caller's streams are slowed down, such as 50MiB; 0 is as fast as can be.",
    ),
    Setting(
        name="max_waiting",
        field="max_waiting",
        default="256",
        metavar="COUNT",
        parse=values.limit,
        help="New transfers are held back while more pieces of work wait for database, threads or memory; 0: never.",
    ),
)

_RUNNING = (
    Setting(
        name="run_lease",
        field="run_lease",
        default="60",
        metavar="SECONDS",
        parse=values.seconds,
        help="A running run is marked as lost when its client gives no sign of life for so long.",
    ),
    Setting(
        name="audit_interval",
        field="audit_interval",
        default="300",
        metavar="SECONDS",
        parse=values.seconds,
        help="With --auth tokens: records of the audit log are sealed after so long, or when they are 2,000.",
    ),
    Setting(
        name="reflection",
        field="reflection",
        default="off",
        parse=values.switch,
        help="Offer gRPC server reflection, for tools such as grpcurl.",
    ),
)

_OBSERVING = (
    Setting(
        name="log_level",
        field="",
        default="info",
        metavar="LEVEL",
        parse=values.one_of(*LOG_LEVELS, what="a level"),
        help=f"The least that is logged to standard error: {', '.join(LOG_LEVELS)}.",
    ),
    Setting(
        name="log_format",
        field="",
        default="human",
        metavar="FORMAT",
        parse=values.one_of(*LOG_FORMATS),
        help="How lines of the log are written: human, or json, one object a line.",
    ),
    Setting(
        name="access_log",
        field="access_log",
        default="debug",
        metavar="LEVEL",
        parse=values.one_of(*ACCESS_LOGS),
        help="Level at which each call is logged, with its method, status and time: debug, info or off.",
    ),
    Setting(
        name="metrics_address",
        field="metrics_address",
        default="",
        metavar="HOST:PORT",
        parse=values.optional_address,
        help="Serve /metrics for Prometheus, /livez and /readyz there, over plain HTTP; none without it.",
    ),
    Setting(
        name="metrics_open",
        field="metrics_open",
        default="off",
        parse=values.switch,
        help="Metrics may be read beyond loopback, by whoever reaches that port; ports of clients are not affected.",
    ),
    Setting(
        name="trace_endpoint",
        field="trace_endpoint",
        default="",
        metavar="URL",
        parse=values.optional_endpoint,
        help="Send a span for each call to this OpenTelemetry collector; OTEL_EXPORTER_OTLP_ENDPOINT does so, too.",
    ),
    Setting(
        name="probe_interval",
        field="probe_interval",
        default="10",
        metavar="SECONDS",
        parse=values.seconds,
        help="How often database and store are tried out, for health checks and /readyz.",
    ),
)

SETTINGS = (*_LISTENING, *_STORAGE, *_ACCESS, *_CAPACITY, *_RUNNING, *_OBSERVING)
