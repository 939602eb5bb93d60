"""Checks of a server's certificate, made without gRPC, which tells little of what it finds wrong."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

from holdfast._config import CA_FILE_VARIABLE, Target
from holdfast._tls import host_and_port
from holdfast.cli.doctor.findings import Finding, failure, ok, warning

TIMEOUT = 5.0
_DAY = 86_400
# Codes of OpenSSL's verification (X509_V_ERR_…).
_NOT_YET_VALID, _EXPIRED, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 62, 64


def check_certificate(target: Target) -> Iterator[Finding]:
    """Whether the server's certificate is trusted, names the server, and is valid for a while."""
    try:
        context = ssl.create_default_context(cafile=str(target.ca_file) if target.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        yield failure(
            "tls",
            f"The certificates to trust cannot be read from {target.ca_file}: {error}.",
            f"Let {CA_FILE_VARIABLE} name a file of certificates in PEM.",
        )
        return
    context.set_alpn_protocols(["h2"])
    host, port = host_and_port(target)
    try:
        with (
            socket.create_connection((host, port), TIMEOUT) as connection,
            context.wrap_socket(connection, server_hostname=host) as encrypted,
        ):
            certificate = encrypted.getpeercert() or {}
            protocol, agreed = encrypted.version(), encrypted.selected_alpn_protocol()
    except ssl.SSLCertVerificationError as error:
        yield _judge_refusal(error, host)
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):  # what TLS itself answers; others answer something else, or nothing
            yield failure(
                "tls",
                f"{host}:{port} ends the handshake of TLS: {error.reason}.",
                "It may want a certificate of this client's own, or another version of TLS: ask who runs it.",
            )
            return
        yield failure(
            "tls",
            f"{host}:{port} does not speak TLS ({error.reason or error}).",
            "Write holdfast:// if the network is private, or check the port.",
        )
    except OSError:
        return  # that nobody answers is told by another check
    else:
        yield _judge_dates(certificate, protocol or "TLS")
        if agreed != "h2":
            yield failure(
                "tls",
                f"{host}:{port} speaks TLS but not HTTP/2, which gRPC needs.",
                "Let the proxy in front of the server carry gRPC (HTTP/2, ALPN h2).",
            )


def _judge_refusal(error: ssl.SSLCertVerificationError, host: str) -> Finding:
    text = f"The server's certificate is refused: {error.verify_message}."
    if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
        return failure("tls", text, "Renew the server's certificate, or set this machine's clock.")
    if error.verify_code in {_WRONG_NAME, _WRONG_ADDRESS}:
        return failure("tls", text, f"Reach the server by a name that is in its certificate, or add {host} to that.")
    return failure(
        "tls", text, f"Let {CA_FILE_VARIABLE} name the certificate of the authority that signed the server's."
    )


def _judge_dates(certificate: dict[str, Any], protocol: str) -> Finding:
    until = ssl.cert_time_to_seconds(certificate["notAfter"])
    since = ssl.cert_time_to_seconds(certificate["notBefore"])
    left = until - time.time()
    names = ", ".join(value for _, value in certificate.get("subjectAltName", ()))
    text = f"{protocol}; the certificate for {names} is valid until {certificate['notAfter']}."
    # Certificates that live for days are renewed by machines, late in their lives.
    if left < min(14 * _DAY, (until - since) / 4):
        return warning("tls", text, "Renew the server's certificate; the server takes a new file without a restart.")
    return ok("tls", text)
