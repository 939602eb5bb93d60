"""What processes that were killed left is sent by ``sync``, once."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.client.conftest import ServerThread
from tests.client.logging_programs import start, steps
from tests.ports import free_port
from tests.server_process import clean_environment

import holdfast
from holdfast._client import Client
from holdfast._journal import syncing
from holdfast._journal.folder import Folder, folders
from holdfast_server.storage.sql.connection import connect

KILLED = """
import os, signal, holdfast
from holdfast._journal import sender

sender.LINGER = 3600  # nothing is sent by itself
run = holdfast.start_run()
for step in range(5_000):
    holdfast.log_metric("m", 1.0, step=step)
    if step == 2_000:
        holdfast.flush()
    if step == 2_500:
        sender.ENOUGH = 1 << 30
print(run.info.run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def left_by_a_killed_process(server, journals: Path, code: str = KILLED) -> str:
    """The run whose points wait in ``journals``."""
    with start(code, server, journals) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, err
    return out.strip()


def test_what_a_killed_process_logged_is_sent_once_by_any_number_of_syncs(server, client, journals):
    run_id = left_by_a_killed_process(server, journals)
    (waiting,) = holdfast.sync(dry_run=True)
    assert 0 < waiting.waiting < 5_000
    assert (waiting.uri, waiting.sent, waiting.error) == (server.uri, 0, "")
    with ThreadPoolExecutor(4) as pool:
        results = [result for results in pool.map(lambda _: holdfast.sync(), range(4)) for result in results]
    assert sum(result.sent for result in results) == waiting.waiting
    assert steps(client, run_id, "m") == list(range(5_000))
    assert holdfast.sync() == []
    assert list(folders(journals)) == []


def test_a_journal_that_was_sent_before_changes_nothing_when_it_is_sent_again(server, client, journals):
    run_id = left_by_a_killed_process(server, journals)
    (folder,) = folders(journals)
    copy = {path.name: path.read_bytes() for path in folder.iterdir()}
    (first,) = holdfast.sync()
    assert not folder.exists()
    folder.mkdir()
    for name, data in copy.items():
        (folder / name).write_bytes(data)
    (again,) = holdfast.sync()
    assert (again.sent, again.refused, again.error) == (first.sent, 0, "")
    assert steps(client, run_id, "m") == list(range(5_000))


def test_a_segment_that_is_gone_costs_its_own_points_and_no_others(server, client, journals, caplog):
    code = f"from holdfast._journal import segment; segment.SIZE = 32 << 10\n{KILLED}"
    run_id = left_by_a_killed_process(server, journals, code)
    (folder,) = folders(journals)
    _, second, *_ = sorted(folder.glob("*.segment"))
    second.unlink()
    copy = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert holdfast.sync()[0].error == ""
    found = steps(client, run_id, "m")
    assert len(found) == len(set(found)) < 5_000
    lost = sorted(set(range(5_000)) - set(found))
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert "did not arrive" in caplog.text
    folder.mkdir()
    for name, data in copy.items():
        (folder / name).write_bytes(data)
    assert holdfast.sync()[0].error == ""
    assert steps(client, run_id, "m") == found, "what goes on after a gap goes on under the same name"


def test_a_sync_that_is_killed_is_made_up_for_by_the_next(server, client, journals, monkeypatch):
    run_id = left_by_a_killed_process(server, journals)
    (folder,) = folders(journals)
    sent = []

    def fail(*arguments: object, **options: object) -> None:
        sent.append(1)
        if len(sent) == 2:
            raise KeyboardInterrupt
        send(*arguments, **options)

    send = syncing.Delivery.send
    monkeypatch.setattr(syncing.Delivery, "send", fail)
    with pytest.raises(KeyboardInterrupt):
        holdfast.sync()
    monkeypatch.undo()
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(journals))
    assert folder.exists()
    (result,) = holdfast.sync()
    assert result.error == ""
    assert steps(client, run_id, "m") == list(range(5_000))


def test_a_journal_whose_server_is_away_stays(journals, tmp_path):
    code = (
        "import holdfast\n"
        "from holdfast._journal import processes, keeping\n"
        "processes.AWAY_SECONDS = keeping.PATIENCE = 0.1\n"
        "holdfast.Client('unix:' + __import__('sys').argv[1]).create_run('0')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "absent.sock")],
        env=clean_environment({"HOLDFAST_JOURNAL_DIR": str(journals)}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        (result,) = syncing.sync(patience=0.1)
        assert (result.sent, result.waiting) == (0, 1)
        assert "No Holdfast server answers" in result.error
    (folder,) = folders(journals)
    taken = Folder.take(folder)
    assert taken is not None
    taken.remove()


def test_the_command_sends_what_waits(server, client, journals):
    run_id = left_by_a_killed_process(server, journals)

    def sync(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", "from holdfast.cli import main; main()", *arguments],
            env=clean_environment({"HOLDFAST_JOURNAL_DIR": str(journals)}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not done.stderr
        return done.returncode, done.stdout

    code, out = sync("sync", "--dry-run", "--json")
    waiting = json.loads(out)
    assert (code, waiting["uri"], waiting["sent"]) == (0, server.uri, 0)
    assert sync("--uri", "holdfast://127.0.0.1:1", "sync") == (0, "Nothing waits.\n")
    code, out = sync("sync")
    assert code == 0
    assert f"{waiting['waiting']:,} sent" in out
    assert sync("sync") == (0, "Nothing waits.\n")
    assert sync("sync", "--json") == (0, "")
    assert steps(client, run_id, "m") == list(range(5_000))


OFFLINE = """
import os, signal, holdfast
from holdfast._journal import keeping, processes
from holdfast.entities import Dataset, DatasetInput, Metric, Param, RunTag

keeping.PATIENCE = processes.AWAY_SECONDS = 0.1
client = holdfast.Client()
run = client.create_run("0", tags={"kind": "offline"})
run_id = run.info.run_id
client.log_batch(run_id, [Metric("batch", 1.0, 1_700_000_000_000, 1)], [Param("p", "1")], [RunTag("state", "left")])
for step in range(100):
    run.log_metric("m", 1.0, step=step)
run.set_tag("gone", "1")
run.delete_tag("gone")
client.log_inputs(run_id, [DatasetInput(Dataset("d", "1", "local", "/"))])
run.end()
print(run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class Elsewhere:
    """A server that is not there yet."""

    def __init__(self, data_dir: Path) -> None:
        self._address = f"127.0.0.1:{free_port()}"
        self._data_dir, self.uri = data_dir, f"holdfast://{self._address}"

    @contextlib.contextmanager
    def started(self) -> Iterator[ServerThread]:
        server = ServerThread(self._data_dir, self._address)
        try:
            yield server
        finally:
            server.stop()


def forget_requests(server: ServerThread) -> None:
    """Let eight days pass, as far as request ids are concerned, and the server do what it does every hour."""
    with contextlib.closing(connect(server.app.config.data_dir / "holdfast.db")) as database:
        database.execute("UPDATE requests SET create_time = create_time - ?", (8 * 24 * 3_600_000,))
        server._run(server.app.database.maintain())
        assert database.execute("SELECT COUNT(*) FROM requests").fetchone()[0] == 0


def test_what_is_sent_again_when_its_request_ids_are_forgotten_is_there_once(journals, tmp_path):
    elsewhere = Elsewhere(tmp_path / "data")
    run_id = left_by_a_killed_process(elsewhere, journals, OFFLINE)
    (folder,) = folders(journals)
    copy = {path.name: path.read_bytes() for path in folder.iterdir()}
    with elsewhere.started() as server, Client(elsewhere.uri) as client:
        (first,) = holdfast.sync()
        assert (first.refused, first.waiting, first.error) == (0, 0, "")
        sent = client.get_run(run_id).to_dictionary()
        assert steps(client, run_id, "m") == list(range(100))
        client.set_tag(run_id, "state", "changed since")
        client.set_tag(run_id, "more", "1")
        forget_requests(server)
        folder.mkdir()
        for name, data in copy.items():
            (folder / name).write_bytes(data)
        (again,) = holdfast.sync()
        assert (again.sent, again.refused, again.error) == (first.sent, 0, "")
        assert [steps(client, run_id, key) for key in ("m", "batch")] == [list(range(100)), [1]]
        client.delete_tag(run_id, "more")
        # What the process said itself is said again, and nothing of it is there twice.
        assert client.get_run(run_id).to_dictionary() == sent
    assert list(folders(journals)) == []
