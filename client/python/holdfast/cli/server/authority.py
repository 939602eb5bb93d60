"""A certificate authority in a directory, for trials: it certifies servers and clients and never replaces a file."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_CERTIFICATE, CA_KEY = "ca.crt", "ca.key"
CA_DAYS = 3650
# A clock that is a little behind must not find a new certificate invalid.
_CLOCK_SKEW = dt.timedelta(minutes=5)


class AuthorityError(Exception):
    """A directory cannot be used as an authority; the message says which file is in the way."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate and the key that signs others in its name."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def open(cls, directory: Path) -> tuple[Authority, list[Path]]:
        """The authority of a directory and the files made for it: none when it was there.

        Raises:
            AuthorityError: Only a part of it is there, or its files hold something else.
        """
        certificate_path, key_path = directory / CA_CERTIFICATE, directory / CA_KEY
        if not _both_absent(certificate_path, key_path):
            return cls._read(certificate_path, key_path), []
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Holdfast trial CA {os.urandom(4).hex()}")])
        usage = {"key_cert_sign": True, "crl_sign": True, "digital_signature": False}
        certificate = (
            _certificate(name, name, key.public_key(), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_pair(certificate_path, certificate, key_path, key)
        return cls(certificate, key), [certificate_path, key_path]

    @classmethod
    def _read(cls, certificate_path: Path, key_path: Path) -> Authority:
        try:
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except (ValueError, TypeError) as error:
            raise AuthorityError(
                f"{certificate_path} and {key_path} are no authority of this command: {error}"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise AuthorityError(f"{key_path} is not the key of {certificate_path}: move both away to begin anew.")
        return cls(certificate, key)

    def certify_server(self, directory: Path, hosts: Iterable[str], days: int) -> list[Path]:
        """Make ``server.crt`` and ``server.key`` for names and addresses; returns the files.

        Raises:
            AuthorityError: One of them is there.
            ValueError: A host is neither an address nor a name.
        """
        names = parse_hosts(hosts)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH
        return self._certify(
            directory, "server", common_name="Holdfast server", names=names, purpose=purpose, days=days
        )

    def certify_client(self, directory: Path, name: str, days: int) -> list[Path]:
        """Make ``client-NAME.crt`` and ``client-NAME.key``; returns the files.

        Raises:
            AuthorityError: One of them is there.
        """
        names, purpose = [x509.DNSName(name)], ExtendedKeyUsageOID.CLIENT_AUTH
        return self._certify(directory, f"client-{name}", common_name=name, names=names, purpose=purpose, days=days)

    def _certify(
        self,
        directory: Path,
        stem: str,
        *,
        common_name: str,
        names: Sequence[x509.GeneralName],
        purpose: x509.ObjectIdentifier,
        days: int,
    ) -> list[Path]:
        certificate_path, key_path = directory / f"{stem}.crt", directory / f"{stem}.key"
        if not _both_absent(certificate_path, key_path):
            raise AuthorityError(f"{certificate_path} and {key_path} are there already: move both away to make others.")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            _certificate(subject, self.certificate.subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        _write_pair(certificate_path, certificate, key_path, key)
        return [certificate_path, key_path]


def parse_hosts(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """What a certificate says of names and addresses, each once.

    Raises:
        ValueError: One is neither.
    """
    return [_host(host) for host in dict.fromkeys(hosts)]


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        name = text.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not name or not all(letter.isalnum() or letter in "-_.*" for letter in name):
        raise ValueError(f"{text!r} is neither an address nor the name of a host")
    return x509.DNSName(name)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _key_usage(*, digital_signature: bool, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _both_absent(certificate: Path, key: Path) -> bool:
    there = [path for path in (certificate, key) if path.is_symlink() or path.exists()]
    if len(there) == 1:
        raise AuthorityError(f"{there[0]} is there without its other half: move it away to make both.")
    return not there


def _write_pair(
    certificate_path: Path, certificate: x509.Certificate, key_path: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write_new(key_path, pem, 0o600)
    try:
        _write_new(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except BaseException:
        key_path.unlink()
        raise


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise
