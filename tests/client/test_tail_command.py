"""``holdfast artifacts tail``."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.server_process import clean_environment

from holdfast._transfer import tailing

HOLDFAST = str(Path(sys.executable).parent / "holdfast")
LINES = b"".join(b"line %d\n" % number for number in range(1, 101))


def tail(server, *args: str, expect: int = 0) -> bytes:
    """Run the command; returns what it prints, or its errors when it shall fail."""
    command = [HOLDFAST, "--uri", server.uri, "artifacts", "tail", *args]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, timeout=120, check=False)
    assert done.returncode == expect, done.stderr
    return done.stderr if expect else done.stdout


def objects(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_the_end_of_a_file_is_printed(server, client, run_id):
    client.log_bytes(run_id, LINES, "log")
    uri = f"runs:/{run_id}/log"
    assert tail(server, uri) == b"".join(LINES.splitlines(keepends=True)[-10:])
    assert tail(server, "-n", "2", uri) == b"line 99\nline 100\n"
    assert tail(server, "--bytes", "4", uri) == b"100\n"
    assert tail(server, "--all", "-f", uri) == LINES
    assert tail(server, "-n", "0", "-f", uri) == b""


def test_what_is_being_written_is_printed_as_far_as_it_is(server, client, run_id):
    with client.open_artifact(run_id, "log", "wb") as file:
        file.write(LINES + b"unfinished")
        file.flush()
        assert tail(server, "-n", "2", f"runs:/{run_id}/log") == b"line 100\nunfinished"


def test_a_follower_goes_on_with_a_file_that_is_begun_anew(server, client, run_id):
    with client.open_artifact(run_id, "log", "wb") as first:
        first.write(b"old\n")
        first.flush()
        command = [HOLDFAST, "--uri", server.uri, "artifacts", "tail", "-f", f"runs:/{run_id}/log"]
        process = subprocess.Popen(
            command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout.readline() == "old\n"
            with client.open_artifact(run_id, "log", "wb") as second:
                second.write(b"new\n")
            with pytest.raises(Exception, match="begun anew"):
                first.close()
            assert process.stdout.read() == "new\n"
            assert "begun anew" in process.stderr.read()
            assert process.wait(120) == 0


def test_json_tells_offsets_and_in_the_end_what_became_of_the_file(server, client, run_id):
    uri = f"runs:/{run_id}/log"
    with client.open_artifact(run_id, "log", "wb") as file:
        file.write(LINES)
        file.flush()
        *pieces, end = objects(tail(server, "-n", "1", "--json", uri))
        assert pieces == [{"uri": uri, "offset": len(LINES) - 9, "base64": base64.b64encode(b"line 100\n").decode()}]
        assert end == {"uri": uri, "state": "OPEN", "size": len(LINES), "digest": None}
        command = [HOLDFAST, "--uri", server.uri, "artifacts", "tail", "-f", "-n", "1", "--json", uri]
        follower = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with follower:
            assert [json.loads(follower.stdout.readline())] == pieces
            with client.open_artifact(run_id, "log", "wb") as second:
                second.write(b"new\n")
            with pytest.raises(Exception, match="begun anew"):
                file.close()
            replaced, piece, closed = objects(follower.stdout.read())
    assert (replaced["state"], piece["offset"], base64.b64decode(piece["base64"])) == ("REPLACED", 0, b"new\n")
    assert closed == {"uri": uri, "state": "CLOSED", "size": 4, "digest": hashlib.sha256(b"new\n").hexdigest()}
    assert objects(tail(server, "-n", "0", "--json", uri)) == [closed]


def test_a_follower_can_come_before_the_writer(server, client, run_id):
    command = [HOLDFAST, "--uri", server.uri, "artifacts", "tail", "-f", "--all", "--wait", f"runs:/{run_id}/log"]
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        with client.open_artifact(run_id, "log", "wb") as file:
            file.write(LINES)
            file.flush()
            assert process.stdout.readline() == b"line 1\n"
        assert process.wait(120) == 0
        assert b"line 1\n" + process.stdout.read() == LINES
    unknown = tail(server, "--wait", f"runs:/{'0' * 32}/log", expect=1).decode()
    assert "There is no run" in unknown


def test_a_closed_pipe_ends_it_quietly(server, client, run_id):
    client.log_bytes(run_id, LINES * 10_000, "log")
    command = f"'{HOLDFAST}' --uri {server.uri} artifacts tail --all runs:/{run_id}/log | head -n 1"
    done = subprocess.run(
        command, shell=True, env=clean_environment(), capture_output=True, timeout=120, check=False, text=True
    )
    assert (done.stdout, done.stderr) == ("line 1\n", "")


def test_what_is_not_there_is_one_line_of_error(server, run_id):
    error = tail(server, "-f", f"runs:/{run_id}/nothing", expect=1).decode()
    assert error.startswith("Error: ")
    assert len(error.splitlines()) == 1


def test_what_is_no_uri_is_refused_as_by_the_other_commands(server, run_id):
    assert b"write runs:/" in tail(server, f"{run_id}/log", expect=2)
    assert b"no artifact URI" in tail(server, "log", expect=2)


def test_slashes_by_habit_do_no_harm(server, client, run_id):
    client.log_bytes(run_id, LINES, "log")
    assert tail(server, "-n", "1", f"runs://{run_id}/log/") == b"line 100\n"


def test_a_server_that_is_not_there_is_one_line(server, run_id):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    command = [HOLDFAST, "--uri", f"holdfast://127.0.0.1:{port}", "artifacts", "tail", f"runs:/{run_id}/log"]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, timeout=120, check=False, text=True)
    assert done.returncode == 1
    assert re.search(r"^Error: No Holdfast server answers .*\n\Z", done.stderr, re.MULTILINE)


@pytest.fixture
def _small_window(monkeypatch):
    monkeypatch.setattr(tailing, "LINES_WINDOW", 16)


@pytest.mark.parametrize(
    ("data", "lines", "expected"),
    [
        pytest.param(b"", 3, b"", id="an empty file"),
        pytest.param(b"a\nb\nc\n", 3, b"a\nb\nc\n", id="as many as there are"),
        pytest.param(b"a\nb\nc\n", 4, b"a\nb\nc\n", id="more than there are"),
        pytest.param(b"a\nb\nc", 2, b"b\nc", id="without a newline at the end"),
        pytest.param(b"\n\n\n", 2, b"\n\n", id="empty lines"),
        pytest.param(b"x" * 500 + b"\n" + b"y" * 500, 1, b"y" * 500, id="longer than the window"),
        pytest.param(b"x" * 500 + b"\nlast\n", 2, b"x" * 500 + b"\nlast\n", id="the first line is long"),
        pytest.param(LINES, 0, b"", id="none"),
    ],
)
@pytest.mark.usefixtures("_small_window")
def test_lines_are_found_wherever_they_begin(client, run_id, data, lines, expected):
    client.log_bytes(run_id, data, "log")
    start = tailing.start_of_lines(client.channel, f"runs:/{run_id}/log", lines)
    assert data[start:] == expected
