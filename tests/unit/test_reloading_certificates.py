"""Certificates whose time has not come yet."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast_server.tls import TlsFileError, files, reloading
from holdfast_server.tls.files import TlsFiles
from holdfast_server.tls.reloading import ReloadingCertificates

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.timezone.utc)


class Clock(dt.datetime):
    """Says what the test wants."""

    time = NOON

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
        assert tz is dt.timezone.utc
        return cls.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    class Module:
        datetime, timedelta, timezone = Clock, dt.timedelta, dt.timezone

    monkeypatch.setattr(Clock, "time", NOON)
    for module in (files, reloading):
        monkeypatch.setattr(module, "dt", Module)
    return Clock


def write_pair(folder: Path, begin: dt.datetime) -> TlsFiles:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    pair = TlsFiles(folder / "server.crt", folder / "server.key")
    pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    pair.key.chmod(0o600)
    return pair


def test_one_that_is_valid_from_later_on_is_used_from_then_on(tmp_path: Path, clock: type[Clock]) -> None:
    pair = write_pair(tmp_path, NOON - dt.timedelta(days=1))
    certificates = ReloadingCertificates(pair)
    before = certificates.current()
    write_pair(tmp_path, NOON + dt.timedelta(minutes=10))
    assert certificates.current() is before
    clock.time = NOON + dt.timedelta(minutes=9)
    assert certificates.current() is before
    clock.time = NOON + dt.timedelta(minutes=10, seconds=1)
    assert certificates.current().chain == pair.cert.read_bytes()


def test_the_refusal_says_from_when_on(tmp_path: Path, clock: type[Clock]) -> None:
    begin = NOON + dt.timedelta(minutes=10)
    with pytest.raises(TlsFileError, match=r"valid from 2030-01-01 12:10 UTC on") as refused:
        ReloadingCertificates(write_pair(tmp_path, begin))
    assert refused.value.valid_from == begin
