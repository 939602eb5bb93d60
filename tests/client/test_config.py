"""What a user may say to name a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast._config import Target, parse_target
from holdfast.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("uri", "address", "normalized"),
    [
        pytest.param("holdfast://127.0.0.1:5600", "127.0.0.1:5600", "holdfast://127.0.0.1:5600", id="loopback"),
        pytest.param("holdfast://localhost:1234/", "localhost:1234", "holdfast://localhost:1234", id="localhost"),
        pytest.param("holdfast://[::1]:7", "[::1]:7", "holdfast://[::1]:7", id="ipv6"),
        pytest.param("holdfast://localhost", "localhost:5600", "holdfast://localhost:5600", id="default port"),
        pytest.param("HOLDFAST://LocalHost:1", "localhost:1", "holdfast://localhost:1", id="case"),
        pytest.param(
            "holdfast://db.lan:1?insecure=true",
            "db.lan:1",
            "holdfast://db.lan:1?insecure=true",
            id="explicitly insecure",
        ),
        pytest.param("holdfast+tls://db.lan:443", "db.lan:443", "holdfast+tls://db.lan:443", id="tls"),
        pytest.param("unix:/run/x.sock", "unix:/run/x.sock", "unix:/run/x.sock", id="socket"),
        pytest.param("unix:///run/x.sock", "unix:/run/x.sock", "unix:/run/x.sock", id="socket with an authority"),
    ],
)
def test_addresses_are_normalized(uri, address, normalized):
    target = parse_target(uri, {})
    assert (target.address, target.uri, target.data_dir) == (address, normalized, None)
    assert parse_target(target.uri, {}) == target


def test_tls_is_encrypted_and_loopback_is_not():
    assert parse_target("holdfast+tls://db.lan:1", {}).tls
    assert not parse_target("holdfast://localhost:1", {}).tls


def test_the_variable_says_that_the_network_is_trusted():
    target = parse_target("holdfast://db.lan:1", {"HOLDFAST_INSECURE": "1"})
    assert target.uri == "holdfast://db.lan:1?insecure=true"


def test_the_query_wins_over_the_variable():
    with pytest.raises(InvalidArgumentError, match="in the clear"):
        parse_target("holdfast://db.lan:1?insecure=false", {"HOLDFAST_INSECURE": "1"})


def test_unset_means_the_variable_and_then_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_target(None, {}).data_dir == tmp_path / ".holdfast"
    assert parse_target("", {"HOLDFAST_URI": ""}).data_dir == tmp_path / ".holdfast"
    assert parse_target(None, {"HOLDFAST_URI": "holdfast://localhost:1"}).address == "localhost:1"
    assert parse_target(tmp_path / "x", {"HOLDFAST_URI": "holdfast://localhost:1"}).data_dir == tmp_path / "x"


@pytest.mark.parametrize(
    "uri", ["runs", "./runs", "file:{}/runs", "file://{}/runs", "file://localhost{}/runs", "{}/runs"]
)
def test_directories_become_absolute(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_target(uri.format(tmp_path), {}).data_dir == tmp_path / "runs"


def test_home_directories_are_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_target("~/runs", {}).data_dir == tmp_path / "runs"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("http://localhost:5000", "holdfast://host:port", id="http"),
        pytest.param("https://x", r"holdfast\+tls://host:port", id="https"),
        pytest.param("sqlite:///runs.db", "'sqlite' is not supported", id="sqlite"),
        pytest.param("postgresql://u:secret@db/x", "'postgresql' is not supported", id="postgresql"),
        pytest.param("databricks://x", "'databricks' is not supported", id="databricks"),
        pytest.param("localhost:5600", "write holdfast://localhost:5600", id="no scheme"),
        pytest.param("10.0.0.1:5600", "write holdfast://10.0.0.1:5600", id="number without scheme"),
        pytest.param("holdfast://db.lan:5600", "in the clear", id="clear text"),
        pytest.param("holdfast://", "names no host", id="no host"),
        pytest.param("holdfast:localhost", "names no host", id="no slashes"),
        pytest.param("holdfast://localhost:port", "cannot be read", id="bad port"),
        pytest.param("holdfast://localhost:70000", "cannot be read", id="port out of range"),
        pytest.param("holdfast://[::1", "cannot be read", id="bad bracket"),
        pytest.param("holdfast://localhost:1/path", "has a path", id="path"),
        pytest.param("holdfast://localhost:1?tls=1", "Unknown option 'tls'", id="option"),
        pytest.param("holdfast://db.lan:1?insecure=perhaps", "true or false", id="flag"),
        pytest.param("holdfast://me:secret@localhost:1", "do not belong in a URI", id="credentials"),
        pytest.param("unix:", "names no socket", id="empty socket"),
        pytest.param("unix:/" + "x" * 107, "at most 107 bytes", id="long socket"),
        pytest.param("file://elsewhere/x", "this machine", id="remote file"),
        pytest.param("file:", "no directory", id="empty file"),
        pytest.param("a\0b", "NUL", id="nul"),
    ],
)
def test_other_uris_are_refused_with_the_way_out(uri, message):
    with pytest.raises(InvalidArgumentError, match=message) as info:
        parse_target(uri, {})
    assert "secret" not in str(info.value)


def test_a_file_is_no_data_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgumentError, match="is a file"):
        parse_target(tmp_path / "file", {})


def test_secrets_do_not_show():
    target = parse_target("holdfast+tls://db.lan:1", {"HOLDFAST_TOKEN": "hunter2"})
    assert target.token == "hunter2"
    assert "hunter2" not in repr(target)
    assert "token='***'" in repr(target)
    assert "hunter2" not in str(target.uri)
    assert repr(parse_target("holdfast://localhost:1", {})) == "Target('holdfast://localhost:1')"


def test_a_token_with_a_line_break_is_refused():
    with pytest.raises(InvalidArgumentError, match="HOLDFAST_TOKEN"):
        parse_target("holdfast://localhost:1", {"HOLDFAST_TOKEN": "a\nb"})


def test_targets_are_values():
    assert Target(uri="x", data_dir=Path("x")) == Target(uri="x", data_dir=Path("x"))
    with pytest.raises(AttributeError):
        Target(uri="x").uri = "y"
