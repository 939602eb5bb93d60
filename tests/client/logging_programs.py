"""Programs that log to the test server, for tests of what becomes of it when they end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.server_process import clean_environment


def start(code: str, server, journals: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    """Begin a program that logs to the test server."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments],
        env=clean_environment({"HOLDFAST_URI": server.uri, "HOLDFAST_JOURNAL_DIR": str(journals), **environ}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, server, journals: Path, *arguments: str, **environ: str) -> list[str]:
    """Run a program that logs to the test server; the lines that it prints."""
    with start(code, server, journals, *arguments, **environ) as process:
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0, err
    return out.split()


def run_script(path: Path, server, journals: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, path],
        env=clean_environment({"HOLDFAST_URI": server.uri, "HOLDFAST_JOURNAL_DIR": str(journals)}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def steps(client, run_id: str, key: str) -> list[int]:
    return [point.step for point in client.get_metric_history(run_id, key)]
