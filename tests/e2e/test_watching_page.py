"""What docs/watching.md shows does what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server_process import clean_environment, running_server

from holdfast._client import Client
from holdfast.cli.runs.tailing import tail

PAGE = (Path(__file__).parents[2] / "docs" / "watching.md").read_text()
FOLLOW, SERVE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TAIL, LOST = re.findall(r"```sh\n(.*?)\n```", PAGE)
(OUTPUT,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
TIME = re.compile(r"^\d\S+ \S+", re.MULTILINE)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "server"), "--run-lease", "0.5"]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        yield client


def start(client: Client, *command: str) -> subprocess.Popen[str]:
    environment = clean_environment({"HOLDFAST_URI": client.tracking_uri})
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def start_code(client: Client, code: str, *args: str) -> subprocess.Popen[str]:
    return start(client, sys.executable, "-W", "error", "-c", code, *args)


def start_command(client: Client, line: str) -> subprocess.Popen[str]:
    name, *args = shlex.split(line)
    return start(client, str(Path(sys.executable).parent / name), *args)


def test_a_run_is_followed_by_the_command_and_in_python(client: Client) -> None:
    run = client.create_run("0", run_name="first")
    run.log_param("lr", 0.1)
    command = start_command(client, TAIL.replace("<run id>", run.info.run_id))
    program = start_code(client, FOLLOW, run.info.run_id)
    with command, program:
        first = [command.stdout.readline() for _ in range(3)]
        assert program.stdout.readline() == "now: RUNNING\n"
        run.log_metric("loss", 0.5, step=1)
        run.end()
        printed = "".join(first) + command.stdout.read()
        assert program.stdout.read() == "loss 0.5 at step 1\n"
        assert (command.wait(120), program.wait(120)) == (0, 0)
    assert TIME.sub("", printed) == TIME.sub("", OUTPUT)


def test_what_an_alias_names_is_served(client: Client) -> None:
    run = client.create_run("0")
    run.log_text("x", "model/MLmodel")
    client.create_registered_model("m")
    for _ in range(2):
        client.create_model_version("m", f"runs:/{run.info.run_id}/model")
    client.set_registered_model_alias("m", "prod", 1)
    with start_code(client, SERVE, "m") as program:
        assert program.stdout.readline() == "serving version 1\n"
        client.set_registered_model_alias("m", "prod", 2)
        assert program.stdout.readline() == "serving version 2\n"
        client.delete_registered_model("m")
        assert program.wait(120) == 0


def test_lost_runs_are_found(client: Client) -> None:
    run = client.create_run("0", take_lease=True)
    with run.watch() as watch:
        next(watch)
        assert next(watch).type == "LOST"
    with start_command(client, LOST) as listed:
        line = listed.stdout.read()
    assert run.info.run_id in line
    assert " LOST " in line


def test_every_option_of_the_command_is_told() -> None:
    for option in tail.params:
        assert option.opts[0] in PAGE or option.name == "run_id"
