"""Processes that log: forked while the sender works, spawned, killed, terminated, and ended in every other way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.server_process import clean_environment

import holdfast
from holdfast._journal import syncing
from holdfast._journal.folder import Folder, folders


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


@pytest.fixture
def journals(tmp_path, monkeypatch) -> Path:
    """A directory of the test's own for what is logged."""
    path = tmp_path / "journals"
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(path))
    return path


def steps(client, run_id: str, key: str) -> list[int]:
    return [point.step for point in client.get_metric_history(run_id, key)]


FORKS = """
import os, sys, threading, holdfast

run = holdfast.start_run()
stop = threading.Event()
logged = 0

def log_on():
    global logged
    while not stop.is_set():
        holdfast.log_metric("parent", 1.0, step=logged, run_id=run.info.run_id)
        logged += 1

thread = threading.Thread(target=log_on)
thread.start()
children = []
for number in range(20):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for step in range(300):
                holdfast.log_metric(f"child-{number}", 1.0, step=step)
            holdfast.flush()
            code = 0
        finally:
            os._exit(code)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
stop.set()
thread.join()
assert codes == [0] * 20, codes
holdfast.end_run()
print(run.info.run_id, logged)
"""


def test_forks_taken_while_a_thread_logs_and_the_sender_sends_log_safely(server, client, journals):
    run_id, logged = run(FORKS, server, journals)
    assert steps(client, run_id, "parent") == list(range(int(logged)))
    for number in range(20):
        assert steps(client, run_id, f"child-{number}") == list(range(300))
    assert client.get_run(run_id).info.status == "FINISHED"
    assert list(folders(journals)) == []


LOADER = """
import multiprocessing, os, signal, sys, holdfast

def load(number, queue):
    # As a data loader's worker does: it logs to the run that is active in its parent, and serves batches.
    for batch in range(50):
        holdfast.log_metric(f"worker-{number}", batch, step=batch)
        queue.put(batch)
    if number == 3:
        queue.close(); queue.join_thread()
        os.kill(os.getpid(), signal.SIGKILL)

def main():
    context = multiprocessing.get_context(sys.argv[1])
    with holdfast.start_run() as run:
        for epoch in range(2):
            holdfast.log_metric("epoch", epoch, step=epoch)
            queue = context.Queue()
            workers = [context.Process(target=load, args=(n + 4 * epoch, queue)) for n in range(4)]
            for worker in workers: worker.start()
            for _ in range(200):
                queue.get(timeout=60)
                holdfast.log_metric("batches", 1.0)
            for worker in workers: worker.join()
            assert [w.exitcode for w in workers] == ([0, 0, 0, -9] if epoch == 0 else [0] * 4)
    print(run.info.run_id)

if __name__ == "__main__":
    main()
"""


def test_workers_of_a_data_loader_log_to_their_parent_s_run_even_one_that_is_killed(server, client, journals):
    (run_id,) = run(LOADER, server, journals, "fork")
    assert len(steps(client, run_id, "batches")) == 400
    assert steps(client, run_id, "epoch") == [0, 1]
    for worker in range(8):
        assert steps(client, run_id, f"worker-{worker}") == list(range(50)), "its parent sends what it left"
    assert list(folders(journals)) == []


SPAWNED = """
import multiprocessing, os, sys, holdfast

def work(number):
    for step in range(100):
        holdfast.log_metric(f"worker-{number}", 1.0, step=step, run_id=os.environ["RUN"])

if __name__ == "__main__":
    with holdfast.start_run() as run:
        os.environ["RUN"] = run.info.run_id
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=work, args=(n,)) for n in range(2)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        assert [worker.exitcode for worker in workers] == [0, 0]
    print(run.info.run_id)
"""


def test_spawned_workers_send_what_they_logged_before_they_end(server, client, journals, tmp_path):
    script = tmp_path / "spawning.py"
    script.write_text(SPAWNED)
    (run_id,) = run_script(script, server, journals)
    for worker in range(2):
        assert steps(client, run_id, f"worker-{worker}") == list(range(100))
    assert list(folders(journals)) == []


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


POOL = """
import concurrent.futures, holdfast

def work(number):
    holdfast.log_metric("pooled", number, step=number)

if __name__ == "__main__":
    import multiprocessing
    with holdfast.start_run() as run:
        holdfast.log_metric("before", 1.0)
        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            list(pool.map(work, range(50)))
    print(run.info.run_id)
"""


def test_workers_of_a_process_pool_log_to_the_active_run(server, client, journals):
    (run_id,) = run(POOL, server, journals)
    assert steps(client, run_id, "pooled") == list(range(50))


ENDING = """
import holdfast, sys
holdfast.start_run()
print(holdfast.active_run().info.run_id, flush=True)
for step in range(2_000):
    holdfast.log_metric("m", 1.0, step=step)
{then}
"""


@pytest.mark.parametrize(
    ("then", "status"),
    [
        pytest.param("", "FINISHED", id="end"),
        pytest.param("sys.exit(0)", "FINISHED", id="exit"),
        pytest.param("holdfast.end_run()", "FINISHED", id="end_run"),
        pytest.param("holdfast.current_client().close()", "RUNNING", id="close"),
    ],
)
def test_the_end_of_a_program_sends_what_it_logged(server, client, journals, then, status):
    (run_id,) = run(ENDING.format(then=then), server, journals)
    assert steps(client, run_id, "m") == list(range(2_000))
    assert client.get_run(run_id).info.status == status
    assert list(folders(journals)) == []


KILLED = """
import os, signal, holdfast
from holdfast._journal import sender

sender.LINGER = 3600  # nothing is sent by itself
run = holdfast.start_run()
for step in range(5_000):
    holdfast.log_metric("m", 1.0, step=step)
    if step == 2_000:
        holdfast.flush()
    if step == 2_500:
        sender.ENOUGH = 1 << 30
print(run.info.run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def left_by_a_killed_process(server, journals: Path, code: str = KILLED) -> str:
    """The run whose points wait in ``journals``."""
    with start(code, server, journals) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    return out.strip()


def test_what_a_killed_process_logged_is_sent_once_by_any_number_of_syncs(server, client, journals):
    run_id = left_by_a_killed_process(server, journals)
    (waiting,) = holdfast.sync(dry_run=True)
    assert 0 < waiting.waiting < 5_000
    assert (waiting.uri, waiting.sent, waiting.error) == (server.uri, 0, "")
    with ThreadPoolExecutor(4) as pool:
        results = [result for results in pool.map(lambda _: holdfast.sync(), range(4)) for result in results]
    assert sum(result.sent for result in results) == waiting.waiting
    assert steps(client, run_id, "m") == list(range(5_000))
    assert holdfast.sync() == []
    assert list(folders(journals)) == []


def test_a_journal_that_was_sent_before_changes_nothing_when_it_is_sent_again(server, client, journals):
    run_id = left_by_a_killed_process(server, journals)
    (folder,) = folders(journals)
    copy = {path.name: path.read_bytes() for path in folder.iterdir()}
    (first,) = holdfast.sync()
    assert not folder.exists()
    folder.mkdir()
    for name, data in copy.items():
        (folder / name).write_bytes(data)
    (again,) = holdfast.sync()
    assert (again.sent, again.refused, again.error) == (first.sent, 0, "")
    assert steps(client, run_id, "m") == list(range(5_000))


def test_a_segment_that_is_gone_costs_its_own_points_and_no_others(server, client, journals, caplog):
    code = f"from holdfast._journal import segment; segment.SIZE = 32 << 10\n{KILLED}"
    run_id = left_by_a_killed_process(server, journals, code)
    (folder,) = folders(journals)
    _, second, *_ = sorted(folder.glob("*.segment"))
    second.unlink()
    copy = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert holdfast.sync()[0].error == ""
    found = steps(client, run_id, "m")
    assert len(found) == len(set(found)) < 5_000
    lost = sorted(set(range(5_000)) - set(found))
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert "did not arrive" in caplog.text
    folder.mkdir()
    for name, data in copy.items():
        (folder / name).write_bytes(data)
    assert holdfast.sync()[0].error == ""
    assert steps(client, run_id, "m") == found, "what goes on after a gap goes on under the same name"


def test_a_sync_that_is_killed_is_made_up_for_by_the_next(server, client, journals, monkeypatch):
    run_id = left_by_a_killed_process(server, journals)
    (folder,) = folders(journals)
    sent = []

    def fail(*arguments: object, **options: object) -> None:
        sent.append(1)
        if len(sent) == 2:
            raise KeyboardInterrupt
        send(*arguments, **options)

    send = syncing.Delivery.send
    monkeypatch.setattr(syncing.Delivery, "send", fail)
    with pytest.raises(KeyboardInterrupt):
        holdfast.sync()
    monkeypatch.undo()
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(journals))
    assert folder.exists()
    (result,) = holdfast.sync()
    assert result.error == ""
    assert steps(client, run_id, "m") == list(range(5_000))


def test_a_journal_whose_server_is_away_stays(journals, tmp_path):
    code = (
        "import holdfast\n"
        "from holdfast._journal import processes, keeping\n"
        "processes.AWAY_SECONDS = keeping.PATIENCE = 0.1\n"
        "holdfast.Client('unix:' + __import__('sys').argv[1]).create_run('0')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "absent.sock")],
        env=clean_environment({"HOLDFAST_JOURNAL_DIR": str(journals)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        (result,) = syncing.sync(patience=0.1)
        assert (result.sent, result.waiting) == (0, 1)
        assert "No Holdfast server answers" in result.error
    (folder,) = folders(journals)
    taken = Folder.take(folder)
    assert taken is not None
    taken.remove()


def test_the_command_sends_what_waits(server, client, journals):
    run_id = left_by_a_killed_process(server, journals)

    def sync(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", "from holdfast.cli import main; main()", *arguments],
            env=clean_environment({"HOLDFAST_JOURNAL_DIR": str(journals)}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not done.stderr
        return done.returncode, done.stdout

    code, out = sync("sync", "--dry-run", "--json")
    waiting = json.loads(out)
    assert (code, waiting["uri"], waiting["sent"]) == (0, server.uri, 0)
    assert sync("--uri", "holdfast://127.0.0.1:1", "sync") == (0, "Nothing waits.\n")
    code, out = sync("sync")
    assert code == 0
    assert f"{waiting['waiting']:,} sent" in out
    assert sync("sync") == (0, "Nothing waits.\n")
    assert sync("sync", "--json") == (0, "")
    assert steps(client, run_id, "m") == list(range(5_000))


TERMINATED = """
import sys, time, holdfast
{before}
run = holdfast.start_run()
print(run.info.run_id, flush=True)
step = 0
while True:
    holdfast.log_metric("m", 1.0, step=step)
    step += 1
    {each}
"""


def terminated(code: str, server, client, journals) -> tuple[str, int, str]:
    """A program's run, exit code and what it printed after SIGTERM fell upon it."""
    with start(code, server, journals) as process:
        run_id = process.stdout.readline().strip()
        while not client.get_run(run_id).data.metrics:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return run_id, process.returncode, out


@pytest.mark.parametrize(
    "each",
    [
        pytest.param("", id="while logging"),
        pytest.param("holdfast.set_tag('t', step)", id="within a call"),
        pytest.param("time.sleep(0.001)", id="while sleeping"),
    ],
)
def test_sigterm_ends_the_run_killed_and_loses_nothing(server, client, journals, each):
    run_id, code, _ = terminated(TERMINATED.format(before="", each=each), server, client, journals)
    assert code == -signal.SIGTERM, "whoever started it sees what ended it"
    assert client.get_run(run_id).info.status == "KILLED"
    holdfast.sync()  # what two seconds were not enough for
    found = steps(client, run_id, "m")
    assert found == list(range(len(found)))


OWN_HANDLER = """import signal
def handler(*_):
    print("mine", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, handler)"""


def test_a_program_s_own_handler_of_sigterm_is_left_alone(server, client, journals):
    run_id, code, out = terminated(TERMINATED.format(before=OWN_HANDLER, each=""), server, client, journals)
    assert (code, out) == (7, "mine\n")
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_run_begun_in_another_thread_installs_no_handler(fluent, name):
    holdfast.set_experiment(name)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:

        def work() -> None:
            with holdfast.start_run():
                pass

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_program_that_forks_and_ends_leaves_its_journal_to_nobody_else(server, client, journals):
    """A child that outlives its parent must not keep the parent's journal locked."""
    code = """
import os, signal, time, holdfast
from holdfast._journal import sender
sender.LINGER = 3600
run = holdfast.start_run()
holdfast.log_metric("m", 1.0)
holdfast.log_metric("m", 2.0, step=1)
child = os.fork()
if child == 0:
    os.close(1); os.close(2)
    time.sleep(60)
    os._exit(0)
print(run.info.run_id, child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with start(code, server, journals) as process:
        out, _ = process.communicate(timeout=60)
    run_id, child = out.split()
    try:
        (result,) = holdfast.sync()
    finally:
        os.kill(int(child), signal.SIGKILL)
    assert result.sent == 2
    assert steps(client, run_id, "m") == [0, 1]
