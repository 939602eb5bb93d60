"""Seals of the audit log by several processes at once, and by processes that are killed while they seal."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server_process import running_server

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.entities import AuditCheck
from holdfast.errors import UnavailableError

KILLED = Path(__file__).with_name("audit_killed_server.py")
SETTINGS = ("--host", "127.0.0.1", "--port", "0", "--auth", "tokens", "--audit-interval")


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hf"))  # the path of a socket is short
    yield folder / "data"
    shutil.rmtree(folder)


def sealed(owner: Client) -> AuditCheck:
    """The log, when all of it is sealed."""
    while (check := owner.verify_audit_log()).unsealed:
        assert not check.problems
    return check


@pytest.mark.slow
def test_two_servers_that_seal_at_once_make_one_chain(data):
    arguments = (*SETTINGS, "0.01", "--data-dir", str(data))
    with running_server(*arguments) as first, Client(f"unix:{data / 'holdfast.sock'}") as owner:
        secret = owner.create_token("ada", new_principal_role="admin").secret
        second_socket = data.parent / "s"
        with running_server(*arguments, "--unix", str(second_socket)), Client(f"unix:{second_socket}") as other:
            for number in range(60):
                for client in (owner, other):
                    client.set_principal(f"p{number % 7}", "read" if number % 2 else "write")
            check = sealed(owner)
            assert check.problems == ()
            assert check.segments > 5
            assert check.records == 121
            assert other.verify_audit_log(expect=check.head).problems == ()
        assert secret
        assert any("the audit log is sealed up to record" in line for line in first.lines)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_server_killed_while_it_seals_leaves_the_log_to_the_next(data, side):
    with running_server(*SETTINGS, "3600", "--data-dir", str(data)), Client(f"unix:{data / 'holdfast.sock'}") as owner:
        for name in ("ada", "kim", "eve"):
            owner.set_principal(name, "read")
    command = (sys.executable, KILLED, side)
    with running_server(*SETTINGS, "0.01", "--data-dir", str(data), command=command) as server:
        assert server.process.wait(60) == -signal.SIGKILL
    with (
        running_server(*SETTINGS, "0.01", "--data-dir", str(data)),
        Client(f"unix:{data / 'holdfast.sock'}") as owner,
    ):
        check = sealed(owner)
        assert (check.segments, check.records, check.problems) == (1, 3, ())


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_in_the_log(data):
    acknowledged = 0
    for round_ in range(3):
        with running_server(*SETTINGS, "0.01", "--data-dir", str(data)) as server:
            with Client(f"unix:{data / 'holdfast.sock'}", retry=RetryPolicy(window=0)) as owner:
                for number in range(40):
                    if number == 10 * (round_ + 1):
                        server.process.kill()
                    try:
                        owner.set_principal(f"p{round_}-{number}", "read")
                    except UnavailableError:
                        break
                    acknowledged += 1
            server.process.wait(60)
    with (
        running_server(*SETTINGS, "0.01", "--data-dir", str(data)),
        Client(f"unix:{data / 'holdfast.sock'}") as owner,
    ):
        check = sealed(owner)
        assert check.problems == ()
        # What was under way at a kill may be there, too.
        assert acknowledged <= check.records <= acknowledged + 3
        assert check.records == len(owner.list_principals())
