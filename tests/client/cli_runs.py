"""Running the command ``holdfast`` in tests."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from tests.server_process import clean_environment

from holdfast.cli import cli

PROGRAM = str(Path(sys.executable).parent / "holdfast")


def in_process(uri: str, *args: str, expect: int = 0) -> str:
    """Run the command in this process, which is quick; returns what it prints, or its errors when it shall fail."""
    done = CliRunner().invoke(cli, ["--uri", uri, *args], prog_name="holdfast")
    assert done.exit_code == expect, done.output
    if expect == 1:
        assert done.stderr.startswith("Error: ")
        assert len(done.stderr.splitlines()) == 1
    return done.stderr if expect else done.stdout


def json_lines(output: str) -> list[Any]:
    """The JSON documents of an output, one on each line; strictly, so without NaN."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in output.splitlines()]


def rows(output: str) -> list[list[str]]:
    """Cells of a table that was printed into a pipe."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in output.splitlines()]


def in_terminal(arguments: list[str], columns: int, environment: dict[str, str] | None = None) -> list[str]:
    """Lines that the command writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = clean_environment({"TERM": "xterm", "LANG": "C.UTF-8", **(environment or {})})
    variables.pop("COLUMNS", None)
    process = subprocess.Popen([PROGRAM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
    os.close(theirs)
    output = b""
    try:
        while part := os.read(ours, 65_536):
            output += part
    except OSError:  # how a terminal ends
        pass
    os.close(ours)
    assert process.wait(60) == 0, output
    return output.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
