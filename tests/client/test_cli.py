"""The command ``holdfast``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.e2e.cli_reference import all_commands

from holdfast import _config
from holdfast.cli import _COMMANDS, cli

ROOT = Path(__file__).parents[2]


def holdfast(*args: str, uri: str | None = None, expect: int = 0) -> str:
    """Run the command as a user does; returns what it prints, or its errors when it shall fail."""
    where = [] if uri is None else ["--uri", uri]
    program = [str(Path(sys.executable).parent / "holdfast"), *where, *args]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == expect, done.stderr
    return done.stderr if expect else done.stdout


COMMANDS = [pytest.param(path, command, id=path) for path, command in all_commands()]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_command_is_there():
    assert cli.list_commands(None) == sorted(_COMMANDS)
    assert cli.get_command(None, "nothing") is None
    text = holdfast("--help")
    assert all(name in text for name in _COMMANDS)
    paths = {path for path, _ in all_commands()}
    assert paths >= {f"holdfast artifacts {verb}" for verb in ("ls", "tree", "put", "get", "cat", "verify", "rm")}
    assert paths >= {f"holdfast runs {verb}" for verb in ("ls", "show", "compare", "delete", "restore", "metrics")}
    assert paths >= {f"holdfast experiments {verb}" for verb in ("create", "ls", "show", "rename", "delete", "restore")}


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_command_option_and_argument_explains_itself(path, command):
    assert command.name == path.rpartition(" ")[2]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path} {parameter.opts[0]}"
        elif path != "holdfast server":  # whose arguments are another program's
            shown = parameter.make_metavar(click.Context(command)).strip("[].")
            assert shown in command.help, f"{path} {shown}"


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_command_is_in_the_documentation(path, command):
    text = "".join(document.read_text() for document in DOCUMENTS)
    assert re.search(rf"{path}\b", text), f"{path} is in none of {', '.join(d.name for d in DOCUMENTS)}"


def test_every_variable_of_the_client_is_in_the_documentation():
    text = "".join(document.read_text() for document in DOCUMENTS)
    assert _config.PROGRESS_VARIABLE in text
    assert _config.URI_VARIABLE in text


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
    assert holdfast("runs", "ls", "-e", experiment_id, "--filter", "metrics.loss > 1", uri=server.uri).count("\n") == 1
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
        assert process.wait(120) == 0


def test_the_server_s_options_are_its_own():
    program = [sys.executable, "-m", "holdfast_server", "--help"]
    expected = subprocess.run(program, capture_output=True, text=True, timeout=120, check=True).stdout
    assert holdfast("server", "--help") == expected
    assert "--data-dir" in expected


def test_reading_a_directory_without_a_store_makes_none(tmp_path):
    assert "There is no Holdfast store in" in holdfast("runs", "ls", uri=str(tmp_path / "typo"), expect=1)
    assert not (tmp_path / "typo").exists()
