"""Servers of versions that do not know points in columns pass over them and say OK; each point arrives once anyway."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from tests.client.logging_programs import steps
from tests.client.test_sync import left_by_a_killed_process

import holdfast
from holdfast._client import Client
from holdfast._journal.folder import folders
from holdfast.entities import Metric, Param, RunTag
from holdfast.errors import FailedPreconditionError, InvalidArgumentError, UnsentError
from holdfast.v1 import run_service_pb2 as messages

LOG_BATCH = "/holdfast.v1.RunService/LogBatch"


class OlderServer(grpc.GenericRpcHandler):
    """Stands before the test server and takes from requests what an older one would not know.

    Attributes:
        knows_columns: Whether it does, as it would after an upgrade.
        knows_metrics: Whether it takes points at all.
        away_after: Calls of ``LogBatch`` that are answered before one is not; None for all.
        sizes: How many points came as columns and as messages, call by call.
    """

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.knows_columns, self.knows_metrics = False, True
        self.away_after: int | None = None
        self.sizes: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def service(self, handler_call_details):
        method = handler_call_details.method

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            if method == LOG_BATCH:
                request = self._known_of(request, context)
            try:
                return self.channel.unary_unary(method)(request, metadata=handler_call_details.invocation_metadata)
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata())
                context.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(answer)

    def _known_of(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = messages.LogBatchRequest.FromString(data)
        with self._lock:
            if self.away_after is not None and len(self.sizes) >= self.away_after:
                self.away_after = None
                context.abort(grpc.StatusCode.UNAVAILABLE, "away")
            self.sizes.append((len(request.metric_columns.values), len(request.metrics)))
        if not self.knows_columns:
            request.ClearField("metric_columns")
        if not self.knows_metrics:
            request.ClearField("metrics")
        return request.SerializeToString()


@pytest.fixture
def older(server) -> Iterator[OlderServer]:
    handler = OlderServer(server.port)
    front = grpc.server(ThreadPoolExecutor(8), handlers=[handler])
    handler.uri = f"holdfast://127.0.0.1:{front.add_insecure_port('127.0.0.1:0')}"
    front.start()
    yield handler
    front.stop(None).wait()
    handler.channel.close()


@pytest.fixture
def behind(older, journals) -> Iterator[Client]:
    """A client of the older server."""
    with Client(older.uri) as client:
        yield client


@pytest.mark.parametrize("strict", [False, True])
def test_a_batch_arrives_whole(older, client, run_id, journals, strict):
    with Client(older.uri, strict=strict) as behind:
        metrics = [Metric("a", 1.0, 7, 1), Metric("b", float("inf"), 8, -2), Metric("a", 3.0, 9, 3)]
        behind.log_batch(run_id, metrics, [Param("p", "1")], [RunTag("t", "x")])
        behind.log_batch(run_id, [Metric("a", 4.0, 9, 4)], [Param("q", "2")])
        behind.log_batch(run_id, params=[Param("r", "3")])
    data = client.get_run(run_id).data
    assert data.params == {"p": "1", "q": "2", "r": "3"}
    assert data.tags["t"] == "x"
    found = [(m.key, m.value, m.timestamp, m.step) for key in "ab" for m in client.get_metric_history(run_id, key)]
    assert found == [("a", 1.0, 7, 1), ("a", 3.0, 9, 3), ("a", 4.0, 9, 4), ("b", float("inf"), 8, -2)]
    assert older.sizes == [(3, 0), (0, 3), (0, 1), (0, 0)], "a server is asked once"


def test_a_stream_of_points_arrives_once_and_in_order(older, behind, client, run_id, caplog):
    for step in range(2_500):
        behind.log_metric(run_id, "m", float(step), step=step)
        behind.log_metric(run_id, "n", 1.0, step=step)
    behind.flush()
    assert steps(client, run_id, "m") == steps(client, run_id, "n") == list(range(2_500))
    assert sum(rows for _, rows in older.sizes) == 5_000
    assert [columns > 0 for columns, _ in older.sizes].count(True) == 1
    assert caplog.text.count("older than this client") == 1


def test_a_server_that_becomes_older_in_the_middle_of_a_stream_gets_the_rest(older, behind, client, run_id):
    older.knows_columns = True
    for step in range(50):
        behind.log_metric(run_id, "m", 1.0, step=step)
    behind.flush()
    older.knows_columns = False
    for step in range(50, 100):
        behind.log_metric(run_id, "m", 1.0, step=step)
    behind.flush()
    assert steps(client, run_id, "m") == list(range(100))


@pytest.mark.parametrize("answered", range(4))
def test_a_batch_arrives_once_when_the_server_goes_away_meanwhile(older, behind, client, run_id, answered):
    """Also between the request whose points were passed over and the one that has them as messages."""
    older.away_after = answered
    behind.log_batch(run_id, [Metric("m", 1.0, 1, step) for step in range(3)], [Param("p", "1")])
    behind.log_batch(run_id, [Metric("m", 1.0, 1, step) for step in range(3, 6)])
    behind.flush()
    assert steps(client, run_id, "m") == list(range(6))
    assert client.get_run(run_id).data.params == {"p": "1"}


def test_sync_sends_what_a_killed_process_left(server, older, client, journals):
    run_id = left_by_a_killed_process(older, journals)
    (result,) = holdfast.sync()
    assert (result.error, result.waiting, result.refused) == ("", 0, 0)
    assert steps(client, run_id, "m") == list(range(5_000))
    assert list(folders(journals)) == []


def test_a_refused_point_is_told(older, client, run_id, journals):
    with Client(older.uri, strict=True) as behind:
        behind.log_batch(run_id, [Metric("fine", 1.0)])
        with pytest.raises(InvalidArgumentError):
            behind.log_batch(run_id, [Metric("not/../fine?", 1.0)], [Param("p", "1")])
    assert client.get_run(run_id).data.params == {}


def test_a_server_that_keeps_no_points_at_all_is_told_of(older, behind, experiment_id):
    run_id = behind.create_run(experiment_id).info.run_id
    older.knows_metrics = False
    with pytest.raises(FailedPreconditionError, match=r"did not keep 1 points .* Check what answers there"):
        behind.log_batch(run_id, [Metric("m", 1.0)])
    behind.log_metric(run_id, "m", 1.0)
    with pytest.raises(UnsentError, match="did not keep 1 points"):
        behind.flush()
