"""The audit log through the client: found as it was sealed, or told what somebody did to it."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.client.audit_logs import tamper, write_log
from tests.client.conftest import ServerThread
from tests.server_process import clean_environment

from holdfast._audit_check import check_log
from holdfast._client import Client
from holdfast.errors import InvalidArgumentError

# Segments of 3, 2 and 4 records, and two records that wait.
SEGMENTS, UNSEALED = (3, 2, 4), 2


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[Path, list[str]]]:
    folder = Path(tempfile.mkdtemp(prefix="hf"))
    heads = write_log(folder / "data", *SEGMENTS, unsealed=UNSEALED)
    yield folder / "data", heads
    shutil.rmtree(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hf"))  # the path of a socket is short
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data(made: tuple[Path, list[str]], folder: Path) -> Path:
    """A copy of the log, to be changed."""
    shutil.copytree(made[0], folder / "data")
    return folder / "data"


@contextmanager
def serving(data: Path, **settings: object) -> Iterator[Client]:
    """A server on a data directory, and its owner."""
    socket = f"unix:{data.parent / 's'}"
    server = ServerThread(data, "127.0.0.1:0", socket, auth="tokens", **{"audit_interval": 3600.0, **settings})
    try:
        with Client(socket) as client:
            yield client
    finally:
        server.stop()


def test_a_log_is_found_as_it_was_sealed(made, data):
    with serving(data) as owner:
        check = owner.verify_audit_log()
        assert (check.segments, check.records, check.unsealed, check.head) == (3, 9, 2, made[1][-1])
        assert check.problems == ()
        for head in made[1]:
            assert owner.verify_audit_log(expect=head) == check
        with pytest.raises(InvalidArgumentError, match="A head is"):
            owner.verify_audit_log(expect="3")


INSERT = (
    "INSERT INTO audit_records (number, time, last_time, count, principal, token_id, method, resources, request_id,"
    " details) VALUES ({}, 1, 1, 1, 'eve', '', 'm', '[]', '', '{{}}')"
)


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        pytest.param(["UPDATE audit_records SET principal = 'eve' WHERE number = 4"], "Segment 2 .*its hash", id="who"),
        pytest.param(["UPDATE audit_records SET time = time + 1 WHERE number = 1"], "Segment 1 .*its hash", id="when"),
        pytest.param(["UPDATE audit_records SET count = 9 WHERE number = 9"], "Segment 3 .*its hash", id="how-often"),
        pytest.param(["UPDATE audit_records SET details = '{}' WHERE number = 2"], "Segment 1 .*its hash", id="what"),
        pytest.param(["UPDATE audit_records SET resources = '[]' WHERE number = 2"], "Segment 1 .*hash", id="resource"),
        pytest.param(["UPDATE audit_records SET resources = 'x' WHERE number = 2"], "Segment 1 .*hash", id="no-json"),
        pytest.param(["DELETE FROM audit_records WHERE number = 5"], "Record 5 is missing", id="removed"),
        pytest.param(["DELETE FROM audit_records WHERE number = 1"], "Record 1 is missing", id="first-removed"),
        pytest.param(
            ["DELETE FROM audit_records WHERE number BETWEEN 4 AND 5"],
            "Records 4 to 5 are missing",
            id="all-of-a-segment",
        ),
        pytest.param(["DELETE FROM audit_records WHERE number = 10"], "Record 10 is missing", id="unsealed-removed"),
        pytest.param([INSERT.format(0)], "Record 0 belongs to no segment", id="inserted-before"),
        pytest.param(
            [
                "UPDATE audit_records SET number = -number WHERE number > 4",
                "UPDATE audit_records SET number = 1 - number WHERE number < -4",
                INSERT.format(5),
            ],
            "Segment 2 .*its hash",
            id="inserted-between",
        ),
        pytest.param(
            [
                "UPDATE audit_records SET number = 99 WHERE number = 1",
                "UPDATE audit_records SET number = 1 WHERE number = 2",
                "UPDATE audit_records SET number = 2 WHERE number = 99",
            ],
            "Segment 1 .*its hash",
            id="reordered",
        ),
        pytest.param(
            [
                "DELETE FROM audit_records WHERE number = 2",
                "UPDATE audit_records SET number = number - 1 WHERE number > 2",
            ],
            "Segment 1 .*its hash",
            id="removed-and-closed-up",
        ),
        pytest.param(["DELETE FROM audit_segments WHERE segment = 2"], "Segment 2 is missing", id="segment-removed"),
        pytest.param(["DELETE FROM audit_segments WHERE segment = 1"], "Segment 1 is missing", id="first-segment"),
        pytest.param(
            ["UPDATE audit_segments SET seal_time = 5 WHERE segment = 2"], "Segment 2 .*its hash", id="seal-time"
        ),
        pytest.param(
            ["UPDATE audit_segments SET hash = zeroblob(32) WHERE segment = 2"],
            "Segment 3 .*does not follow",
            id="hash",
        ),
        pytest.param(
            ["UPDATE audit_segments SET last_number = 4 WHERE segment = 2"], "should begin with record 5", id="range"
        ),
    ],
)
def test_what_somebody_did_to_the_file_is_found(data, statements, problem):
    tamper(data, *statements)
    with serving(data) as owner:
        check = owner.verify_audit_log()
    assert any(re.search(problem, text) for text in check.problems), check.problems


CUT = ["DELETE FROM audit_segments WHERE segment = 3", "DELETE FROM audit_records WHERE number > 5"]


def test_a_log_that_was_cut_off_is_found_by_an_earlier_head(made, data):
    tamper(data, *CUT)
    with serving(data) as owner:
        assert owner.verify_audit_log().problems == ()
        (problem,) = owner.verify_audit_log(expect=made[1][2]).problems
        assert "Segment 3 was there before" in problem
        assert owner.verify_audit_log(expect=made[1][1]).problems == ()


def test_records_cut_off_before_they_were_sealed_are_found_when_another_comes(data):
    tamper(data, "DELETE FROM audit_records WHERE number > 9")
    with serving(data) as owner:
        assert owner.verify_audit_log().problems == ()
        owner.set_principal("eve", "read")
        assert owner.verify_audit_log().problems == ("Records 10 to 11 are missing.",)


def test_a_log_written_anew_is_found_by_an_earlier_head(made, folder):
    write_log(folder / "data", *SEGMENTS)
    with serving(folder / "data") as owner:
        (problem,) = owner.verify_audit_log(expect=made[1][1]).problems
        assert "another hash than it had before" in problem


def test_an_empty_log_is_sound_and_has_no_head(folder):
    with serving(folder / "data") as owner:
        check = owner.verify_audit_log()
        assert (check.segments, check.head, check.problems) == (0, None, ())
    assert check_log([], [], None) == check


def test_the_server_itself_cannot_change_what_is_sealed(data):
    connection = sqlite3.connect(data / "holdfast.db")
    for statement in (
        "UPDATE audit_records SET count = 2 WHERE number = 9",
        "DELETE FROM audit_records WHERE number = 10",
        "UPDATE audit_segments SET hash = x'00'",
        "DELETE FROM audit_segments",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="audit log"):
            connection.execute(statement)
    connection.execute("UPDATE audit_records SET count = 2 WHERE number = 10")
    connection.close()


def test_after_a_seal_metrics_are_counted_in_a_new_record(folder):
    with serving(folder / "data", audit_interval=0.02) as owner:
        run = owner.create_run("0")
        for step in range(3):
            owner.log_metric(run.info.run_id, "loss", 1.0, step=step, synchronous=True)
            while owner.verify_audit_log().unsealed:  # until the background has sealed it
                pass
        logged = owner.list_audit_records(method="holdfast.v1.RunService/LogBatch")
        assert [record.count for record in logged] == [1, 1, 1]
        assert owner.verify_audit_log().problems == ()


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def holdfast_command(data: Path) -> Command:
    """Runs the command as the owner."""

    def run(*args: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        program = [str(Path(sys.executable).parent / "holdfast"), "--uri", f"unix:{data.parent / 's'}", *args]
        done = subprocess.run(
            program, capture_output=True, text=True, timeout=120, check=False, env=clean_environment({})
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return run


@pytest.mark.slow
def test_the_log_from_a_shell(made, data, holdfast_command):
    heads = made[1]
    with serving(data):
        told = holdfast_command("audit", "verify").stdout.splitlines()
        assert told == [
            "9 records in 3 segments are as they were sealed; 2 records wait to be sealed.",
            f"head  {heads[-1]}",
        ]
        assert json.loads(holdfast_command("audit", "verify", "--json").stdout)["problems"] == []
        holdfast_command("audit", "verify", "--expect", heads[0])
        wrong = holdfast_command("audit", "verify", "--expect", f"3:{'0' * 64}", expect=1)
        assert "another hash" in wrong.stdout
        holdfast_command("audit", "verify", "--expect", "nonsense", expect=2)
        newest = json.loads(holdfast_command("audit", "ls", "--json", "--max", "1").stdout)
        assert (newest["number"], newest["principal"], newest["details"]) == (11, "ada", {"n": 1})
        found = holdfast_command("audit", "ls", "--resource", "run/3", "--principal", "ada", "--since", "1h").stdout
        assert "RunService/UpdateRun" in found
        assert len(found.splitlines()) == 2
        assert (
            len(holdfast_command("audit", "ls", "--method", "RunService/UpdateRun", "--all").stdout.splitlines()) == 12
        )
        assert len(holdfast_command("audit", "ls", "--until", "2020-01-01").stdout.splitlines()) == 1
        holdfast_command("audit", "ls", "--since", "yesterday", expect=2)
        lines = [json.loads(line) for line in holdfast_command("audit", "export").stdout.splitlines()]
        assert [next(iter(line)) for line in lines] == [
            *["record"] * 3, "segment", *["record"] * 2, "segment", *["record"] * 4, "segment", *["record"] * 2,
        ]  # fmt: skip
    tamper(data, "UPDATE audit_records SET principal = 'eve' WHERE number = 4")
    with serving(data):
        bad = holdfast_command("audit", "verify", expect=1).stdout
        assert "Segment 2 (records 4 to 5) does not have its hash" in bad
    holdfast_command("audit", "verify", expect=2)  # nobody is there


@pytest.mark.slow
def test_a_backup_keeps_the_log(made, data, holdfast_command):
    folder = data.parent
    with serving(data):
        holdfast_command("backup", str(folder / "backups"), "--data-dir", str(data))
    holdfast_command("restore", str(folder / "backups"), "--to", str(folder / "restored"))
    shutil.rmtree(data)
    (folder / "restored").rename(data)
    with serving(data) as owner:
        check = owner.verify_audit_log(expect=made[1][-1])
        assert (check.records, check.unsealed, check.problems) == (9, 2, ())
