"""Reads certificates and keys, and says what is wrong with them before a client finds out."""

from __future__ import annotations

import datetime as dt
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from holdfast_server.config import ServerConfig
from holdfast_server.tls import TlsFileError

# The key's group may read it, as service users often do; nobody else, and only its owner writes.
_TOO_OPEN = stat.S_IWGRP | stat.S_IRWXO

Fingerprint = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the server's certificate, its key and the authorities of clients are."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    @classmethod
    def of(cls, config: ServerConfig) -> TlsFiles | None:
        """Those that a configuration names; None when it serves without TLS."""
        if config.tls_cert is None or config.tls_key is None:
            return None
        return cls(config.tls_cert, config.tls_key, config.tls_client_ca)

    def fingerprint(self) -> Fingerprint:
        """Changes whenever a file is written or replaced, also behind a link.

        Raises:
            OSError: One is not there.
        """
        paths = [self.cert, self.key, *([self.client_ca] if self.client_ca else [])]
        found = [path.stat() for path in paths]
        return tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in found)


@dataclass(frozen=True, slots=True)
class Certificates:
    """What TLS needs, read and checked.

    Attributes:
        chain: The server's certificate and those between it and its authority, in PEM.
        key: Its private key, in PEM.
        client_ca: The authorities of clients, in PEM; None when clients need no certificate.
        expires: When the server's certificate ends to be valid.
        remarks: What whoever runs the server should know although it works.
    """

    chain: bytes
    key: bytes
    client_ca: bytes | None
    expires: dt.datetime
    remarks: tuple[str, ...] = ()

    @classmethod
    def read(cls, files: TlsFiles) -> Certificates:
        """Read the files of a server.

        Raises:
            TlsFileError: One cannot be read or used, or they do not belong together.
        """
        chain, key, client_ca = _bytes(files.cert), _bytes(files.key), None
        certificates = _certificates(chain, files.cert)
        _check_pair(certificates, _private_key(key, files.key), files)
        _check_dates(certificates[0], files.cert)
        if files.client_ca is not None:
            client_ca = _bytes(files.client_ca)
            for authority in _certificates(client_ca, files.client_ca):
                _check_dates(authority, files.client_ca)
        remarks = _remarks(certificates[0], files)
        return cls(chain, key, client_ca, certificates[0].not_valid_after_utc, remarks)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsFileError(f"{path} cannot be read: {error.strerror or error}.") from None


def _certificates(data: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        found = "a private key" if b"PRIVATE KEY-----" in data else "no whole certificate in PEM"
        raise TlsFileError(f"{path} holds {found}; it must hold certificates (-----BEGIN CERTIFICATE-----).") from None


def _private_key(data: bytes, path: Path) -> Any:
    try:
        return serialization.load_pem_private_key(data, None)
    except TypeError:
        raise TlsFileError(
            f"The key {path} has a passphrase, which nobody could type at a start: remove it by `openssl pkey`."
        ) from None
    except Exception:  # noqa: BLE001 - ValueError, and errors of its own for kinds of keys
        raise TlsFileError(f"{path} holds no whole private key in PEM (-----BEGIN PRIVATE KEY-----).") from None


def _check_pair(certificates: list[x509.Certificate], key: Any, files: TlsFiles) -> None:
    public = key.public_key()
    if certificates[0].public_key() == public:
        return
    if any(certificate.public_key() == public for certificate in certificates[1:]):
        raise TlsFileError(f"{files.cert} begins with another certificate: the server's own must be its first.")
    raise TlsFileError(
        f"{files.key} is not the key of the certificate in {files.cert}: give the two that were made together."
    )


def _check_dates(certificate: x509.Certificate, path: Path) -> None:
    now = dt.datetime.now(dt.timezone.utc)
    if certificate.not_valid_after_utc < now:
        raise TlsFileError(
            f"The certificate in {path} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: renew it."
        )
    if certificate.not_valid_before_utc > now:
        raise TlsFileError(
            f"The certificate in {path} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on: "
            "check this machine's clock, or wait.",
            valid_from=certificate.not_valid_before_utc,
        )


def _remarks(certificate: x509.Certificate, files: TlsFiles) -> tuple[str, ...]:
    remarks = []
    mode = stat.S_IMODE(files.key.stat().st_mode)
    if mode & _TOO_OPEN:
        remarks.append(f"the key {files.key} is open to others (mode {mode:04o}): chmod 600 {files.key}")
    try:
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        remarks.append(f"the certificate in {files.cert} has no subjectAltName, so that clients refuse it")
    return tuple(remarks)
