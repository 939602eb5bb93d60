"""What the server refuses of what waits in a journal: others go on, nothing is lost, and `sync` tries it again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partialmethod
from typing import Any

import grpc
import pytest
from tests.client.guarded_server import GuardedServer, guarded_server
from tests.client.logging_programs import start, steps

import holdfast
from holdfast._client import Client
from holdfast._journal import sender
from holdfast._patience import RetryPolicy
from holdfast.errors import PermissionDeniedError, UnsentError

LONG = 60.0


@pytest.fixture
def guarded() -> Iterator[GuardedServer]:
    with guarded_server() as server:
        yield server


@pytest.fixture
def owner(guarded: GuardedServer) -> Iterator[Client]:
    with guarded.owner() as client:
        yield client


@pytest.fixture
def ada(guarded, owner, journals, monkeypatch) -> Iterator[Client]:
    """A client of somebody who may do what is granted."""
    secret = owner.create_token("ada", new_principal_role="none").secret
    monkeypatch.setenv("HOLDFAST_TOKEN", secret)  # for sync, which reads it as any program does
    with guarded.client(secret) as client:
        yield client


def experiment(owner: Client, name: str) -> str:
    """One that ada may write."""
    experiment_id = owner.create_experiment(name)
    owner.set_grant("ada", "write", experiment_id=experiment_id)
    return experiment_id


def test_a_run_that_may_not_be_written_any_more_keeps_no_other_from_it(owner, ada, caplog):
    denied, other = experiment(owner, "denied"), experiment(owner, "other")
    first, second = (ada.create_run(experiment_id).info.run_id for experiment_id in (denied, other))
    for step in range(5):
        ada.log_metric(first, "m", 1.0, step=step)
    ada.flush(LONG)
    owner.set_grant("ada", "read", experiment_id=denied)
    for step in range(5, 10):
        ada.log_metric(first, "m", 1.0, step=step)
        ada.log_metric(second, "m", 1.0, step=step)
    with pytest.raises(UnsentError) as told:
        ada.flush(LONG)
    assert (told.value.waiting, told.value.refused, told.value.reason) == (0, 5, "PERMISSION_DENIED")
    assert "waits on this machine" not in caplog.text, "it is no outage"
    assert steps(ada, second, "m") == list(range(5, 10))
    with pytest.raises(PermissionDeniedError):
        ada.log_param(first, "a", "b")
    owner.set_grant("ada", "write", experiment_id=denied)
    for step in range(10, 15):
        ada.log_metric(first, "m", 1.0, step=step)
    ada.flush(LONG)
    assert steps(ada, first, "m") == [*range(5), *range(10, 15)], "those of meanwhile are kept for sync"
    ada.close()
    (left,) = holdfast.sync()
    assert (left.sent, left.refused, left.waiting, left.error) == (5, 0, 0, "")
    assert holdfast.sync() == []
    assert steps(owner, first, "m") == list(range(15))


LEFT = """
import os, signal, sys, holdfast
from holdfast._journal import sender

sender.LINGER = 3600  # nothing is sent by itself
client = holdfast.Client()
runs = [client.create_run(experiment_id) for experiment_id in sys.argv[1:]]
for step in range(10):
    for run in runs:
        run.log_metric("m", 1.0, step=step)
print(*(run.info.run_id for run in runs), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("ada")
def test_sync_goes_on_behind_what_may_not_be_written(guarded, owner, journals):
    denied, other = experiment(owner, "denied"), experiment(owner, "other")
    with start(LEFT, guarded, journals, denied, other, HOLDFAST_TOKEN=os.environ["HOLDFAST_TOKEN"]) as process:
        out, err = process.communicate(timeout=LONG)
    assert process.returncode == -signal.SIGKILL, err
    first, second = out.split()
    owner.set_grant("ada", "read", experiment_id=denied)
    (left,) = holdfast.sync()
    assert (left.sent, left.refused, left.waiting) == (10, 10, 0)
    assert "write on experiment" in left.error
    assert steps(owner, second, "m") == list(range(10))
    (left,) = holdfast.sync()
    assert (left.sent, left.refused) == (0, 10)
    owner.set_grant("ada", "write", experiment_id=denied)
    (left,) = holdfast.sync()
    assert (left.sent, left.refused, left.error) == (10, 0, "")
    assert steps(owner, first, "m") == list(range(10))


class Failing:
    """Lets the server fail at what is logged for one run, as often as it should."""

    def __init__(self, run_id: str, times: float, code: grpc.StatusCode, receive: Callable[..., None]) -> None:
        self._run_id, self.left, self._code, self._receive = run_id, times, code, receive

    def __call__(self, delivery: Any, outgoing: Any, answer: Callable[[], Any], *, patience: float | None) -> None:
        fails = outgoing.request.run_id == self._run_id and self.left > 0
        self.left -= fails
        self._receive(delivery, outgoing, self._fail if fails else answer, patience=patience)

    def _fail(self) -> Any:
        raise _Failure(self._code)


class _Failure(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "Exception in a handler"  # no broken connection, as far as the client can tell


@pytest.fixture
def failing(monkeypatch) -> Callable[..., Failing]:
    from holdfast._journal.delivery import Delivery

    monkeypatch.setattr(sender, "RETRY", RetryPolicy(initial_delay=0.001, max_delay=0.01))

    def begin(run_id: str, times: float, code: grpc.StatusCode) -> Failing:
        found = Failing(run_id, times, code, Delivery._receive)
        monkeypatch.setattr(Delivery, "_receive", partialmethod(found))
        return found

    return begin


CODES = [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED]


@pytest.mark.usefixtures("journals")
@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_what_the_server_fails_at_again_and_again_keeps_no_other_run_from_it(
    server, client, experiment_id, failing, code
):
    with Client(server.uri.replace("127.0.0.1", "localhost")) as own:
        first, second = (own.create_run(experiment_id).info.run_id for _ in range(2))
        fails = failing(first, float("inf"), code)
        own.log_metric(first, "m", 1.0, step=0)
        own.log_metric(second, "m", 1.0, step=0)
        with pytest.raises(UnsentError) as told:
            own.flush(LONG)
        assert (told.value.waiting, told.value.refused) == (0, 1)
        assert steps(client, second, "m") == [0]
    fails.left = 0
    (left,) = holdfast.sync()
    assert (left.sent, left.error) == (1, "")
    assert steps(client, first, "m") == [0]


@pytest.mark.usefixtures("client", "journals")
@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_what_the_server_fails_at_for_a_while_arrives_in_its_order(server, experiment_id, failing, code):
    with Client(server.uri.replace("127.0.0.1", "localhost")) as own:
        run_id = own.create_run(experiment_id).info.run_id
        failing(run_id, 5, code)
        for step in range(3_000):
            own.log_metric(run_id, "m", 1.0, step=step)
        own.flush(LONG)
        assert steps(own, run_id, "m") == list(range(3_000))
