"""A full disk is a clear error; reads go on meanwhile, and writes once there is room again, without a restart."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from tests.faults.backends import Backend
from tests.faults.journal import Journal, with_files
from tests.faults.scoreboard import Scoreboard
from tests.faults.workload import NO_RETRIES
from tests.full_disk import MIB, fill, mounted

from holdfast._client import Client
from holdfast.errors import UnavailableError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("full", ["store", "database", "both"])
def test_a_full_disk_is_an_error_that_passes(
    full: str, local_backend: Backend, journal: Journal, scoreboard: Scoreboard, scratch: Path
) -> None:
    data_dir = local_backend.data_dir
    with contextlib.ExitStack() as stack:
        if full in {"database", "both"}:
            stack.enter_context(mounted(data_dir, 24 * MIB))
        if full in {"store", "database"}:
            stack.enter_context(mounted(data_dir / "store", 24 * MIB))
        stack.enter_context(local_backend.server())
        client = stack.enter_context(Client(local_backend.uri))
        impatient = stack.enter_context(Client(local_backend.uri, retry=NO_RETRIES))
        run_id = client.create_run("0").info.run_id
        tree = f"runs:/{run_id}"

        def log(path: str, data: bytes, using: Client) -> None:
            journal.begin(tree, with_files(journal.state(tree), {path: data}), path)
            using.log_bytes(run_id, data, path)
            journal.acknowledge(tree)

        log("before", os.urandom(3 * MIB), client)
        filler = fill(data_dir / "store" if full == "store" else data_dir)
        for number in range(3):
            scoreboard.injected(f"disk full: {full}")
            with pytest.raises(UnavailableError, match=r"[Nn]o space|[Ff]ull|database cannot be used"):
                # Small enough that it travels within the commit, and large enough not to.
                log("during", os.urandom(2_000 if number == 0 else 3 * MIB), impatient)
            journal.check(client, scratch, scoreboard)
        filler.unlink()
        log("after", os.urandom(3 * MIB), client)
        log("small", b"small", client)
        journal.check(client, scratch, scoreboard)
