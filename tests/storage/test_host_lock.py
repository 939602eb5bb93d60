"""One host for a data directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_server.errors import FailedPrecondition
from holdfast_server.storage import host_lock
from holdfast_server.storage.host_lock import HostLock, file_system_of


def test_processes_of_one_host_share_the_directory(tmp_path: Path) -> None:
    first, second = HostLock(tmp_path), HostLock(tmp_path)
    first.close()
    third = HostLock(tmp_path)
    second.close()
    third.close()
    fourth = HostLock(tmp_path)
    fourth.close()
    assert [lock.alone_at_ms is not None for lock in (first, second, third, fourth)] == [True, False, False, True]


def test_another_host_is_refused_while_the_first_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = HostLock(tmp_path)
    monkeypatch.setattr(host_lock, "host_id", lambda: "elsewhere 1234")
    with pytest.raises(FailedPrecondition, match="HOLDFAST_URI"):
        HostLock(tmp_path)
    first.close()
    HostLock(tmp_path).close()


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_lock, "file_system_of", lambda _: "nfs4")
    with pytest.raises(FailedPrecondition, match=r"nfs4.*HOLDFAST_URI"):
        HostLock(tmp_path)


def test_the_file_system_of_proc_is_known() -> None:
    assert file_system_of(Path("/proc/self")) == "proc"
