"""SIGTERM ends the active run, unless the program has a handler of its own."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from tests.client.logging_programs import start, steps

import holdfast

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
        out, err = process.communicate(timeout=120)
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
    holdfast.sync()  # what two seconds were not enough for
    assert client.get_run(run_id).info.status == "KILLED"
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
