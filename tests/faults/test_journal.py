"""The journal that judges the other tests sees what it is there for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.backends import Backend, socket_directory
from tests.faults.journal import Journal, with_files
from tests.faults.scoreboard import LOST, PARTIAL, Scoreboard
from tests.faults.workload import delete

from holdfast._client import Client


def nothing(client: Client, run_id: str) -> None:
    """Happens behind the journal's back, or rather not."""


FILES = {"set/a": b"a", "set/b": b"b"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with socket_directory() as directory:
        backend = Backend("local", tmp_path_factory.mktemp("journal") / "data", directory / "s")
        with backend.server(), Client(backend.uri) as client:
            yield client


@pytest.mark.parametrize(
    ("acknowledged", "happened", "verdict"),
    [
        pytest.param(True, nothing, None, id="whole"),
        pytest.param(False, nothing, None, id="whole, though not acknowledged"),
        pytest.param(False, lambda client, run_id: delete(client, run_id, "set"), None, id="nothing"),
        pytest.param(True, lambda client, run_id: delete(client, run_id, "set/a"), LOST, id="one file lost"),
        pytest.param(True, lambda client, run_id: client.log_bytes(run_id, b"c", "set/a"), LOST, id="other bytes"),
        pytest.param(True, lambda client, run_id: client.log_bytes(run_id, b"c", "c"), PARTIAL, id="one file too many"),
        pytest.param(False, lambda client, run_id: delete(client, run_id, "set/a"), PARTIAL, id="half a set"),
    ],
)
def test_the_journal_tells_whole_from_lost_and_partial(
    client: Client,
    journal: Journal,
    tmp_path: Path,
    *,
    acknowledged: bool,
    happened: Callable[[Client, str], None],
    verdict: str | None,
) -> None:
    run_id = client.create_run("0").info.run_id
    tree = f"runs:/{run_id}"
    client.log_bytes(run_id, b"x", "earlier")
    journal.begin(tree, with_files({}, {"earlier": b"x"}), "earlier")
    journal.acknowledge(tree)
    journal.begin(tree, with_files(journal.state(tree), FILES), "set")
    for path, data in FILES.items():
        client.log_bytes(run_id, data, path)
    if acknowledged:
        journal.acknowledge(tree)
    happened(client, run_id)
    counts: dict[str, int] = {}
    if verdict is None:
        journal.check(client, tmp_path, Scoreboard(counts))
    else:
        with pytest.raises(pytest.fail.Exception, match=r"set|c"):
            journal.check(client, tmp_path, Scoreboard(counts))
    assert counts == ({verdict: 1} if verdict else {})
