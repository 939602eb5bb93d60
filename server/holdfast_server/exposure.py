"""Who can reach the server, and what keeps strangers among them out."""

from __future__ import annotations

import ipaddress
import socket

from holdfast_server.config import ServerConfig


class UsageError(Exception):
    """The command line or a variable breaks a rule; the message names it."""


def check_exposure(config: ServerConfig) -> None:
    """Refuse an address beyond loopback that nothing protects, unless ``insecure`` says that this is meant.

    Raises:
        UsageError: There is one, or a host that is neither an address nor a name; the message says what to do.
    """
    if config.insecure:
        return
    if (
        config.metrics_address
        and not config.metrics_open
        and not _is_loopback(_host(config.metrics_address), "--metrics-address")
    ):
        raise UsageError(
            f"{_host(config.metrics_address)} is not a loopback address, and metrics are served without TLS and login. "
            "Give a loopback address to --metrics-address, or --metrics-open (or HOLDFAST_SERVER_METRICS_OPEN=1) when "
            "whoever reaches that port may know them; the ports of clients stay as they are."
        )
    exposed = exposed_addresses(config)
    if not exposed:
        return
    risks = _risks(config)
    if risks:
        raise UsageError(
            f"{_host(exposed[0])} is not a loopback address, and {' and '.join(risks)}. {_REMEDY} Or listen on "
            "127.0.0.1, or on a Unix socket (--unix). When the network is private and everyone on it is trusted, give "
            "--insecure (or HOLDFAST_SERVER_INSECURE=1)."
        )


def exposure_warning(config: ServerConfig) -> list[str]:
    """What to tell whoever starts a server that others can reach and nothing protects, in lines; none otherwise."""
    exposed, risks = exposed_addresses(config), _risks(config)
    if not exposed or not risks:
        return []
    return [
        f"WARNING: this server is INSECURE. It listens on {' and '.join(exposed)}, and",
        *(f"  - {risk}" for risk in risks),
        f"  --insecure allows this. {_REMEDY}",
    ]


def exposed_addresses(config: ServerConfig) -> list[str]:
    """Those that other machines may reach.

    Raises:
        UsageError: A host is neither an address nor the name of one.
    """
    ports = [address for address in config.addresses if not address.startswith("unix:")]
    return [address for address in ports if not _is_loopback(_host(address), "--host")]


_REMEDY = (
    "Give --tls-cert and --tls-key, of which `holdfast server tls-init DIR` makes trial ones, and --auth tokens or "
    "--tls-client-ca."
)


def _risks(config: ServerConfig) -> list[str]:
    """What may happen on a network."""
    risks = []
    if config.tls_cert is None:
        risks.append("without TLS whoever is on the way can read and change what is sent")
    if config.tls_client_ca is None and not config.authenticates:
        risks.append("without authentication anyone who reaches it can read and write everything")
    return risks


def _host(address: str) -> str:
    return address.rpartition(":")[0].removeprefix("[").removesuffix("]")


def _is_loopback(host: str, setting: str) -> bool:
    """Whether an address, or every address of a name, is loopback. ``setting``: which said it."""
    try:
        resolved = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise UsageError(f"{setting}={host}: it is neither an address nor the name of one.") from None
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in resolved)
