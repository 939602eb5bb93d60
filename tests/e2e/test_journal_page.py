"""What docs/journal.md shows does what the page says."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.server_process import clean_environment, running_server

from holdfast._client import Client
from holdfast._config import STRICT_VARIABLE
from holdfast._journal.folder import DIRECTORY_VARIABLE

PAGE = (Path(__file__).parents[2] / "docs" / "journal.md").read_text()
(TRAIN,) = re.findall(r"```python\n# train.py\n(.*?)```", PAGE, re.DOTALL)
(CONSOLE,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


def run(command: list[str], folder: Path, uri: str = "") -> str:
    environment = clean_environment({"HOLDFAST_JOURNAL_DIR": str(folder / "journals"), "HOLDFAST_URI": uri})
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False, timeout=120
    )
    assert done.returncode in (0, -signal.SIGKILL)
    return done.stdout


@pytest.mark.slow
def test_the_training_of_the_page_is_there_whole_even_when_it_was_killed(tmp_path: Path) -> None:
    sync = str(Path(sys.executable).parent / "holdfast")
    with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "server")) as server:
        uri = f"holdfast://{server.address}"
        (tmp_path / "train.py").write_text(TRAIN)
        run_id = run([sys.executable, "train.py"], tmp_path, uri).strip()
        killed = TRAIN.replace(
            "\nprint", "\n    print(run.info.run_id, flush=True)\n    os.kill(os.getpid(), 9)\nprint"
        )
        (tmp_path / "train.py").write_text(f"import os\n{killed}")
        left = run([sys.executable, "train.py"], tmp_path, uri).split()[0]
        waiting, sent = (line for line in CONSOLE.splitlines() if not line.startswith("$"))
        for command, line in (([sync, "sync", "--dry-run"], waiting), ([sync, "sync"], sent)):
            told = re.escape(line)
            for shown, pattern in (
                ("127.0.0.1:5600", r"127\.0\.0\.1:\d+"),
                ("41,203", r"[\d,]+"),
                ("4711", r"\d+"),
                ("node-3", ".+"),
                ("2026-11-24 09:12:44", r"[\d :-]+"),
            ):
                told = told.replace(re.escape(shown), pattern)
            assert re.fullmatch(told + "\n", run(command, tmp_path))
        with Client(uri) as client:
            for each in (run_id, left):
                assert [point.step for point in client.get_metric_history(each, "loss")] == list(range(100_000))
            assert client.get_run(run_id).info.status == "FINISHED"


def test_each_setting_is_on_the_page() -> None:
    assert {DIRECTORY_VARIABLE, STRICT_VARIABLE} <= set(re.findall(r"`(HOLDFAST_\w+)`", PAGE))
