"""The data directory and a socket's are their owner's alone: made so, repaired, or refused."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_server.errors import FailedPrecondition
from holdfast_server.storage.privacy import make_data_directory, make_socket_directory


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """Files that are made here without a mode can be read by all."""
    previous = os.umask(0o022)
    yield
    os.umask(previous)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make(directory: Path, *names: str) -> None:
    directory.mkdir()
    for name in names:
        (directory / name).write_text("")


def test_a_new_directory_is_private_and_its_parents_are_as_usual(tmp_path: Path):
    make_data_directory(tmp_path / "a" / "data")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "data")) == (0o755, 0o700)


OURS = ("holdfast.db", "holdfast.db-wal", "holdfast.db.before-0031", "host.lock", "server.log", "0a1b2c3d.sock")


@pytest.mark.parametrize("loose", [0o755, 0o770, 0o777], ids=oct)
def test_an_open_data_directory_is_closed_with_all_that_is_in_it_and_told(tmp_path: Path, caplog, loose: int):
    make(tmp_path / "data", *OURS)
    (tmp_path / "data" / "store").mkdir()
    (tmp_path / "data" / "lost+found").mkdir()
    (tmp_path / "data").chmod(loose)
    with caplog.at_level(logging.WARNING):
        make_data_directory(tmp_path / "data")
    assert mode(tmp_path / "data") == 0o700
    assert {mode(tmp_path / "data" / name) for name in OURS} == {0o600}
    assert mode(tmp_path / "data" / "store") == 0o700
    assert f"data was open to others (mode {loose:04o}) and is private now" in caplog.text
    caplog.clear()
    make_data_directory(tmp_path / "data")
    assert caplog.text == "", "it is told once"


def test_a_directory_that_holds_other_things_keeps_its_mode_and_only_ours_are_closed(tmp_path: Path):
    make(tmp_path / "project", "holdfast.db", "train.py")
    make_data_directory(tmp_path / "project")
    found = {name: mode(tmp_path / "project" / name) for name in ("", "holdfast.db", "train.py")}
    assert found == {"": 0o755, "holdfast.db": 0o600, "train.py": 0o644}


@pytest.mark.parametrize("loose", [0o775, 0o777, 0o1777], ids=oct)
def test_a_directory_of_other_things_that_others_can_write_to_is_refused_as_it_is(tmp_path: Path, loose: int):
    make(tmp_path / "shared", "else")
    (tmp_path / "shared").chmod(loose)
    with pytest.raises(FailedPrecondition, match=f"mode {loose:04o}.*chmod go-w"):
        make_data_directory(tmp_path / "shared")
    assert mode(tmp_path / "shared") == loose


def test_an_empty_directory_for_everyone_is_not_taken_from_them(tmp_path: Path):
    make(tmp_path / "tmp")
    (tmp_path / "tmp").chmod(0o1777)
    with pytest.raises(FailedPrecondition, match="directory of its own"):
        make_data_directory(tmp_path / "tmp")


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path / "data")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(FailedPrecondition, match="belongs to another user"):
        make_data_directory(tmp_path / "data")


def test_a_file_system_without_permissions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path / "data")
    monkeypatch.setattr(Path, "chmod", lambda _, __: None)  # as on a FAT file system
    with pytest.raises(FailedPrecondition, match="cannot be made private here"):
        make_data_directory(tmp_path / "data")


def test_the_directory_of_a_socket_is_made_private_and_one_that_is_there_stays(tmp_path: Path):
    make_socket_directory(tmp_path / "run")
    assert mode(tmp_path / "run") == 0o700
    make(tmp_path / "there")
    make_socket_directory(tmp_path / "there")
    assert mode(tmp_path / "there") == 0o755
    (tmp_path / "there").chmod(0o1777)
    make_socket_directory(tmp_path / "there")
    (tmp_path / "there").chmod(0o770)
    with pytest.raises(FailedPrecondition, match="could replace the Unix socket"):
        make_socket_directory(tmp_path / "there")
