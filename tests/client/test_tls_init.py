"""`holdfast server tls-init`: what it makes works together, and nothing is overwritten."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from holdfast.cli import cli


def tls_init(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["server", "tls-init", *map(str, arguments)])


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_it_makes_an_authority_and_certificates_by_it_whose_keys_are_private(tmp_path: Path):
    directory = tmp_path / "a" / "tls"
    done = tls_init(directory, "--host", "db.lan", "--host", "10.0.0.7", "--client", "bob", "--days", "30")
    assert done.exit_code == 0, done.output
    assert set(contents(directory)) == {
        *("ca.crt", "ca.key", "server.crt", "server.key", "client-bob.crt", "client-bob.key")
    }
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.glob("*.key")} == {0o600}
    authority, server = certificate(directory / "ca.crt"), certificate(directory / "server.crt")
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "db.lan"} <= set(names.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", "::1", "10.0.0.7"} <= set(map(str, names.get_values_for_type(x509.IPAddress)))
    bob = certificate(directory / "client-bob.crt")
    for made, purpose in ((server, ExtendedKeyUsageOID.SERVER_AUTH), (bob, ExtendedKeyUsageOID.CLIENT_AUTH)):
        made.verify_directly_issued_by(authority)
        assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
        assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 30
    for pair in ("server", "client-bob"):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(directory / f"{pair}.crt", directory / f"{pair}.key")
    assert f"--tls-client-ca {directory / 'ca.crt'}" in done.output
    assert "holdfast+tls://db.lan:5600" in done.output


def test_a_repetition_adds_a_client_of_the_same_authority_and_touches_nothing_else(tmp_path: Path):
    tls_init(tmp_path, "--client", "bob")
    before = contents(tmp_path)
    assert tls_init(tmp_path, "--client", "alice").exit_code == 0
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"client-alice.crt", "client-alice.key"}
    certificate(tmp_path / "client-alice.crt").verify_directly_issued_by(certificate(tmp_path / "ca.crt"))
    assert "--client NAME adds a client" in tls_init(tmp_path).output
    assert contents(tmp_path) == after


@pytest.mark.parametrize("arguments", [["--host", "db.lan"], ["--client", "bob"]], ids=["server", "client"])
def test_nothing_is_overwritten(tmp_path: Path, arguments: list[str]):
    tls_init(tmp_path, "--client", "bob")
    before = contents(tmp_path)
    done = tls_init(tmp_path, *arguments)
    assert done.exit_code == 1
    assert "are there already: move both away" in done.output
    assert contents(tmp_path) == before


@pytest.mark.parametrize("missing", ["ca.key", "ca.crt", "server.key", "server.crt"])
def test_half_a_pair_is_named_and_nothing_is_put_beside_it(tmp_path: Path, missing: str):
    tls_init(tmp_path)
    (tmp_path / missing).unlink()
    before = contents(tmp_path)
    done = tls_init(tmp_path, "--host=db.lan")
    assert done.exit_code == 1
    assert "without its other half" in done.output
    assert contents(tmp_path) == before


def test_a_key_of_another_authority_is_refused(tmp_path: Path):
    tls_init(tmp_path / "one")
    tls_init(tmp_path / "two")
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "two" / "ca.key").read_bytes())
    assert "is not the key of" in tls_init(tmp_path / "one", "--client=bob").output
    (tmp_path / "two" / "ca.crt").write_text("nothing")
    assert "are no authority" in tls_init(tmp_path / "two", "--client=bob").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--client", "../bob"], "is not 1 to 63 letters", id="a path as client"),
        pytest.param(["--host", "not a host"], "neither an address nor the name of a host", id="host"),
        pytest.param(["--days", "0"], "--days", id="no time"),
    ],
)
def test_bad_arguments_are_refused_with_2(tmp_path: Path, arguments: list[str], message: str):
    done = tls_init(tmp_path / "tls", *arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "tls").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = tls_init(tmp_path / "file" / "tls")
    assert done.exit_code == 1
    assert f"The directory {tmp_path / 'file' / 'tls'} cannot be made: Not a directory." in done.output


def test_clients_are_told_of_no_name_with_a_wildcard(tmp_path: Path):
    assert "holdfast+tls://db.lan:5600" in tls_init(tmp_path / "one", "--host=*.lan", "--host=db.lan").output
    assert "holdfast+tls://localhost:5600" in tls_init(tmp_path / "two", "--host=*.lan").output


def test_a_dangling_link_is_not_written_through(tmp_path: Path):
    (tmp_path / "ca.key").symlink_to(tmp_path / "elsewhere")
    assert tls_init(tmp_path).exit_code == 1
    assert not (tmp_path / "elsewhere").exists()
