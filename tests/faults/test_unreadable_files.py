"""A file of the store that the disk cannot read, or that the server may not: fsck and gc say so and go on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.faults.backends import Backend
from tests.faults.scoreboard import Scoreboard

from holdfast._client import Client
from holdfast.cli import cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace"),
]


@contextlib.contextmanager
def failing(pid: int, path: Path, call: str, error: str, log: Path) -> Iterator[None]:
    """Let each of the server's calls fail that touches a file, from when strace has attached itself on."""
    command = ["strace", "-f", "-P", path, "-o", log, "-e", f"trace={call}", "-e", f"inject={call}:error={error}"]
    process = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE)
    assert process.stderr is not None
    while b"attached" not in (line := process.stderr.readline()):
        assert line, "strace ended"
    try:
        yield
    finally:
        process.terminate()  # it detaches
        process.wait(120)
        process.stderr.close()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [("pread64", "EIO", "Input/output error"), ("openat", "EACCES", "Permission denied")],
    ids=["EIO", "EACCES"],
)
def test_fsck_and_gc_tell_of_a_file_that_cannot_be_read_and_go_on(
    *, call: str, error: str, text: str, local_backend: Backend, scoreboard: Scoreboard, tmp_path: Path
) -> None:
    def holdfast(*arguments: str) -> tuple[int, list[dict[str, object]]]:
        result = CliRunner().invoke(cli, ["--uri", local_backend.uri, *arguments, "--json"])
        return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]

    with local_backend.server() as server, Client(local_backend.uri) as client:
        run_id = client.create_run("0").info.run_id
        folder = tmp_path / "set"
        (folder / "rest").mkdir(parents=True)
        for number in range(20):
            (folder / ("rest" if number > 1 else "") / str(number)).write_bytes(os.urandom(3_000))
        client.log_artifacts(run_id, folder, "set")
        (pack,) = (local_backend.data_dir / "store" / "packs").glob("*/*")
        client.log_bytes(run_id, os.urandom(700_000), "large")
        client.delete_artifacts(run_id, "set/rest")
        with failing(server.process.pid, pack, call, error, tmp_path / "trace"):
            code, (*findings, last) = holdfast("fsck", "--deep")
            assert (code, {finding["kind"] for finding in findings}) == (1, {"UNREADABLE"})
            assert all(text in str(finding["message"]) for finding in findings)
            affected = [uri for finding in findings for uri in finding["affected"]]  # type: ignore[attr-defined]
            assert {f"runs:/{run_id}/set/0", f"runs:/{run_id}/set/1"} <= set(affected)
            assert last["summary"]["problems"] == len(findings) == 20  # type: ignore[index]
            code, (collected,) = holdfast("gc", "--grace", "0")
            assert (code, collected["failures"], collected["compacted_packs"]) == (1, 1, 0)
        assert "(INJECTED)" in (tmp_path / "trace").read_text()
        scoreboard.injected(f"system call: {call} {error}")
        assert any(f"{pack.name} was not rewritten: " in line and text in line for line in server.lines)
        code, (collected,) = holdfast("gc", "--grace", "0")
        assert (code, collected["failures"], collected["compacted_packs"]) == (0, 0, 1)
        assert holdfast("fsck", "--deep")[0] == 0
        for number in range(2):
            local = client.download_artifacts(run_id, f"set/{number}", tmp_path / "out")
            assert Path(local).read_bytes() == (folder / str(number)).read_bytes()
