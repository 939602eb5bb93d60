"""Certificates whose time has not come yet."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from tests.tls_files import write_dated

from holdfast_server.tls import TlsFileError, files, reloading
from holdfast_server.tls.files import TlsFiles
from holdfast_server.tls.reloading import ReloadingCertificates

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.timezone.utc)
LATER = dt.timedelta(minutes=10)


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


def write_pair(folder: Path, begins: dt.timedelta) -> TlsFiles:
    return TlsFiles(*write_dated(folder, begins=begins, ends=begins + dt.timedelta(days=90), now=NOON))


def test_one_that_is_valid_from_later_on_is_used_from_then_on(tmp_path: Path, clock: type[Clock]) -> None:
    pair = write_pair(tmp_path, dt.timedelta(days=-1))
    certificates = ReloadingCertificates(pair)
    before = certificates.current()
    write_pair(tmp_path, LATER)
    assert certificates.current() is before
    clock.time = NOON + dt.timedelta(minutes=9)
    assert certificates.current() is before
    clock.time = NOON + dt.timedelta(minutes=10, seconds=1)
    assert certificates.current().chain == pair.cert.read_bytes()


def test_the_refusal_says_from_when_on(tmp_path: Path, clock: type[Clock]) -> None:
    with pytest.raises(TlsFileError, match=r"valid from 2030-01-01 12:10 UTC on") as refused:
        ReloadingCertificates(write_pair(tmp_path, LATER))
    assert refused.value.valid_from == NOON + LATER
