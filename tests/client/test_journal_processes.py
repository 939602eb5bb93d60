"""Processes that log: forked while the sender works, spawned, pooled, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.client.logging_programs import run, run_script, start, steps

import holdfast
from holdfast._journal.folder import folders

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
                queue.get(timeout=120)
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


def test_a_program_whose_server_is_away_says_so_once_and_what_remains_once(journals):
    code = "import holdfast\nwith holdfast.start_run():\n  holdfast.log_metric('m', 1.0)"
    nobody = SimpleNamespace(uri="holdfast://127.0.0.1:1")
    with start(code, nobody, journals) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert [line.split(".")[0].split(" at ")[0] for line in err.splitlines()] == [
        "What is logged waits on this machine and is sent as soon as that is possible; the program goes on",
        "Not all that was logged is",
    ]


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
        out, _ = process.communicate(timeout=120)
    run_id, child = out.split()
    try:
        (result,) = holdfast.sync()
    finally:
        os.kill(int(child), signal.SIGKILL)
    assert result.sent == 2
    assert steps(client, run_id, "m") == [0, 1]


READ_ONLY = """
import logging, holdfast
logging.basicConfig(format="%(message)s")
with holdfast.start_run() as run:
    for step in range(5_000):
        holdfast.log_metric("m", 1.0, step=step)
print(run.info.run_id)
"""


@pytest.fixture(params=["read-only", "a file in the way"])
def unwritable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A place where no journal can be written, whoever asks."""
    place = tmp_path / "place"
    if request.param != "read-only":
        place.write_text("no directory")
        yield place
        return
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=4096", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("NOT TESTED: a read-only disk, because this user may not mount a tmpfs (run as root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_program_that_cannot_write_a_journal_logs_all_the_same_and_says_so_once(server, client, unwritable):
    with start(READ_ONLY, server, unwritable / "journals") as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert steps(client, out.strip(), "m") == list(range(5_000))
    (warning,) = (line for line in err.splitlines() if "journal" in line.lower())
    assert warning.startswith("No journal can be written ([Errno ")
    assert "is lost if this process is killed before" in warning
