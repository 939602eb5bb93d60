"""What the settings make together: the configuration of a server and of its process."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast_server.config import ServerConfig
from holdfast_server.exposure import UsageError, check_exposure
from holdfast_server.settings.resolving import DEFAULT, resolve
from holdfast_server.settings.table import SETTINGS
from holdfast_server.settings.values import MAX_PORT


@dataclass(frozen=True, slots=True)
class Process:
    """What the command line asks for."""

    config: ServerConfig
    log_level: str
    log_format: str = "human"
    workers: int = 1


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
