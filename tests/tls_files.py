"""Certificates for tests, by the authority of `tls-init` or, where it makes none such, by hand."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.cli.server.authority import Authority


class TlsDirectory:
    """A directory with an authority, a server's certificate for loopback, and a client's."""

    def __init__(self, directory: Path, *, hosts: tuple[str, ...] = ("localhost", "127.0.0.1")) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        authority, _ = Authority.open(directory)
        authority.certify_server(directory, hosts, 30)
        authority.certify_client(directory, "bob", 30)
        self.ca, self.ca_key = directory / "ca.crt", directory / "ca.key"
        self.cert, self.key = directory / "server.crt", directory / "server.key"
        self.client_cert, self.client_key = directory / "client-bob.crt", directory / "client-bob.key"

    @property
    def flags(self) -> list[str]:
        """What makes a server speak TLS."""
        return [f"--tls-cert={self.cert}", f"--tls-key={self.key}"]

    @property
    def mutual_flags(self) -> list[str]:
        """What makes it ask clients for a certificate, too."""
        return [*self.flags, f"--tls-client-ca={self.ca}"]

    @property
    def trusting(self) -> dict[str, str]:
        """What makes a client trust the server."""
        return {"HOLDFAST_TLS_CA_FILE": str(self.ca)}

    @property
    def known(self) -> dict[str, str]:
        """What makes a client show its certificate, too."""
        return {
            **self.trusting,
            "HOLDFAST_TLS_CERT_FILE": str(self.client_cert),
            "HOLDFAST_TLS_KEY_FILE": str(self.client_key),
        }

    def replace_server_files(self, other: TlsDirectory) -> None:
        """Put another's certificate and key in the place of the server's, one after the other."""
        for old, new in ((self.cert, other.cert), (self.key, other.key)):
            temporary = old.with_suffix(".new")
            temporary.write_bytes(new.read_bytes())
            temporary.chmod(0o600)
            temporary.replace(old)


def write_dated(
    directory: Path, *, begins: dt.timedelta, ends: dt.timedelta, now: dt.datetime | None = None
) -> tuple[Path, Path]:
    """A certificate of its own authority that is valid between two moments seen from now, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), now or dt.datetime.now(dt.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dated")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = directory / "dated.crt", directory / "dated.key"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    write_key(key_path, key)
    return cert_path, key_path


def write_key(path: Path, key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> None:
    """Write a private key that only its owner can read."""
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection))
    path.chmod(0o600)
