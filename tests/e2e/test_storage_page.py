"""docs/storage.md: its example does what it shows, and it names every option."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.server_process import clean_environment, running_server

from holdfast.cli import cli

PAGE = (Path(__file__).parents[2] / "docs" / "storage.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_shows(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (session,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")) as server:
        environment = clean_environment({"HOLDFAST_URI": f"holdfast://{server.address}"})
        subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True, timeout=60)
        steps = re.findall(r"^\$ (.*)\n((?:[^$].*\n|\n)*)", session, re.MULTILINE)
        assert len(steps) == session.count("$ ") > 3
        for command, expected in steps:
            program, *arguments = shlex.split(command)
            done = subprocess.run(
                [Path(sys.executable).with_name(program), *arguments],
                env=environment, capture_output=True, text=True, check=True, timeout=60,
            )  # fmt: skip
            assert done.stdout == expected, command


@pytest.mark.parametrize("name", ["gc", "fsck", "du"])
def test_every_option_is_on_the_page_and_has_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert options
    for option in options:
        assert option.help
        assert option.opts[0] in PAGE, f"docs/storage.md does not tell of {name} {option.opts[0]}"
