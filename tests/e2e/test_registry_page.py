"""docs/registry.md does what it says: its programs are written down, its commands run, and their output compared."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.server_process import clean_environment, running_server

from holdfast.cli import models, runs

PAGE = (Path(__file__).parents[2] / "docs" / "registry.md").read_text(encoding="utf-8")
MARK = "@@@ "
COMMANDS = {
    **{f"models {name}": models.command.get_command(click.Context(models.command), name) for name in models._COMMANDS},
    **{f"runs {name}": runs.command.get_command(click.Context(runs.command), name) for name in ("export", "import")},
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def pattern_of(output: str) -> str:
    """Matches the output that is shown; ``…`` stands for anything on its line, alone on a line for any lines."""
    return "".join(
        r"(?:.*\n)*?" if line == "…\n" else r"[^\n]*".join(map(re.escape, line.split("…")))
        for line in output.splitlines(keepends=True)
    )


@pytest.mark.slow
def test_the_page_runs_as_it_reads(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for code in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", code)
        assert name, code
        (folder / name[1]).write_text(code)
    parts = re.split(r"^\$ ", "".join(blocks("console")), flags=re.MULTILINE)[1:]
    sessions = [(command, output) for command, _, output in (part.partition("\n") for part in parts)]
    script = "".join(f"echo '{MARK}'\n{command}\n" for command, _ in sessions)
    with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "server")) as server:
        environment = clean_environment({"HOLDFAST_URI": f"holdfast://{server.address}"})
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=environment, timeout=120, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    outputs = done.stdout.split(f"{MARK}\n")[1:]
    assert len(outputs) == len(sessions) > 10
    for (command, expected), output in zip(sessions, outputs, strict=True):
        assert re.fullmatch(pattern_of(expected), output), f"$ {command}\n{output}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_on_the_page(name: str) -> None:
    command = COMMANDS[name]
    assert command is not None
    assert f"| `holdfast {name} " in PAGE or f"| `holdfast {name}`" in PAGE
    for option in command.params:
        if isinstance(option, click.Option) and option.opts[0] != "--json":
            assert f"`{max(option.opts, key=len)}`" in PAGE, f"docs/registry.md does not tell of {name} {option.opts}"
