"""The command line's settings: for each a flag, a variable, a default and a line of help, and what they make together.

Only the standard library is imported, so that ``--help`` and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from holdfast_server.config import DEFAULT_PORT, MIB, ServerConfig
from holdfast_server.exposure import UsageError, check_exposure

PREFIX = "HOLDFAST_SERVER_"
MAX_PORT = 65535
AUTH_MODES = ("off", "tokens")
DEFAULT = "default"
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("human", "json")
# Variables of OpenTelemetry that name a collector, the more specific one first.
STANDARD_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
ACCESS_LOGS = ("debug", "info", "off")
# A block has 8 MiB; with less than two of them one upload could not have a block under way while the next arrives.
MIN_BYTE_BUDGET = 16 * MIB

# More would spend their time waiting for the database's one write lock.
MAX_WORKERS = 64
MAX_LIMIT = 1_000_000
# One client has that many open with ease: watches, transfers and the calls beside them.
MIN_CONNECTION_CALLS = 100

_UNITS = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of the server.

    Attributes:
        name: What flag and variable are made of.
        field: The field of ``ServerConfig`` that it feeds; empty when only the process itself needs it.
        default: As one would write it on the command line; ``off`` for switches.
        help: One line.
        parse: Reads the text of a flag or variable; raises ``ValueError`` with the rule.
        metavar: What the value is, in help; empty for a switch.
    """

    name: str
    field: str
    default: str
    help: str
    parse: Callable[[str], Any]
    metavar: str = ""

    @property
    def flag(self) -> str:
        """Such as ``--data-dir``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Such as ``HOLDFAST_SERVER_DATA_DIR``."""
        return PREFIX + self.name.upper()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A setting and what it is set to.

    Attributes:
        setting: The setting.
        text: Its value, as it was written.
        origin: The flag or variable that says so, or ``default``.
        value: Its value, parsed.
    """

    setting: Setting
    text: str
    origin: str
    value: Any


@dataclass(frozen=True, slots=True)
class Process:
    """What the command line asks for."""

    config: ServerConfig
    log_level: str
    log_format: str = "human"
    workers: int = 1


def _text(text: str) -> str:
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise ValueError("a port is a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError("it is a number of seconds above 0")
    return value


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d{1,15}) ?([KMG]iB)?", text, re.IGNORECASE)
    if not match:
        raise ValueError("a size is a number of bytes, or of KiB, MiB or GiB, such as 64MiB")
    return int(match[1]) * _UNITS[(match[2] or "").upper()]


def _size(text: str) -> int:
    value = _bytes(text)
    if value < MIN_BYTE_BUDGET:
        raise ValueError("it is at least 16MiB, two blocks")
    return value


def _message_size(text: str) -> int:
    value = _bytes(text)
    if not 4 * MIB <= value <= 64 * MIB:
        raise ValueError("it is from 4MiB to 64MiB")
    return value


def _rate(text: str) -> int:
    value = _bytes(text)
    if 0 < value < MIB:
        raise ValueError("it is at least 1MiB, or 0 for as fast as can be")
    return value


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_LIMIT:
        raise ValueError(f"it is a number up to {MAX_LIMIT}; 0 is any number")
    return int(text)


def _large_count(text: str) -> int:
    if not _limit(text) >= MIN_CONNECTION_CALLS:
        raise ValueError(f"it is a number from {MIN_CONNECTION_CALLS} to {MAX_LIMIT}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ValueError("it is a number from 1 to 1024")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        raise ValueError(f"it is a number from 1 to {MAX_WORKERS}")
    return int(text)


def _switch(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError("a switch is on or off")


def _path(text: str) -> Path:
    if not text:
        raise ValueError("a path is not empty")
    return Path(text).expanduser()


def _optional_path(text: str) -> Path | None:
    return _path(text) if text else None


def _optional_address(text: str) -> str:
    if not text:
        return ""
    host, _, port = text.rpartition(":")
    if not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError("it is HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464")
    _port(port)
    return text


def _optional_endpoint(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^\s/?#@]+(/\S*)?", text):
        raise ValueError("it is a URL such as http://127.0.0.1:4317")
    return text


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"it is one of {', '.join(choices)}")
        return text.lower()

    return parse


def _level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"a level is one of {', '.join(LOG_LEVELS)}")
    return text.lower()


def _auth(text: str) -> str:
    if text.lower() not in AUTH_MODES:
        raise ValueError(f"it is one of {', '.join(AUTH_MODES)}")
    return text.lower()


SETTINGS = (
    Setting(
        name="host",
        field="addresses",
        default="127.0.0.1",
        metavar="HOST",
        parse=_text,
        help="Name or address to listen on; 0.0.0.0 is every IPv4 interface, :: every one.",
    ),
    Setting(
        name="port",
        field="addresses",
        default=str(DEFAULT_PORT),
        metavar="PORT",
        parse=_port,
        help="Port to listen on; 0 picks a free one, which the first line of output names.",
    ),
    Setting(
        name="unix",
        field="addresses",
        default="",
        metavar="PATH",
        parse=_optional_path,
        help="Unix socket to listen on in place of a port; give --host or --port as well to have both.",
    ),
    Setting(
        name="data_dir",
        field="data_dir",
        default=".holdfast",
        metavar="DIR",
        parse=_path,
        help="Directory of the database and, without --store, of the blocks; made when absent.",
    ),
    Setting(
        name="store",
        field="store",
        default="",
        metavar="URL",
        parse=_text,
        help="Keep blocks in S3 instead: s3://bucket[/prefix]?endpoint=http://host:port[&region=NAME].",
    ),
    Setting(
        name="s3_credentials_file",
        field="s3_credentials_file",
        default="",
        metavar="FILE",
        parse=_optional_path,
        help="Credentials of the store in AWS ini format; without it the usual AWS_… variables and files are read.",
    ),
    Setting(
        name="tls_cert",
        field="tls_cert",
        default="",
        metavar="FILE",
        parse=_optional_path,
        help="Certificate of the server with its chain, in PEM; ports speak TLS then. Read anew when it changes.",
    ),
    Setting(
        name="tls_key",
        field="tls_key",
        default="",
        metavar="FILE",
        parse=_optional_path,
        help="Private key of the certificate, in PEM without a passphrase; for its owner's eyes only.",
    ),
    Setting(
        name="tls_client_ca",
        field="tls_client_ca",
        default="",
        metavar="FILE",
        parse=_optional_path,
        help="Mutual TLS: only clients are let in whose certificate is by one of these, in PEM.",
    ),
    Setting(
        name="insecure",
        field="insecure",
        default="off",
        parse=_switch,
        help="Listen beyond loopback without TLS or authentication: for private networks only; it warns of the risk.",
    ),
    Setting(
        name="auth",
        field="auth",
        default="off",
        metavar="MODE",
        parse=_auth,
        help="Who may call: off lets in anyone who reaches the server; tokens asks each call for a token.",
    ),
    Setting(
        name="idle_timeout",
        field="idle_timeout",
        default="120",
        metavar="SECONDS",
        parse=_seconds,
        help="A stream on which nothing moves for so long is cancelled.",
    ),
    Setting(
        name="drain_timeout",
        field="drain_timeout",
        default="10",
        metavar="SECONDS",
        parse=_seconds,
        help="Time that calls in progress get to finish when the server stops.",
    ),
    Setting(
        name="byte_budget",
        field="byte_budget",
        default="64MiB",
        metavar="SIZE",
        parse=_size,
        help="Memory for the bytes of all uploads, and as much for all downloads; at least 16MiB.",
    ),
    Setting(
        name="block_threads",
        field="block_threads",
        default="2",
        metavar="COUNT",
        parse=_count,
        help="Threads of each process that hash and move blocks.",
    ),
    Setting(
        name="workers",
        field="",
        default="1",
        metavar="COUNT",
        parse=_workers,
        help="Processes that serve the same port and data directory; see docs/operations.md.",
    ),
    Setting(
        name="max_message",
        field="max_message",
        default="4MiB",
        metavar="SIZE",
        parse=_message_size,
        help="Largest message that a client may send; from 4MiB, which clients count on, to 64MiB.",
    ),
    Setting(
        name="max_connection_calls",
        field="max_connection_calls",
        default="4000",
        metavar="COUNT",
        parse=_large_count,
        help="Calls that one connection may have open; further ones wait at the client.",
    ),
    Setting(
        name="max_streams",
        field="max_streams",
        default="5000",
        metavar="COUNT",
        parse=_limit,
        help="Streams that a process may have open; 0 is any number. Further ones are told to come back.",
    ),
    Setting(
        name="max_caller_streams",
        field="max_caller_streams",
        default="2000",
        metavar="COUNT",
        parse=_limit,
        help="The same of one caller: a principal or, with --auth off, a host.",
    ),
    Setting(
        name="max_caller_requests",
        field="max_caller_requests",
        default="5000",
        metavar="COUNT",
        parse=_limit,
        help="Calls a second of one caller; 0 is any number. Further ones are told to come back.",
    ),
    Setting(
        name="max_caller_rate",
        field="max_caller_rate",
        default="0",
        metavar="SIZE",
        parse=_rate,
        help="Bytes a second to which one caller's streams are slowed down, such as 50MiB; 0 is as fast as can be.",
    ),
    Setting(
        name="max_waiting",
        field="max_waiting",
        default="256",
        metavar="COUNT",
        parse=_limit,
        help="New transfers are held back while more pieces of work wait for database, threads or memory; 0: never.",
    ),
    Setting(
        name="run_lease",
        field="run_lease",
        default="60",
        metavar="SECONDS",
        parse=_seconds,
        help="A running run is marked as lost when its client gives no sign of life for so long.",
    ),
    Setting(
        name="audit_interval",
        field="audit_interval",
        default="300",
        metavar="SECONDS",
        parse=_seconds,
        help="With --auth tokens: records of the audit log are sealed after so long, or when they are 2,000.",
    ),
    Setting(
        name="reflection",
        field="reflection",
        default="off",
        parse=_switch,
        help="Offer gRPC server reflection, for tools such as grpcurl.",
    ),
    Setting(
        name="log_level",
        field="",
        default="info",
        metavar="LEVEL",
        parse=_level,
        help=f"The least that is logged to standard error: {', '.join(LOG_LEVELS)}.",
    ),
    Setting(
        name="log_format",
        field="",
        default="human",
        metavar="FORMAT",
        parse=_one_of(*LOG_FORMATS),
        help="How lines of the log are written: human, or json, one object a line.",
    ),
    Setting(
        name="access_log",
        field="access_log",
        default="debug",
        metavar="LEVEL",
        parse=_one_of(*ACCESS_LOGS),
        help="Level at which each call is logged, with its method, status and time: debug, info or off.",
    ),
    Setting(
        name="metrics_address",
        field="metrics_address",
        default="",
        metavar="HOST:PORT",
        parse=_optional_address,
        help="Serve /metrics for Prometheus, /livez and /readyz there, over plain HTTP; none without it.",
    ),
    Setting(
        name="trace_endpoint",
        field="trace_endpoint",
        default="",
        metavar="URL",
        parse=_optional_endpoint,
        help="Send a span for each call to this OpenTelemetry collector; OTEL_EXPORTER_OTLP_ENDPOINT does so, too.",
    ),
    Setting(
        name="probe_interval",
        field="probe_interval",
        default="10",
        metavar="SECONDS",
        parse=_seconds,
        help="How often database and store are tried out, for health checks and /readyz.",
    ),
)


def read(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
    """Make the configuration of a command line; flags win over variables, variables over defaults.

    Raises:
        UsageError: A value breaks a rule, or an address beyond loopback is asked for that nothing protects, without
            ``insecure``.
        SystemExit: ``--help`` and ``--version`` were answered.
    """
    chosen = resolve(arguments, environment)
    values = {found.setting.name: found.value for found in chosen}
    given = {found.setting.name for found in chosen if found.origin != DEFAULT}
    direct = {s.field: values[s.name] for s in SETTINGS if s.field == s.name}
    _check_tls(values)
    config = ServerConfig(addresses=_addresses(values, given), **direct)
    check_exposure(config)
    _check_workers(values["workers"], config)
    return Process(config, values["log_level"], values["log_format"], values["workers"])


def resolve(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> list[Resolved]:
    """The value of each setting, and where it is from.

    Raises:
        UsageError: A value breaks its rule.
        SystemExit: ``--help`` was answered.
    """
    environment = os.environ if environment is None else environment
    flags = vars(parser().parse_args(arguments))
    environment = {**environment, **_standard_variables(environment)}
    found = []
    for setting in SETTINGS:
        text, origin = flags[setting.name], setting.flag
        if text is None and environment.get(setting.variable):
            text, origin = environment[setting.variable], setting.variable
        if text is None:
            text, origin = setting.default, DEFAULT
        try:
            found.append(Resolved(setting, text, origin, setting.parse(text)))
        except ValueError as error:
            raise UsageError(f"{origin}={text}: {error}.") from None
    return found


class _Parser(argparse.ArgumentParser):
    """Raises what ``read`` promises where argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parser() -> argparse.ArgumentParser:
    """The flags; each value stays text, so that flags and variables are read alike."""
    made = _Parser(
        prog="holdfast server",
        description="Serve Holdfast: runs, artifacts and models over gRPC.",
        epilog="Each setting is read from its flag, else from its variable, else has its default. Commands: "
        "`holdfast server config` shows the settings; `holdfast server tls-init DIR` makes certificates for a trial.",
        allow_abbrev=False,
    )
    for setting in SETTINGS:
        shown = setting.default or "none"
        text = f"{setting.help} [{setting.variable}; default: {shown}]".replace("%", "%%")
        if setting.metavar:
            made.add_argument(setting.flag, dest=setting.name, metavar=setting.metavar, help=text)
        else:
            made.add_argument(setting.flag, dest=setting.name, action="store_const", const="on", help=text)
            off = setting.flag.replace("--", "--no-", 1)
            made.add_argument(off, dest=setting.name, action="store_const", const="off", help=argparse.SUPPRESS)
    made.add_argument("--version", action="store_true", help="Print the version and end.")
    return made


def _addresses(values: Mapping[str, Any], given: set[str]) -> tuple[str, ...]:
    found = []
    if values["unix"] is not None:
        found.append(f"unix:{values['unix'].absolute()}")
    if values["unix"] is None or given & {"host", "port"}:
        host = values["host"].removeprefix("[").removesuffix("]")
        found.append(f"[{host}]:{values['port']}" if ":" in host else f"{host}:{values['port']}")
    return tuple(found)


def _check_tls(values: Mapping[str, Any]) -> None:
    cert, key, client_ca = (values[name] is not None for name in ("tls_cert", "tls_key", "tls_client_ca"))
    if cert != key:
        there, missing = ("--tls-cert", "--tls-key") if cert else ("--tls-key", "--tls-cert")
        raise UsageError(f"{there} needs {missing} as well: a certificate and its key make TLS together.")
    if client_ca and not cert:
        raise UsageError("--tls-client-ca needs --tls-cert and --tls-key: clients are checked over TLS only.")


def _check_workers(workers: int, config: ServerConfig) -> None:
    if workers == 1:
        return
    if sys.platform != "linux":
        raise UsageError("--workers needs Linux, which alone spreads connections over processes: leave it out.")
    if all(address.startswith("unix:") for address in config.addresses):
        raise UsageError(
            "--workers needs a port to share, as a Unix socket is served by one process: give --host or --port as well."
        )
    port = int(config.metrics_address.rpartition(":")[2] or 0)
    if port + workers - 1 > MAX_PORT:
        raise UsageError(f"--metrics-address={config.metrics_address}: worker N has port {port} + N - 1; choose less.")


def _standard_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Our variables that follow from OpenTelemetry's own, where they are not set."""
    ours = f"{PREFIX}TRACE_ENDPOINT"
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or (
        environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    )
    if environment.get(ours) or is_off:
        return {}
    return {ours: next((environment[name] for name in STANDARD_ENDPOINTS if environment.get(name)), "")}
