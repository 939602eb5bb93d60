"""Logging through the journal while the server is there: in microseconds, in order, each point once."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import holdfast
from holdfast import _run_calls
from holdfast._client import Client
from holdfast._config import parse_target
from holdfast._journal import segment as segments
from holdfast._journal.folder import folders, journal_root
from holdfast._journal.journal import Journal
from holdfast._journal.reading import Reader
from holdfast._journal.segment import Segment
from holdfast.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnsentError,
)


def steps(client: Client, run_id: str, key: str = "m") -> list[int]:
    return [point.step for point in client.get_metric_history(run_id, key)]


def test_the_history_has_as_many_points_as_there_were_calls(client, run_id):
    for step in range(12_345):
        client.log_metric(run_id, "m", 0.5, timestamp=1_700_000_000_000, step=step)
    history = client.get_metric_history(run_id, "m")
    assert [point.step for point in history] == list(range(12_345))
    assert {(point.value, point.timestamp) for point in history} == {(0.5, 1_700_000_000_000)}


def test_the_same_point_logged_twice_is_there_twice(client, run_id):
    for _ in range(3):
        client.log_metric(run_id, "m", 1.0, timestamp=1_700_000_000_000, step=5)
    assert steps(client, run_id) == [5, 5, 5]


def test_a_read_sees_what_was_logged_before_it(client, experiment_id, run_id):
    for number in range(20):
        client.log_metric(run_id, "m", number, step=number)
        assert client.get_run(run_id).data.metrics == {"m": number}
        (found,) = client.search_runs([experiment_id], f"metrics.m = {number}")
        assert found.info.run_id == run_id
    client.log_metrics(run_id, {"a": 1, "b": 2})
    assert client.get_run(run_id).data.metrics == {"m": 19, "a": 1, "b": 2}


def test_a_point_is_on_the_disk_when_the_call_returns(client, run_id, tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path))
    monkeypatch.setattr("holdfast._journal.sender.LINGER", 3600)
    with Client(client.tracking_uri + "?insecure=true", strict=False) as own:
        assert own._sender is client._sender, "one journal for each server"
    with Client(client.tracking_uri.replace("127.0.0.1", "localhost")) as own:
        own.get_run(run_id)
        own.log_metric(run_id, "m", 0.0)  # of a run that was not begun here, so it is sent
        for step in range(1, 5):
            own.log_metric(run_id, "m", 1.5, step=step)
            (folder,) = folders(tmp_path)
            on_disk = Segment.open(next(folder.glob("*.segment")))
            assert Reader(on_disk).count() == step
        assert own._sender.waiting == 4
    assert steps(client, run_id) == [0, 1, 2, 3, 4]
    assert list(folders(tmp_path)) == []


def test_a_synchronous_point_is_durable_when_the_call_returns(client, run_id, server):
    with Client(server.uri.replace("127.0.0.1", "localhost")) as other:
        client.log_metric(run_id, "m", 1.0, step=1)
        client.log_metric(run_id, "m", 2.0, step=2, synchronous=True)
        assert steps(other, run_id) == [1, 2]
        client.log_metrics(run_id, {"a": 1.0}, synchronous=True)
        assert other.get_run(run_id).data.metrics == {"m": 2.0, "a": 1.0}


def test_flush_waits_for_what_was_logged_before_it_and_not_for_what_other_threads_log_meanwhile(client, run_id):
    stop = threading.Event()

    def log_on() -> None:
        step = 0
        while not stop.wait(0.001):
            client.log_metric(run_id, "other", 0.0, step=step)
            step += 1

    with ThreadPoolExecutor(1) as pool:
        logging = pool.submit(log_on)
        try:
            for step in range(20):
                client.log_metric(run_id, "m", 0.0, step=step)
                client.flush()
        finally:
            stop.set()
        logging.result()


def test_flush_returns_when_all_is_durable(client, experiment_id, server):
    run_id = client.create_run(experiment_id).info.run_id
    for step in range(3_000):
        client.log_metric(run_id, "m", 1.0, step=step)
    client.flush()
    with Client(server.uri.replace("127.0.0.1", "localhost")) as other:
        assert len(steps(other, run_id)) == 3_000


def test_what_breaks_a_rule_is_refused_before_it_is_journalled(client, run_id):
    client.log_metric(run_id, "m", 1.0)
    for arguments in (("m", "one"), ("a;b", 1), (["m"], 1), ("m", 1, None, 1.5), ("m", 1, "x"), ("m", 1, None, 2**63)):
        with pytest.raises(InvalidArgumentError):
            client.log_metric(run_id, *arguments)
    with pytest.raises(InvalidArgumentError, match=r"dataset_name of metric 'm' has 501 characters; the limit is 500"):
        client.log_metric(run_id, "m", 1.0, dataset_name="x" * 501)
    for known in ({}, {"dataset_digest": "1"}):  # a series that had points before, or none
        for field in ("model_id", "dataset_name", "dataset_digest"):
            with pytest.raises(InvalidArgumentError, match=f"{field} of metric 'm' is a text"):
                client.log_metric(run_id, "m", 1.0, **{**known, field: ["x"]})
            with pytest.raises(InvalidArgumentError, match=f"{field} of metric 'm' is a text"):
                client.log_metrics(run_id, {"m": 1.0}, **{**known, field: []})
    with pytest.raises(InvalidArgumentError):
        client.log_metrics(run_id, {"good": 1.0, "bad": "x"})
    assert client.get_run(run_id).data.metrics == {"m": 1.0}


def test_a_run_or_model_that_is_not_there_is_found_by_the_call_that_names_it(client, run_id):
    with pytest.raises(NotFoundError) as info:
        client.log_metric("0" * 32, "m", 1.0)
    assert info.value.reason == "RUN_NOT_FOUND"
    with pytest.raises(NotFoundError) as info:
        client.log_metric(run_id, "m", 1.0, model_id="m-" + "0" * 32)
    assert info.value.reason == "MODEL_NOT_FOUND"
    client.log_metric(run_id, "m", 1.0)
    client.flush()


def test_points_of_models_and_datasets_keep_what_they_belong_to(client, experiment_id, run_id):
    model_id = client.create_logged_model(experiment_id, "model", source_run_id=run_id).model_id
    for step in range(5):
        client.log_metric(run_id, "m", step, step=step, model_id=model_id, dataset_name="test", dataset_digest="ab")
        client.log_metric(run_id, "m", step, step=step, dataset_name="train", dataset_digest="cd")
    history = client.get_metric_history(run_id, "m")
    assert [(point.step, point.model_id, point.dataset_name) for point in history if point.model_id] == [
        (step, model_id, "test") for step in range(5)
    ]
    assert len(history) == 10
    metrics = client.get_logged_model(model_id).metrics
    assert [(metric.key, metric.value) for metric in metrics] == [("m", 4.0)]


def test_threads_log_at_once_and_each_keeps_its_order(client, experiment_id):
    runs = [client.create_run(experiment_id).info.run_id for _ in range(3)]

    def work(thread: int) -> None:
        for step in range(1_000):
            client.log_metric(runs[thread % 3], f"thread-{thread}", float(step), timestamp=1, step=0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    for thread in range(8):
        history = client.get_metric_history(runs[thread % 3], f"thread-{thread}")
        assert [point.value for point in history] == list(range(1_000)), "of one step and time: in order of arrival"


def test_asyncio_tasks_log_at_once(fluent, name):
    holdfast.set_experiment(name)

    async def task(number: int) -> None:
        for step in range(100):
            holdfast.log_metric(f"task-{number}", step, step=step)
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(task(number) for number in range(10)))

    with holdfast.start_run() as run:
        asyncio.run(main())
    assert [len(holdfast.get_metric_history(run.info.run_id, f"task-{number}")) for number in range(10)] == [100] * 10


def test_a_signal_s_handler_may_log_whatever_it_interrupts(client, run_id):
    client.log_metric(run_id, "m", 0.0)
    interrupted = []

    def handler(*_: object) -> None:
        interrupted.append(len(interrupted))
        client.log_metric(run_id, f"handler-{len(interrupted) % 50}", 1.0)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    logged = 0
    try:
        give_up = time.monotonic() + 30
        while len(interrupted) < 200 and time.monotonic() < give_up:
            client.log_metric(run_id, "m", 1.0, step=logged)
            logged += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(steps(client, run_id)) == logged + 1
    assert sum(len(steps(client, run_id, f"handler-{number}")) for number in range(50)) == len(interrupted)


def test_delivered_segments_are_removed(client, run_id, tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path))
    monkeypatch.setattr(segments, "SIZE", 64 << 10)
    with Client(client.tracking_uri.replace("127.0.0.1", "localhost")) as own:
        for step in range(20_000):
            own.log_metric(run_id, "m", 1.0, step=step)
        own.flush()
        assert len(own._sender.journal.segments) <= 2
        assert len(list(tmp_path.glob("*/*.segment"))) <= 2
    assert len(steps(client, run_id)) == 20_000


def test_a_slow_loop_does_not_make_a_call_for_each_point(counted, proxy, experiment_id):
    run_id = counted.create_run(experiment_id).info.run_id
    counted.log_metric(run_id, "m", 0.0)
    counted.flush()
    before = proxy.sent
    for step in range(200):
        counted.log_metric(run_id, "m", 1.0, timestamp=1_700_000_000_000, step=step)
        time.sleep(0.0005)
    counted.flush()
    assert proxy.sent - before < 200 * 60, "a point takes some 30 bytes, a call some 200"


def test_points_the_server_refuses_later_are_told_kept_and_sent_when_that_is_possible(
    server, client, run_id, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path))
    with Client(server.uri.replace("127.0.0.1", "localhost")) as own:
        own.log_metric(run_id, "m", 0.0, step=0)
        own.log_metric(run_id, "m", 1.0, step=1)
        own.flush()
        client.delete_run(run_id)  # another client, of which this one knows nothing
        for step in range(2, 2_000):
            own.log_metric(run_id, "m", 1.0, step=step)
        other = own.create_run("0").info.run_id
        own.log_metric(other, "m", 1.0)
        with pytest.raises(UnsentError) as info:
            own.flush()
        assert (info.value.waiting, info.value.refused, info.value.reason) == (0, 1_998, "DELETED")
        assert info.value.journal == str(next(folders(tmp_path)))
        own.flush()  # it was told
        assert own.get_run(other).data.metrics == {"m": 1.0}, "nothing else waits for them"
    (left,) = holdfast.sync(dry_run=True)
    assert (left.waiting > 0, left.sent) == (True, 0)
    (left,) = holdfast.sync()
    assert (left.sent, left.refused) == (0, 1_998)
    assert "deleted" in left.error
    client.restore_run(run_id)
    (left,) = holdfast.sync()
    assert (left.waiting, left.refused, left.error) == (0, 0, "")
    assert holdfast.sync() == []
    assert steps(client, run_id) == list(range(2_000))


def test_a_closed_client_logs_no_more(server, run_id):
    client = Client(server.uri)
    client.log_metric(run_id, "m", 1.0)
    client.log_metric(run_id, "m", 1.0)
    client.close()
    client.close()
    with pytest.raises(FailedPreconditionError, match="closed"):
        client.log_metric(run_id, "m", 1.0)


def test_uploads_in_the_background_are_over_when_the_run_is(client, experiment_id, tmp_path):
    (tmp_path / "a").write_bytes(b"a" * 100_000)
    run = client.create_run(experiment_id)
    future = client.log_artifact(run.info.run_id, tmp_path / "a", synchronous=False)
    folder = client.log_artifacts(run.info.run_id, tmp_path, "all", synchronous=False)
    assert client.log_artifact(run.info.run_id, tmp_path / "a", "again") is None
    run.end()
    assert future.done()
    assert folder.result() is None
    assert {info.path for info in client.list_artifacts(run.info.run_id)} == {"a", "again", "all"}


def test_an_upload_in_the_background_that_fails_says_so(client, run_id, tmp_path, caplog):
    future = client.log_artifact(run_id, tmp_path / "absent", synchronous=False)
    with pytest.raises(FileNotFoundError):
        future.result(30)
    with pytest.raises(UnsentError):
        client.flush()
    assert "An upload in the background failed" in caplog.text


def test_no_journal_is_left_where_all_was_delivered(server, run_id, tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path))
    with Client(server.uri.replace("127.0.0.1", "localhost")) as own:
        own.log_metric(run_id, "m", 1.0)
        own.log_metric(run_id, "m", 1.0)
    assert list(folders(journal_root())) == []


def test_metrics_that_are_known_are_logged_as_others(client, run_id):
    for step in range(3):
        client.log_metrics(run_id, {"a": step, "b": math.nan}, step=step, timestamp=step + 1)
    with pytest.raises(InvalidArgumentError, match="'b'"):
        client.log_metrics(run_id, {"a": 1.0, "b": "text"}, step=9)
    with pytest.raises(InvalidArgumentError, match="step"):
        client.log_metrics(run_id, {"a": 1.0, "b": 1.0}, step=1.5)
    client.log_metrics(run_id, {}, step=9)
    points = client.get_metric_history(run_id, "a")
    assert [(point.step, point.value, point.timestamp) for point in points] == [(0, 0.0, 1), (1, 1.0, 2), (2, 2.0, 3)]
    assert [math.isnan(point.value) for point in client.get_metric_history(run_id, "b")] == [True] * 3


def test_a_handler_may_log_while_a_change_is_being_held(tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path))
    journal = Journal(parse_target("holdfast://127.0.0.1:1"), on_work=lambda: None, wait_for_room=lambda _: False)
    series = journal.known_series(("a" * 32, "m", None, None, None))
    journal.append_point(series, 1.0, 0, 0)
    segment = journal.segments[0]
    appended = type(segment).append

    def interrupted(self: Segment, record: bytes) -> bool:
        monkeypatch.setattr(Segment, "append", appended)
        # What a handler of a signal does that comes just before the record is written.
        journal.append_point(series, 2.0, 0, 1)
        assert journal.append_call("LogBatch", b"")
        return self.append(record)

    monkeypatch.setattr(Segment, "append", interrupted)
    assert journal.append_call("UpdateRun", b"")
    assert journal.appended == 4
    sent = [outgoing for outgoing in Reader(segment).requests(segment.end) if outgoing.request is not None]
    assert [(outgoing.method, outgoing.held) for outgoing in sent] == [
        ("LogBatch", False),
        ("UpdateRun", True),
        ("LogBatch", False),
        ("LogBatch", True),
    ]
    journal.close(drained=True)


def test_the_end_of_a_run_waits_for_its_uploads_however_long_they_take(client, fluent, tmp_path, monkeypatch):
    monkeypatch.setattr(_run_calls, "SETTLE_SECONDS", 0.05)
    going_on = threading.Event()
    with holdfast.start_run():
        future = fluent._background.begin(lambda: going_on.wait(30))
        threading.Timer(0.5, going_on.set).start()
    assert future.done()


def test_an_upload_in_the_background_of_a_closed_client_is_refused(server, run_id, tmp_path):
    (tmp_path / "a").touch()
    with Client(server.uri) as own:
        own.log_artifact(run_id, tmp_path / "a", synchronous=False).result(30)
    with pytest.raises(FailedPreconditionError):
        own.log_artifact(run_id, tmp_path / "a", synchronous=False)
