"""TLS towards the server: credentials from the user's files, and what is wrong when no connection comes of it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import grpc

from holdfast._config import CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE, Target
from holdfast.errors import TlsError

# Of a look at the server, which is near or was reached just now.
_PROBE_SECONDS = 3.0
# gRPC's words for a connection that the other side closed; why, it does not know.
_CUT_OFF = ("Socket closed", "Connection reset", "End of TCP stream", "EOF", "Broken pipe")


def credentials(target: Target) -> grpc.ChannelCredentials:
    """What gRPC connects to a server with TLS by.

    Raises:
        TlsError: A file cannot be read, or does not hold what it should.
    """
    authorities = _read(target.ca_file, CA_FILE_VARIABLE)
    certificate, key = _read(target.cert_file, CERT_FILE_VARIABLE), _read(target.key_file, KEY_FILE_VARIABLE)
    _check_files(target)
    return grpc.ssl_channel_credentials(authorities, key, certificate)


def fingerprint(target: Target) -> tuple[object, ...]:
    """Changes when a file of a connection with TLS was replaced."""
    found: list[object] = []
    for path in (target.ca_file, target.cert_file, target.key_file):
        try:
            status = path.stat() if target.tls and path is not None else None
        except OSError:
            status = None
        found.append(status and (status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def problem(target: Target, text: str) -> str | None:
    """What gRPC's text of a failed connection says about TLS, with the way out; None when it says nothing of it."""
    if not target.tls:
        return None
    server = f"The server at {target.uri}"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return _distrusted(target, text)
    if "Hostname Verification Check failed" in text:
        host, _ = host_and_port(target)
        return (
            f"The certificate of the server at {target.uri} is not for {host}: connect by a name or address "
            "that it is for, or have it made for this one."
        )
    if "WRONG_VERSION_NUMBER" in text:
        return (
            f"{server} does not speak TLS: start it with --tls-cert and --tls-key, or, on this machine or a trusted "
            f"network, use {_other_scheme(target)}."
        )
    if "CERTIFICATE_REQUIRED" in text:
        return _unknown_client(target)
    return None


def probe(target: Target, text: str) -> str | None:
    """Ask the server itself whether TLS is why it closes connections, where gRPC's text leaves that open.

    Sends the beginning of a TLS handshake and nothing of the user's. None when TLS is not why.
    """
    if not any(words in text for words in _CUT_OFF) or target.data_dir is not None or _is_socket(target):
        return None
    try:
        answered = _shakes_hands(target)
    except (OSError, ValueError):
        return None  # no TLS, or nobody there any more
    if not target.tls:
        return (
            f"The server at {target.uri} speaks TLS: use {_other_scheme(target)}. Unless a public authority certified "
            f"it, {CA_FILE_VARIABLE} names the certificate of its authority."
        )
    return None if answered else _unknown_client(target)


def host_and_port(target: Target) -> tuple[str, int]:
    """Both, of a target that is reached over the network."""
    host, _, port = target.address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _read(path: Path | None, variable: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{variable}: {path} cannot be read: {error.strerror or error}.") from error


def _check_files(target: Target) -> None:
    """Find out what gRPC would answer with a failed handshake only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if target.ca_file is not None:
        try:
            context.load_verify_locations(target.ca_file)
        except (OSError, ValueError) as error:
            raise TlsError(
                f"{CA_FILE_VARIABLE}: {target.ca_file} holds no whole certificate in PEM (-----BEGIN CERTIFICATE-----)."
            ) from error
    if target.cert_file is not None and target.key_file is not None:
        try:
            # Without a word about passphrases OpenSSL would ask for one at the terminal.
            context.load_cert_chain(target.cert_file, target.key_file, password=lambda: "")
        except (OSError, ValueError) as error:
            raise TlsError(
                f"{CERT_FILE_VARIABLE} and {KEY_FILE_VARIABLE} must be a certificate and its private key, in PEM and "
                f"without a passphrase; {target.cert_file} and {target.key_file} are not ({error})."
            ) from error


def _distrusted(target: Target, text: str) -> str:
    server = f"The certificate of the server at {target.uri}"
    if "has expired" in text:
        return f"{server} has expired: have it renewed, or check this machine's clock."
    if "not yet valid" in text:
        return f"{server} is not valid yet: check this machine's clock and the server's."
    trusted = f"those in {target.ca_file}" if target.ca_file is not None else "the public ones"
    return (
        f"{server} is by none of the authorities that this client trusts, {trusted}: {CA_FILE_VARIABLE} must name the "
        "certificate of the authority that issued it."
    )


def _unknown_client(target: Target) -> str:
    if target.cert_file is None:
        return (
            f"The server at {target.uri} closes connections right after the handshake, as one does that wants a "
            f"certificate of its clients: {CERT_FILE_VARIABLE} and {KEY_FILE_VARIABLE} name yours and its key."
        )
    return (
        f"The server at {target.uri} does not accept the certificate in {target.cert_file}: it must be valid, and by "
        "an authority that the server knows as --tls-client-ca."
    )


def _shakes_hands(target: Target) -> bool:
    """Do a TLS handshake; whether the server says anything after it.

    Raises:
        OSError: It does not come to one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a look, over which nothing is said
    context.set_alpn_protocols(["h2"])
    if target.cert_file is not None and target.key_file is not None:
        context.load_cert_chain(target.cert_file, target.key_file, password=lambda: "")
    host, port = host_and_port(target)
    with (
        socket.create_connection((host, port), timeout=_PROBE_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=host) as secure,
    ):
        try:
            return bool(secure.recv(1))
        except OSError:
            return False


def _is_socket(target: Target) -> bool:
    return target.address.startswith("unix:")


def _other_scheme(target: Target) -> str:
    scheme, query = ("holdfast", "" if target.loopback else "?insecure=true") if target.tls else ("holdfast+tls", "")
    return f"{scheme}://{target.address}{query}"
