"""Pages of docs/ that are run: their programs are written down, their commands run, and their output compared."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.server_process import clean_environment, running_server

_MARK = "@@@ "


def read_page(name: str) -> str:
    """A page of docs/."""
    return (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def check_page(page: str, folder: Path, *server_arguments: str) -> int:
    """Run a page in a folder, on a server of its own; returns how many commands it has.

    Commands know the server as ``HOLDFAST_URI``, and its data directory as ``DATA``.

    Blocks of Python begin with the name of a file to write them to. Those of the console are commands behind ``$`` with
    the output of each; there ``…`` stands for anything on its line, and alone on a line for any lines.
    """
    work = folder / "work"
    work.mkdir()
    for code in blocks(page, "python"):
        name = re.match(r"# (\w+\.py)\n", code)
        assert name, code
        (work / name[1]).write_text(code)
    parts = re.split(r"^\$ ", "".join(blocks(page, "console")), flags=re.MULTILINE)[1:]
    sessions = [(command, output) for command, _, output in (part.partition("\n") for part in parts)]
    script = "".join(f"echo '{_MARK}'\n{command}\n" for command, _ in sessions)
    data = str(folder / "server")
    with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", data, *server_arguments) as server:
        environment = clean_environment({"HOLDFAST_URI": f"holdfast://{server.address}", "DATA": data})
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=work, env=environment, timeout=500, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    outputs = done.stdout.split(f"{_MARK}\n")[1:]
    assert len(outputs) == len(sessions)
    for (command, expected), output in zip(sessions, outputs, strict=True):
        assert re.fullmatch(_pattern_of(expected), output), f"$ {command}\n{output}"
    return len(sessions)


def _pattern_of(output: str) -> str:
    return "".join(
        r"(?:.*\n)*?" if line == "…\n" else r"[^\n]*".join(map(re.escape, line.split("…")))
        for line in output.splitlines(keepends=True)
    )
