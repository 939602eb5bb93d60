"""The command ``holdfast``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.cli import _COMMANDS, cli


def holdfast(*args: str, uri: str | None = None, expect: int = 0) -> str:
    """Run the command as a user does; returns what it prints, or its errors when it shall fail."""
    where = [] if uri is None else ["--uri", uri]
    program = [str(Path(sys.executable).parent / "holdfast"), *where, *args]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == expect, done.stderr
    return done.stderr if expect else done.stdout


def test_every_command_is_there_and_explains_itself():
    assert cli.list_commands(None) == sorted(_COMMANDS)
    for name in _COMMANDS:
        command = cli.get_command(None, name)
        assert command.name == name
        assert command.help
    assert cli.get_command(None, "nothing") is None
    text = holdfast("--help")
    assert all(name in text for name in _COMMANDS)


def test_the_version_is_shown():
    import holdfast as package

    assert package.__version__ in holdfast("--version")


def test_runs_are_listed(server, client, experiment_id, name):
    run = client.create_run(experiment_id, run_name="first")
    run.log_metric("loss", 0.25)
    by_id = holdfast("runs", "ls", "-e", experiment_id, uri=server.uri)
    assert run.info.run_id in by_id
    assert "first" in by_id
    assert "loss=0.25" in by_id
    (line,) = holdfast("runs", "ls", "-e", f"experiment-{name}", "--json", uri=server.uri).splitlines()
    assert json.loads(line)["data"]["metrics"] == {"loss": 0.25}
    assert holdfast("runs", "ls", "-e", experiment_id, "--filter", "metrics.loss > 1", uri=server.uri) == ""
    assert run.info.run_id in holdfast("runs", "ls", "--max", "1000", uri=server.uri)


@pytest.mark.parametrize(
    ("uri", "args", "message"),
    [
        pytest.param("http://localhost", ["runs", "ls"], "holdfast://host:port", id="bad uri"),
        pytest.param(None, ["artifacts", "ls", "runs:/" + "0" * 32], "There is no run", id="no such run"),
    ],
)
def test_errors_are_one_line(server, uri, args, message):
    error = holdfast(*args, uri=uri or server.uri, expect=1)
    assert error.startswith("Error: ")
    assert len(error.splitlines()) == 1
    assert message in error


def test_a_server_starts_and_takes_the_signal(tmp_path):
    from holdfast._client import Client

    program = [str(Path(sys.executable).parent / "holdfast"), "server", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        uri = re.search(r"holdfast://[\d.]+:\d+", line)
        assert uri, line + process.stderr.read()
        with Client(uri[0]) as client:
            assert client.get_experiment("0").name == "Default"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_the_server_s_options_are_its_own():
    program = [sys.executable, "-m", "holdfast_server", "--help"]
    expected = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True).stdout
    assert holdfast("server", "--help") == expected
    assert "--data-dir" in expected


def test_reading_a_directory_without_a_store_makes_none(tmp_path):
    assert "There is no Holdfast store in" in holdfast("runs", "ls", uri=str(tmp_path / "typo"), expect=1)
    assert not (tmp_path / "typo").exists()
