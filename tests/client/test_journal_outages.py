"""Logging while the server is away: the program goes on, with one warning, and all of it arrives."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tests.client.conftest import ServerThread, forget_connection
from tests.ports import free_port
from tests.server_process import clean_environment

import holdfast
from holdfast import _active_run
from holdfast._client import Client
from holdfast._config import parse_target
from holdfast._journal import keeping, processes, segment, sender
from holdfast._journal.journal import Journal
from holdfast._journal.records import call_record
from holdfast._patience import RetryPolicy
from holdfast.entities import Dataset, DatasetInput, LoggedModelOutput, Metric, Param
from holdfast.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    UnsentError,
)

QUICK = RetryPolicy(window=0.5, first_window=0.5, initial_delay=0.02, max_delay=0.1)
PATIENT = RetryPolicy(window=120, first_window=120)


class Flaky:
    """A server that can be away; its data and its address stay."""

    def __init__(self, data_dir) -> None:
        self._data_dir, self.port = data_dir, free_port()
        self.uri = f"holdfast://127.0.0.1:{self.port}"
        self._server: ServerThread | None = None

    def start(self) -> None:
        self._server = ServerThread(self._data_dir, f"127.0.0.1:{self.port}")

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


@pytest.fixture
def flaky(tmp_path, monkeypatch) -> Iterator[Flaky]:
    """A server of the test's own, which is not there yet."""
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path / "journals"))
    monkeypatch.setattr(keeping, "PATIENCE", 0.2)
    monkeypatch.setattr(processes, "AWAY_SECONDS", 0.2)
    flaky = Flaky(tmp_path / "data")
    yield flaky
    flaky.stop()


@pytest.fixture
def connected(flaky, monkeypatch) -> Iterator[Client]:
    """The fluent functions speak to the flaky server."""
    forget_connection(monkeypatch)
    monkeypatch.setenv("HOLDFAST_URI", flaky.uri)
    client = holdfast.connect()
    yield client
    _active_run.end_all("FINISHED")
    client.close()


def warnings(caplog) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_whole_run_is_logged_while_the_server_is_away_and_arrives_when_it_comes(flaky, connected, caplog):
    with holdfast.start_run(run_name="offline", tags={"a": "b"}) as run:
        holdfast.log_params({"lr": 0.1, "depth": 3})
        for step in range(2_000):
            holdfast.log_metric("loss", step / 2, step=step)
        holdfast.set_tag("kind", "first")
        holdfast.set_tag("kind", "second")
        holdfast.set_tag("gone", "x")
        holdfast.delete_tag("gone")
        connected.log_batch(run.info.run_id, [Metric("batch", 1.0)])
        with pytest.raises(UnsentError) as info:
            holdfast.flush(0.2)
        assert len(warnings(caplog)) == 1, warnings(caplog)
    assert (info.value.waiting, info.value.refused, info.value.lost) == (2_007, 0, 0)
    assert info.value.journal.startswith(str(flaky._data_dir.parent / "journals"))
    assert "holdfast sync" in info.value.message
    assert [message.partition(":")[0] for message in warnings(caplog)[1:]] == ["Not all that was logged is at holdfast"]
    assert holdfast.active_run() is None
    flaky.start()
    holdfast.flush(60)
    found = connected.get_run(run.info.run_id)
    assert (found.info.status, found.info.run_name, found.info.start_time) == (
        "FINISHED",
        "offline",
        run.info.start_time,
    )
    assert found.info.end_time >= found.info.start_time
    assert found.data.params == {"lr": "0.1", "depth": "3"}
    assert found.data.metrics == {"loss": 999.5, "batch": 1.0}
    assert (found.data.tags["kind"], found.data.tags["a"], "gone" in found.data.tags) == ("second", "b", False)
    assert [point.step for point in connected.get_metric_history(run.info.run_id, "loss")] == list(range(2_000))


@pytest.mark.parametrize("how", ["function", "variable"])
def test_an_experiment_may_be_chosen_by_name_while_the_server_is_away(flaky, connected, how, monkeypatch, caplog):
    monkeypatch.setattr(connected.channel, "retry", QUICK)
    if how == "function":
        assert holdfast.set_experiment("chosen").name == "chosen"
    else:
        monkeypatch.setenv("HOLDFAST_EXPERIMENT_NAME", "chosen")
    with holdfast.start_run() as first:
        holdfast.log_metric("m", 1.0)
    flaky.start()
    holdfast.flush(60)
    with holdfast.start_run() as second:
        pass
    holdfast.flush(60)
    monkeypatch.setattr(connected.channel, "retry", PATIENT)
    experiment = holdfast.get_experiment_by_name("chosen")
    for run in (first, second):
        assert run.refresh().info.experiment_id == experiment.experiment_id
    assert first.refresh().data.metrics == {"m": 1.0}
    found = {run.info.run_id for run in holdfast.search_runs(output_format="list")}
    assert found == {first.info.run_id, second.info.run_id}


def test_a_server_that_goes_away_in_the_middle_costs_nothing(flaky, connected, caplog):
    flaky.start()
    with holdfast.start_run() as run:
        for step in range(3_000):
            holdfast.log_metric("loss", 1.0, step=step)
            if step == 1_000:
                flaky.stop()
            elif step == 1_500:
                holdfast.log_param("during", "outage")
            elif step == 2_000:
                flaky.start()
        holdfast.flush(60)
        holdfast.log_param("after", "outage")
    found = connected.get_run(run.info.run_id)
    assert (found.info.status, found.data.params) == ("FINISHED", {"during": "outage", "after": "outage"})
    assert [point.step for point in connected.get_metric_history(run.info.run_id, "loss")] == list(range(3_000))
    assert len(warnings(caplog)) == 1


def test_logging_does_not_wait_for_a_server_that_is_known_to_be_away(flaky, connected):
    with holdfast.start_run():
        begun = time.monotonic()
        for step in range(200):
            holdfast.log_metric("m", 1.0, step=step)
            holdfast.log_param(f"p{step}", step)
        assert time.monotonic() - begun < 30  # of the 40 s of 200 changes that each waited for as long as the first
    flaky.start()
    holdfast.flush(60)


def test_what_a_strict_client_logs_fails_while_the_server_is_away(flaky, monkeypatch):
    with Client(flaky.uri, retry=QUICK, strict=True) as client:
        with pytest.raises(UnavailableError):
            client.create_run("0")
        flaky.start()
        client.channel.retry = PATIENT  # gRPC may look again only a while after it found nobody
        run_id = client.create_run("0").info.run_id
        client.channel.retry = QUICK
        client.log_metric(run_id, "m", 1.0, step=0)
        client.flush()
        flaky.stop()
        with pytest.raises(UnavailableError):
            client.log_param(run_id, "a", "b")
        logged = 1
        with contextlib.suppress(UnsentError):
            while logged < 1_000_000:
                client.log_metric(run_id, "m", 1.0, step=logged)
                logged += 1
        assert logged < 1_000_000, "an error is raised soon"
        flaky.start()
        client.flush(60)  # by the sender's own connection
        client.channel.retry = PATIENT
        assert len(client.get_metric_history(run_id, "m")) == logged + 1, "the last one is journalled, too"


def test_strictness_is_chosen_by_argument_or_variable(flaky, monkeypatch):
    monkeypatch.setenv("HOLDFAST_URI", flaky.uri)
    forget_connection(monkeypatch)
    assert not holdfast.connect(flaky.uri).strict
    assert holdfast.connect(flaky.uri, strict=True).strict
    monkeypatch.setenv("HOLDFAST_STRICT", "1")
    assert Client(flaky.uri).strict
    assert not Client(flaky.uri, strict=False).strict


def test_a_refusal_of_what_waited_is_told(flaky, connected, caplog):
    flaky.start()
    with holdfast.start_run() as run:
        holdfast.log_param("lr", 1)
        flaky.stop()
        holdfast.set_tag("x", "y")  # waits
        holdfast.log_param("lr", 2)  # the server would refuse it now
        flaky.start()
        with pytest.raises(UnsentError) as info:
            holdfast.flush(60)
    assert (info.value.waiting, info.value.refused, info.value.reason) == (0, 1, "PARAM_IMMUTABLE")
    assert connected.get_run(run.info.run_id).data.params == {"lr": "1"}
    assert any(
        "refused what was logged" in message and "params never change" in message for message in warnings(caplog)
    )


def described(number: int) -> DatasetInput:
    return DatasetInput(Dataset(f"d{number}", "1", "local", "/", profile="x" * 900_000))


TOO_MUCH = {
    "points": lambda client, run_id: client.log_batch(run_id, [Metric("m", 1.0)] * 1_001),
    "more points than a segment holds": lambda client, run_id: client.log_batch(run_id, [Metric("m", 1.0)] * 170_000),
    "params": lambda client, run_id: client.log_batch(run_id, params=[Param(f"p{n}", "x") for n in range(101)]),
    "bytes": lambda client, run_id: client.log_batch(run_id, params=[Param(f"p{n}", "日" * 6_000) for n in range(99)]),
    "datasets": lambda client, run_id: client.log_inputs(run_id, [described(n) for n in range(6)]),
    "models": lambda client, run_id: client.log_outputs(run_id, [LoggedModelOutput("m-" + "0" * 32)] * 101),
    "tags of a new run": lambda client, _: client.create_run("0", tags={f"t{n}": "x" for n in range(101)}),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_is_too_much_at_once_is_refused_while_the_server_is_away(flaky, connected, what):
    with holdfast.start_run() as run:
        waiting = connected._sender.waiting
        with pytest.raises(InvalidArgumentError) as refused:
            TOO_MUCH[what](connected, run.info.run_id)
        assert refused.value.reason == "LIMIT_EXCEEDED"
        assert refused.value.metadata["limit"] in refused.value.message
        assert connected._sender.waiting == waiting
        holdfast.log_metric("m", 2.0)
        holdfast.log_param("p", "q")
    flaky.start()
    holdfast.flush(60)
    found = run.refresh()
    assert (found.info.status, found.data.metrics, found.data.params) == ("FINISHED", {"m": 2.0}, {"p": "q"})


@pytest.mark.parametrize("what", ["points", "params", "bytes", "models", "tags of a new run"])
def test_it_is_refused_in_the_same_words_while_the_server_is_there(flaky, connected, what):
    with holdfast.start_run() as run, pytest.raises(InvalidArgumentError) as away:
        TOO_MUCH[what](connected, run.info.run_id)
    flaky.start()
    holdfast.flush(60)
    with pytest.raises(InvalidArgumentError) as there:
        TOO_MUCH[what](connected, run.info.run_id)
    assert (away.value.reason, away.value.metadata["limit"]) == (there.value.reason, there.value.metadata["limit"])
    if what != "bytes":  # of which a request has some more or less
        assert away.value.message == there.value.message


def test_a_record_larger_than_a_segment_is_refused_before_anything_waits_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path))
    journal = Journal(parse_target("holdfast://127.0.0.1:1"), on_work=lambda: None, wait_for_room=lambda _: False)
    with pytest.raises(InvalidArgumentError) as refused:
        journal.append_call("LogInputs", bytes(segment.SIZE))
    assert refused.value.reason == "LIMIT_EXCEEDED"
    assert (journal.appended, len(journal.segments)) == (0, 0)
    largest = segment.SIZE - segment.START - len(call_record("LogInputs", b""))
    assert journal.append_call("LogInputs", bytes(largest))
    journal.close(drained=True)


def test_files_need_the_server(flaky, tmp_path):
    (tmp_path / "file").write_text("x")
    with Client(flaky.uri, retry=QUICK) as client:
        run_id = client.create_run("0").info.run_id
        with pytest.raises(UnavailableError):
            client.log_artifact(run_id, tmp_path / "file")
        flaky.start()
        client.flush(60)  # the run itself waited in the journal
        client.channel.retry = PATIENT
        client.log_artifact(run_id, tmp_path / "file")
        assert [info.path for info in client.list_artifacts(run_id)] == ["file"]


def test_a_server_that_is_stopped_within_a_call_gets_it_once(flaky):
    flaky.start()
    with Client(flaky.uri) as client:
        run_id = client.create_run("0").info.run_id
        for round_ in range(3):
            for step in range(2_000):
                client.log_metric(run_id, "m", 1.0, step=2_000 * round_ + step)
            flaky.stop()
            flaky.start()
        client.flush(60)
        assert [point.step for point in client.get_metric_history(run_id, "m")] == list(range(6_000))


AWAY = """
import holdfast
with holdfast.start_run() as run:
    for step in range(500):
        holdfast.log_metric("loss", 1.0, step=step)
print(run.info.run_id)
"""


@pytest.mark.slow
def test_a_program_that_ends_while_the_server_is_away_leaves_all_of_it_to_sync(flaky, connected):
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", AWAY],
        env=clean_environment(
            {"HOLDFAST_URI": flaky.uri, "HOLDFAST_JOURNAL_DIR": str(flaky._data_dir.parent / "left")}
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 60
    assert "Traceback" not in done.stderr
    assert "holdfast sync" in done.stderr
    flaky.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_JOURNAL_DIR", str(flaky._data_dir.parent / "left"))
        (left,) = holdfast.sync()
    assert (left.sent, left.waiting, left.error) == (502, 0, "")
    run_id = done.stdout.strip()
    assert connected.get_run(run_id).info.status == "FINISHED"
    assert [point.step for point in connected.get_metric_history(run_id, "loss")] == list(range(500))


def test_a_closed_client_does_not_journal(flaky):
    client = Client(flaky.uri, retry=QUICK)
    client.close()
    with pytest.raises(FailedPreconditionError):
        client.log_param("0" * 32, "a", "b")


def test_an_outage_is_over_for_who_logs_when_nothing_waits(flaky, connected, monkeypatch):
    holdfast.set_experiment("chosen meanwhile")
    assert connected._sender.outage is not None
    flaky.start()
    monkeypatch.setattr(connected.channel, "retry", PATIENT)
    assert holdfast.search_runs(output_format="list") == []
    with pytest.raises(NotFoundError):
        holdfast.start_run(experiment_id="4711")


def test_what_needs_a_run_that_waits_waits_for_it(flaky, connected, monkeypatch):
    monkeypatch.setattr(sender, "RETRY", RetryPolicy(initial_delay=60, max_delay=60))  # it would be a while by itself
    with holdfast.start_run() as run:
        flaky.start()
        with connected.watch_run(run.info.run_id) as watch:
            assert next(watch).state.info.run_id == run.info.run_id
    flaky.stop()
    with holdfast.start_run() as run:
        flaky.start()
        model = connected.create_logged_model("0", "m", run.info.run_id)
    assert model.source_run_id == run.info.run_id


def test_a_flush_of_several_servers_tells_of_each(flaky, connected, caplog):
    with Client(f"holdfast://127.0.0.1:{free_port()}") as other:
        for client in (connected, other):
            run = client.create_run("0")
            client.log_metric(run.info.run_id, "m", 1.0)
        with pytest.raises(UnsentError) as raised:
            holdfast.flush(0.2)
        told = raised.value.message + caplog.text
        for client in (connected, other):
            assert f"Not all that was logged is at {client.tracking_uri}" in told


def test_files_do_not_wait_for_a_server_that_was_never_heard_as_for_one_that_went_away(flaky, connected, monkeypatch):
    retry = RetryPolicy(window=10_000, first_window=0.5)  # the suite's own limit ends the former
    monkeypatch.setattr(connected.channel, "retry", retry)
    with holdfast.start_run():
        with pytest.raises(UnavailableError):
            holdfast.log_text("no", "no.txt")
        assert connected.channel.window == retry.first_window
        flaky.start()
        holdfast.flush(60)
        holdfast.log_text("yes", "yes.txt")
        assert connected.channel.window == retry.window
