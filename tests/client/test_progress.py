"""Progress: right figures from any thread, and a bar only for those who look at a long transfer."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import secrets
import struct
import subprocess
import sys
import termios
import threading
import warnings

import pytest
from tests.server_process import clean_environment

from holdfast._config import shows_progress
from holdfast._transfer import progress as module
from holdfast._transfer.progress import Progress
from holdfast.errors import InvalidArgumentError

MIB = 1 << 20


class Terminal(io.StringIO):
    """Standard error that somebody looks at."""

    def isatty(self) -> bool:
        return True


def look(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """From here on standard error is a terminal, and bars are drawn at once. (Not a fixture: pytest sets it back.)"""
    monkeypatch.delenv("HOLDFAST_PROGRESS", raising=False)
    monkeypatch.setattr(module, "APPEARS_AFTER", 0.0)
    monkeypatch.setattr(module, "REDRAWN_AFTER", 0.0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_the_figures_are_right_whichever_threads_count():
    with Progress("logging", shown=False) as progress:
        progress.expect(4 * 3_000, files=7)
        threads = [
            threading.Thread(target=lambda: [(progress.advance(2), progress.save(1)) for _ in range(1_000)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    summary = progress.summary
    assert (summary.files, summary.bytes, summary.moved, summary.saved) == (7, 12_000, 8_000, 4_000)
    assert summary.seconds == progress.summary.seconds  # it stands still once the transfer is over


def test_bytes_that_went_twice_count_as_moved_twice_and_done_once():
    with Progress("logging", shown=False) as progress:
        progress.send(100)
        progress.send(100)
        progress.advance(100)
    assert (progress.summary.bytes, progress.summary.moved) == (100, 200)
    with Progress("logging", shown=False) as progress:
        progress.advance(70)
        progress.restart()
        progress.save(30)
        progress.advance(70)
    assert (progress.summary.bytes, progress.summary.moved, progress.summary.saved) == (100, 140, 30)


def test_the_bar_shows_bytes_rate_files_and_what_was_saved(monkeypatch):
    terminal = look(monkeypatch)
    with Progress("logging") as progress:
        progress.expect(4 * MIB, files=3)
        progress.save(2 * MIB)
        progress.advance(MIB)
        shown = terminal.getvalue()
    assert "logging:" in shown
    assert "3.00M/4.00M" in shown
    assert "B/s" in shown
    assert "3 files, 2 MiB already there" in shown
    assert "75%" in shown
    assert terminal.getvalue().endswith("\r")  # gone at the end


def test_the_total_grows_and_may_be_unknown(monkeypatch):
    terminal = look(monkeypatch)
    with Progress("logging") as progress:
        progress.advance(MIB)
        assert "1.00MB [" in terminal.getvalue()
        progress.expect(2 * MIB)
        progress.expect(2 * MIB)
        progress.advance(MIB)
        assert "2.00M/4.00M" in terminal.getvalue()


def test_a_short_transfer_shows_nothing_and_loads_no_tqdm(client, run_id, monkeypatch, tmp_path):
    code = (
        "import os, sys, holdfast; from holdfast._transfer import progress; "
        "progress.APPEARS_AFTER = 600.0; "  # short is what a busy machine takes, too
        "holdfast.Client(sys.argv[1]).log_artifact(sys.argv[2], sys.argv[3]); "
        "assert os.isatty(2); print('tqdm' in sys.modules)"
    )
    file = tmp_path / "f"
    file.write_bytes(secrets.token_bytes(MIB))
    parent, child = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", code, client.tracking_uri, run_id, file],
        env=clean_environment(), stdout=subprocess.PIPE, stderr=child, text=True, check=True, timeout=120,
    )  # fmt: skip
    os.close(child)
    assert done.stdout == "False\n"
    with pytest.raises(OSError, match="Input/output error"):  # the terminal is empty and closed
        os.read(parent, 100)
    os.close(parent)


SHOW = """
from holdfast._transfer import progress as module
module.APPEARS_AFTER = 0.0
with module.Progress("logging") as progress:
    progress.expect(2 << 20)
    progress.advance(1 << 20)
"""


@pytest.mark.parametrize("columns", [100, 0], ids=["a window", "no width"])
def test_a_real_terminal_shows_the_bar_whatever_it_says_of_its_width(columns):
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    done = subprocess.run([sys.executable, "-c", SHOW], env=clean_environment(), stderr=child, check=True, timeout=120)
    os.close(child)
    shown = os.read(parent, 1 << 16).decode()
    os.close(parent)
    assert done.returncode == 0
    assert "50%" in shown
    assert all(len(line) <= (columns or 80) for line in shown.split("\r"))


def test_nothing_is_drawn_where_nobody_looks(monkeypatch):
    monkeypatch.setattr(module, "APPEARS_AFTER", 0.0)
    for stream in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress("logging") as progress:
            progress.advance(1)
        assert progress._bar is None
        assert stream is None or stream.getvalue() == ""


def test_the_variable_turns_bars_off_and_on(monkeypatch):
    terminal = look(monkeypatch)
    monkeypatch.setenv("HOLDFAST_PROGRESS", "0")
    with Progress("logging") as progress:
        progress.advance(1)
    assert terminal.getvalue() == ""
    monkeypatch.setenv("HOLDFAST_PROGRESS", "1")
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with Progress("logging") as progress:
        progress.advance(1)
    assert "logging" in log.getvalue()


@pytest.mark.parametrize(("value", "wanted"), [("", None), ("auto", None), ("0", False), ("on", True)])
def test_the_variable_is_true_false_or_auto(value, wanted):
    assert shows_progress({"HOLDFAST_PROGRESS": value}) is wanted


def test_another_value_of_the_variable_is_refused_before_anything_is_sent(client, run_id, monkeypatch):
    monkeypatch.setenv("HOLDFAST_PROGRESS", "maybe")
    with pytest.raises(InvalidArgumentError, match="HOLDFAST_PROGRESS"):
        client.log_text(run_id, "x", "x.txt")
    monkeypatch.delenv("HOLDFAST_PROGRESS")
    assert client.list_artifacts(run_id) == []


def test_a_screen_that_breaks_does_not_break_the_transfer(monkeypatch):
    def break_down(text: str) -> int:
        raise OSError("gone")

    terminal = look(monkeypatch)
    with Progress("logging") as progress:
        progress.advance(1)
        monkeypatch.setattr(terminal, "write", break_down)
        progress.advance(1)
        progress.advance(1)
    assert progress.summary.bytes == 3


def test_no_thread_is_left_behind(monkeypatch):
    look(monkeypatch)
    before = set(threading.enumerate())
    with Progress("logging") as progress:
        progress.advance(1)
    assert set(threading.enumerate()) == before


def test_a_notebook_without_widgets_gets_text_and_no_warning(monkeypatch):
    terminal = look(monkeypatch)
    from tqdm import notebook

    monkeypatch.setattr(module, "in_notebook", lambda: True)
    monkeypatch.setattr(notebook, "IProgress", None)
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Progress("logging") as progress:
            progress.advance(1)
    assert "logging" in terminal.getvalue()


IN_A_NOTEBOOK = """
import sys, threading, warnings
warnings.simplefilter("error")
if not {widgets}:
    sys.modules["ipywidgets"] = None
from holdfast._transfer import progress as module
module.APPEARS_AFTER = module.REDRAWN_AFTER = 0.0
with module.Progress("logging") as progress:
    progress.expect(4 << 20, files=2)
    thread = threading.Thread(target=progress.advance, args=(1 << 20,))
    thread.start(); thread.join()
    progress.expect(4 << 20)
    progress.advance(1 << 20)
"""


@pytest.mark.slow
@pytest.mark.parametrize("widgets", [True, False], ids=["widgets", "text"])
def test_a_notebook_shows_the_bar_in_its_cell(widgets):
    from jupyter_client.manager import start_new_kernel

    manager, kernel = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL, env=clean_environment())
    messages: list[dict] = []
    try:
        code = IN_A_NOTEBOOK.format(widgets=widgets)
        reply = kernel.execute_interactive(code, timeout=120, output_hook=messages.append)
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", messages
    printed = "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")
    states = [m["content"]["data"].get("state", {}) for m in messages if m["msg_type"].startswith("comm_")]
    if widgets:
        assert printed == ""
        assert [m["msg_type"] for m in messages].count("display_data") == 1
        assert [state["max"] for state in states if "max" in state] == [4 * MIB, 8 * MIB]
        assert any("2.00M/8.00M" in str(state.get("value")) for state in states)
    else:
        assert states == []
        assert "2.00M/8.00M" in printed


def test_an_upload_counts_what_it_sends_and_what_it_saves(client, run_id, tmp_path):
    file = tmp_path / "f"
    file.write_bytes(secrets.token_bytes(9 * MIB))
    with Progress("logging") as first:
        client.artifacts.log_path(_run(run_id), file, progress=first)
    assert (first.summary.files, first.summary.bytes, first.summary.saved) == (1, 9 * MIB, 0)
    assert 9 * MIB <= first.summary.moved < 9.01 * MIB
    with Progress("logging") as again:
        client.artifacts.log_path(_run(run_id), file, progress=again)
    assert (again.summary.bytes, again.summary.saved, again.summary.moved) == (9 * MIB, 9 * MIB, 0)
    with Progress("logging") as small:
        client.artifacts.log_bytes(_run(run_id), b"hello", "small", progress=small)
    assert (small.summary.files, small.summary.bytes, small.summary.moved) == (1, 5, 5)


def test_a_stream_counts_as_it_comes(client, run_id):
    with Progress("logging") as progress:
        client.artifacts.log_stream(_run(run_id), io.BytesIO(bytes(3 * MIB)), "zeros", progress=progress)
    assert (progress.summary.files, progress.summary.bytes) == (1, 3 * MIB)


def _run(run_id):
    from holdfast.v1 import artifact_pb2

    return artifact_pb2.TreeOwner(run_id=run_id)
