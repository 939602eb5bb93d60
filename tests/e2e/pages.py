"""Pages of docs/ that are run: their programs are written down, their commands run, and their output compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.server_process import clean_environment, running_server

ROOT = Path(__file__).parents[2]
_MARK = "@@@ "
# How the first line of a program begins that names its file.
_COMMENTS = {"python": "#", "yaml": "#", "cpp": "//"}


def read_page(name: str) -> str:
    """A page of docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """What stands under a heading of the second level, up to the next one."""
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return str(found)


def blocks(page: str, language: str) -> list[str]:
    """The page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def check_page(
    page: str,
    folder: Path,
    *server_arguments: str,
    programs: Sequence[Path] = (),
    from_repository: Sequence[str] = (),
) -> int:
    """Run a page in a folder, on a server of its own; returns how many commands it has.

    Commands know the server as ``HOLDFAST_URI``, and its data directory as ``DATA``.

    Blocks of Python begin with the name of a file to write them to, and others may. Those of the console are commands
    behind ``$`` with the output of each; there ``…`` stands for anything on its line, and alone on a line for any
    lines.

    Args:
        page: The page, or a part of it.
        folder: An empty folder, in which it runs.
        server_arguments: Of the server.
        programs: Files that commands find by their names.
        from_repository: What of the repository's own folder is there as well.
    """
    work, found = folder / "work", folder / "bin"
    work.mkdir()
    found.mkdir()
    for program in programs:
        (found / program.name).symlink_to(program)
    for name in from_repository:
        (work / name).symlink_to(ROOT / name)
    for language, comment in _COMMENTS.items():
        for code in blocks(page, language):
            name = re.match(rf"{comment} ([\w.]+)\n", code)
            assert name or language != "python", code
            if name:
                (work / name[1]).write_text(code)
    parts = re.split(r"^\$ ", "".join(blocks(page, "console")), flags=re.MULTILINE)[1:]
    sessions = [(command, output) for command, _, output in (part.partition("\n") for part in parts)]
    script = "".join(f"echo '{_MARK}'\n{command}\n" for command, _ in sessions)
    data = str(folder / "server")
    with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", data, *server_arguments) as server:
        environment = clean_environment({"HOLDFAST_URI": f"holdfast://{server.address}", "DATA": data})
        environment["PATH"] = os.pathsep.join([str(found), str(Path(sys.executable).parent), environment["PATH"]])
        done = subprocess.run(
            ["bash", "-c", script], cwd=work, env=environment, timeout=600, check=False,
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
