"""docs/artifacts.md does what it says: its programs are written down, its commands run, and their output compared."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.server_process import clean_environment, running_server

from holdfast.cli import artifacts

PAGE = Path(__file__).parents[2] / "docs" / "artifacts.md"
MARK = "@@@ "


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def sessions() -> list[tuple[str, str]]:
    """Commands of the page, each with the output that it shows."""
    parts = re.split(r"^\$ ", "".join(blocks("console")), flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def pattern_of(output: str) -> str:
    """Matches the output that is shown; ``…`` stands for anything on its line."""
    return r"[^\n]*".join(map(re.escape, output.split("…")))


def test_the_table_of_commands_has_each_of_them() -> None:
    listed = re.findall(r"^\| `holdfast artifacts (\w+)", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == artifacts.command.list_commands(click.Context(artifacts.command))


@pytest.mark.slow
def test_the_page_runs_as_it_reads(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for code in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", code)
        assert name, code
        (folder / name[1]).write_text(code)
    script = "".join(f"echo '{MARK}'\n{command}\n" for command, _ in sessions())
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "server")]
    with running_server(*arguments) as server:
        environment = clean_environment({"HOLDFAST_URI": f"holdfast://{server.address}"})
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=environment, timeout=120, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    outputs = done.stdout.split(f"{MARK}\n")[1:]
    assert len(outputs) == len(sessions())
    for (command, expected), output in zip(sessions(), outputs, strict=True):
        assert re.fullmatch(pattern_of(expected), output), f"$ {command}\n{output}"
