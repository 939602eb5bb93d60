"""What docs/live-artifacts.md shows does what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server_process import clean_environment, running_server

from holdfast._client import Client

PAGE = (Path(__file__).parents[2] / "docs" / "live-artifacts.md").read_text()
WRITE, READ, LOGGING, TAR = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(COMMAND,) = re.findall(r"```sh\n(.*?)\n```", PAGE)
TRAINS = "time.sleep(1)"
(OUTPUT,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "server")) as server:
        yield f"holdfast://{server.address}"


def run(command: list[str], uri: str, folder: Path) -> str:
    environment = clean_environment({"HOLDFAST_URI": uri})
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120
    ).stdout


def run_code(code: str, uri: str, folder: Path, *args: str) -> str:
    return run([sys.executable, "-W", "error", "-c", code, *args], uri, folder)


def run_id_of(output: str) -> str:
    return output.removeprefix("run: ").strip()


def test_what_is_written_is_followed_by_the_command_and_in_python(uri: str, tmp_path: Path) -> None:
    environment = clean_environment({"HOLDFAST_URI": uri})
    assert TRAINS in WRITE
    # It trains until this test says so, and the file is there from the beginning.
    program = [sys.executable, "-u", "-W", "error", "-c", WRITE.replace(TRAINS, "log.flush(); input()")]
    with subprocess.Popen(program, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        run_id = run_id_of(writer.stdout.readline())
        name, *args = shlex.split(COMMAND.replace("<run id>", run_id))
        command = [str(Path(sys.executable).parent / name), *args, "--wait"]
        with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE) as follower:
            assert follower.stdout is not None
            for line in OUTPUT.splitlines(keepends=True):
                writer.stdin.write("\n")
                writer.stdin.flush()
                assert follower.stdout.readline() == line  # while the next step goes on
            assert follower.stdout.read() == ""
            assert follower.wait(60) == 0
        assert writer.wait(60) == 0
    assert run([str(Path(sys.executable).parent / name), *args], uri, tmp_path) == OUTPUT
    assert run_code(READ, uri, tmp_path, run_id) == OUTPUT


def test_logging_writes_to_it(uri: str, tmp_path: Path) -> None:
    run_id = run_id_of(run_code(LOGGING, uri, tmp_path))
    with Client(uri) as client:
        assert client.artifacts.read_bytes(f"runs:/{run_id}/logs/train.log") == b"INFO training begins\n"


def test_a_tar_is_stored_while_it_is_made(uri: str, tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "part").write_text("content")
    run_id = run_id_of(run_code(TAR, uri, tmp_path))
    with (
        Client(uri) as client,
        tarfile.open(client.download_artifacts(run_id, "dataset.tar", tmp_path / "back")) as tar,
    ):
        assert tar.getnames() == ["dataset", "dataset/part"]
