"""``holdfast sync --from``, with the data directories of embedded and other servers."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.client.cli_runs import in_process
from tests.client.conftest import ServerThread
from tests.client.embedded_servers import server_pid, wait_until
from tests.client.store_contents import contents
from tests.server_process import clean_environment, running_server

from holdfast._client import Client
from holdfast._search_runs import runs_to_frame
from holdfast.cli.sync import tell
from holdfast.entities import Metric, SyncedJournal, SyncedStore

TRAINING = """
import os, signal, sys, holdfast
from holdfast._journal import sender

holdfast.connect(sys.argv[1])
with holdfast.start_run(run_name="offline") as run:
    for step in range(2_000):
        holdfast.log_metric("m", step, step=step)
    holdfast.log_text("text", "file.txt")
    if sys.argv[2] == "killed":
        holdfast.flush()
        sender.LINGER = 3600  # what follows stays in the journal
        for step in range(2_000, 3_000):
            holdfast.log_metric("m", step, step=step)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Client]:
    """A client of a store that is to be sent."""
    server = ServerThread(tmp_path / "source")
    try:
        with Client(server.uri) as client:
            yield client
    finally:
        server.stop()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where an embedded store is to be."""
    return tmp_path / "store"


def train(store: Path, journals: Path, how: str = "") -> None:
    environment = clean_environment({"HOLDFAST_JOURNAL_DIR": str(journals)})
    subprocess.run([sys.executable, "-c", TRAINING, str(store), how], env=environment, timeout=120, check=False)


def sync(journals: Path, uri: str, *arguments: object, expect: int = 0) -> str:
    """What the command prints, or its errors when it shall fail."""
    done = subprocess.run(
        [sys.executable, "-c", "from holdfast.cli import main; main()", "sync", *map(str, arguments)],
        env=clean_environment({"HOLDFAST_JOURNAL_DIR": str(journals), "HOLDFAST_URI": uri}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == expect, (done.stdout, done.stderr)
    return done.stderr if expect else done.stdout


def test_what_a_program_logged_offline_arrives_with_what_its_journal_holds(other, store, journals):
    train(store, journals, "killed")
    uri = other.tracking_uri
    foreseen = sync(journals, uri, "--from", store, "--dry-run").splitlines()
    assert "waiting" in foreseen[0]
    assert "would send 1 run, " in foreseen[1]
    assert contents(other)["runs"] == {}
    told = sync(journals, uri, "--from", store).splitlines()
    assert " sent  -c (pid " in told[0]
    assert told[1] == f"{store} -> {uri}: sent 1 run, 3,000 points, 1 file (4 B that the server lacked)"
    (run,) = other.search_runs(["0"])
    assert [point.step for point in other.get_metric_history(run.info.run_id, "m")] == list(range(3_000))
    # At most that it is lost, which the source knows once its server ended.
    again = sync(journals, uri, "--from", store).removeprefix(f"{store} -> {uri}: ")
    assert again in ("nothing to send\nunchanged: 1 run\n", "sent 1 run\n")
    with Client(store) as source:
        assert contents(other) == contents(source)


def test_the_report_as_json_and_the_exit_code_of_a_problem(other, store, journals):
    with Client(store) as source:
        run_id = source.create_run("0").info.run_id
        source.delete_run(source.create_run("0").info.run_id)
        source.create_run(source.create_experiment("elsewhere"))
    other.create_run("0")  # so that ids of experiments differ
    told = json.loads(sync(journals, other.tracking_uri, "--from", store, "--json"))
    assert (told["runs"], told["left_deleted_runs"], told["is_complete"], told["problems"]) == (2, 1, True, [])
    other.delete_tag(run_id, "holdfast.sync")
    errors = sync(journals, other.tracking_uri, "--from", store, expect=1)
    assert errors.startswith(f"run {run_id}: There is a run {run_id} at the server that this store did not send")


def test_a_journal_that_held_nothing_is_not_told_of(capsys):
    journal = SyncedJournal(path="j", uri="here", pid=1, host="h", program="p", since=0)
    tell(SyncedStore(source="here", uri="there", store_id="s", runs=1, journals=[journal]))
    assert capsys.readouterr().out == "here -> there: sent 1 run\n"
    tell(SyncedStore(source="here", uri="there", store_id="s", journals=[replace(journal, sent=2)]))
    assert "2 sent" in capsys.readouterr().out


def test_what_a_sync_notes_for_itself_is_shown_nowhere(source, other):
    experiment_id = source.create_experiment("vision", tags={"team": "red"})
    run_ids = [source.create_run(experiment_id, tags={"note": str(i)}).info.run_id for i in range(2)]
    model = source.create_logged_model(experiment_id, "m", run_ids[0])
    source.finalize_logged_model(model.model_id, "READY")
    source.create_registered_model("m", {"kind": "tree"})
    source.register_logged_model("m", model.model_id, tags={"k": "v"})
    assert other.sync_from(source.tracking_uri, include_versions=True).is_complete
    other.set_terminated(run_ids[0])
    for arguments, own in (
        (["runs", "ls", "-e", "vision", "--columns", "id,tags"], "note=1"),
        (["runs", "show", run_ids[0]], "tag note"),
        (["runs", "compare", *run_ids, "--tags", "--diff"], "note"),
        (["runs", "tail", run_ids[0]], "note"),
        (["experiments", "ls"], "team=red"),
        (["experiments", "show", "vision"], "tag team"),
        (["models", "show", "m"], "tag kind"),
        (["models", "show", "m/1"], "tag k"),
        (["models", "history", "m"], "registered"),
    ):
        told = in_process(other.tracking_uri, *arguments)
        assert own in told
        assert "holdfast.sync" not in told
    runs = other.search_runs([experiment_id])
    assert "holdfast.sync" in runs[0].data.tags
    assert [column for column in runs_to_frame(runs) if "tags." in column] == ["tags.mlflow.runName", "tags.note"]
    assert "tags.holdfast.sync" in runs_to_frame(runs, ["tags.holdfast.sync"])
    assert "store" in in_process(other.tracking_uri, "runs", "ls", "-e", "vision", "--columns", "tags.holdfast.sync")


def test_wrong_calls_say_what_to_do(other, store, journals):
    assert "HOLDFAST_URI" in sync(journals, "", "--from", store, expect=2)
    assert "go with --from" in sync(journals, other.tracking_uri, "--versions", expect=2)
    assert "it has no holdfast.db" in sync(journals, other.tracking_uri, "--from", store, expect=1)
    train(store, journals)
    assert "is the store to send to, too" in sync(journals, str(store), "--from", store, expect=1)


def test_the_directory_of_a_server_that_runs_is_sent_beside_it(other, store, journals):
    with (
        running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", str(store)) as server,
        Client(f"holdfast://{server.address}") as source,
    ):
        run_id = source.create_run("0").info.run_id
        source.log_batch(run_id, metrics=[Metric("m", 1.0, 1, 1)])
        assert "sent 1 run, 1 point\n" in sync(journals, other.tracking_uri, "--from", store)
        source.log_batch(run_id, metrics=[Metric("m", 2.0, 2, 2)])
        # By its address it is the same store.
        told = sync(journals, other.tracking_uri, "--from", source.tracking_uri)
        assert told == f"{source.tracking_uri} -> {other.tracking_uri}: sent 1 run, 1 point\n"
        assert contents(other) == contents(source)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param("newer", "A newer Holdfast wrote this database", id="newer schema"),
        pytest.param("damaged", "did not start", id="no database"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why(other, store, journals, spoil, told):
    train(store, journals)
    wait_until(lambda: server_pid(store) is None)  # one that still runs would serve what it has open
    database = store / "holdfast.db"
    if spoil == "newer":
        connection = sqlite3.connect(database)
        with connection:
            connection.execute("UPDATE _sqlite_migrations SET name = '9999_later' WHERE name LIKE '0035%'")
        connection.close()
    else:
        database.write_bytes(b"no database at all" * 1_000)
    assert told in sync(journals, other.tracking_uri, "--from", store, expect=1)
    assert contents(other)["runs"] == {}
