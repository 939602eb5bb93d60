"""What a server makes is its owner's alone, and one that strangers can reach says so loudly."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server_process import run_server, running_server
from tests.tls_files import TlsDirectory

import holdfast
from holdfast_server import health_check

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """Servers that are started here would let all read what they make, were they not told otherwise."""
    previous = os.umask(0o022)
    yield
    os.umask(previous)


def open_to_others(directory: Path) -> dict[str, str]:
    """What below a directory others may read, write or enter, the directory included."""
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (directory, *directory.rglob("*"))}
    return {str(path.relative_to(directory)): oct(mode) for path, mode in modes.items() if mode & 0o077}


def log_something(uri: str, tmp_path: Path) -> None:
    with holdfast.Client(uri, strict=True) as client:
        run_id = client.create_run("0").info.run_id
        (tmp_path / "large").write_bytes(os.urandom(9 << 20))
        client.log_artifact(run_id, tmp_path / "large")
        client.log_text(run_id, "small", "small.txt")
        client.log_metric(run_id, "loss", 0.5, synchronous=True)


def test_everything_in_the_data_directory_is_private_also_blocks_and_journals(tmp_path: Path):
    with running_server("--port=0", f"--data-dir={tmp_path / 'data'}") as server:
        log_something(f"holdfast://{server.address}", tmp_path)
        assert len(list((tmp_path / "data" / "store").rglob("*"))) > 2
        assert (tmp_path / "data" / "holdfast.db").exists()
        assert open_to_others(tmp_path / "data") == {}
        assert server.stop() == 0
    assert open_to_others(tmp_path / "data") == {}


def test_a_data_directory_that_was_opened_is_closed_at_the_next_start(tmp_path: Path):
    data = tmp_path / "data"
    with running_server("--port=0", f"--data-dir={data}") as server:
        assert server.stop() == 0
    for path in (data, data / "holdfast.db", data / "store"):
        path.chmod(0o777)
    with running_server("--port=0", f"--data-dir={data}") as server:
        assert open_to_others(data) == {}
        assert sum(f"{data} was open to others (mode 0777)" in line for line in server.lines) == 1
        assert server.stop() == 0


def test_an_embedded_server_s_directory_and_the_clients_journal_are_private(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path / "journal"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    with holdfast.Client(tmp_path / "data") as client:
        run_id = client.create_run("0").info.run_id
        client.log_metric(run_id, "loss", 0.5)
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert open_to_others(tmp_path / "journal") == {}
        client.flush()


def test_a_socket_is_0600_and_its_directory_private_when_the_server_makes_it(tmp_path: Path):
    path = tmp_path / "run" / "h.sock"
    with running_server(f"--unix={path}", f"--data-dir={tmp_path / 'data'}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert open_to_others(tmp_path / "run") == {}
        assert health_check.ask(f"unix:{path}") == ""


def refused(*arguments: str) -> str:
    done = run_server(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_directories_that_others_can_write_to_are_refused(tmp_path: Path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "else").write_text("")
    shared.chmod(0o777)
    assert "chmod go-w" in refused("--port=0", f"--data-dir={shared}")
    assert "could replace the Unix socket" in refused(f"--unix={shared / 'h.sock'}", f"--data-dir={tmp_path / 'data'}")
    assert sorted(path.name for path in shared.iterdir()) == ["else"]


def test_insecure_is_said_loudly_to_the_terminal_and_to_the_log(tmp_path: Path):
    with running_server("--host=0.0.0.0", "--port=0", "--insecure", f"--data-dir={tmp_path / 'data'}") as server:
        at = server.lines.index("WARNING: this server is INSECURE. It listens on 0.0.0.0:0, and")
        assert [line.split(" ")[2:4] for line in server.lines[at + 1 : at + 3]] == [["-", "without"]] * 2
        (logged,) = [line for line in server.lines if " WARNING holdfast_server" in line]
        assert "without authentication anyone who reaches it" in logged
        assert server.stop() == 0


def test_mutual_tls_listens_beyond_loopback_without_a_word(tmp_path: Path):
    tls = TlsDirectory(tmp_path / "tls")
    arguments = ["--host=0.0.0.0", "--port=0", f"--data-dir={tmp_path / 'data'}", *tls.mutual_flags]
    with running_server(*arguments) as server:
        assert len(server.lines) == 1
        assert server.stop() == 0
    assert "without authentication" in refused("--host=0.0.0.0", f"--data-dir={tmp_path / 'data'}", *tls.flags)
