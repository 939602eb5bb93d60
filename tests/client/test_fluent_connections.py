"""The fluent functions: which server they speak to, and how runs end with programs, forks and outages."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.server_process import clean_environment

import holdfast
from holdfast import _active_run
from holdfast.errors import FailedPreconditionError, InvalidArgumentError, UnavailableError


@pytest.fixture(autouse=True)
def _connected(fluent):
    """All tests here use the fluent functions."""


@pytest.fixture
def experiment(name):
    return holdfast.set_experiment(name)


def python(code: str, server, *, expect: int = 0, **environ: str) -> str:
    """Run a program against the test server."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=clean_environment({"HOLDFAST_URI": server.uri, **environ}),
    )
    assert done.returncode == expect, done.stderr
    return done.stdout.strip()


def test_connect_chooses_the_server(server, tmp_path, name):
    first = holdfast.current_client()
    assert holdfast.get_tracking_uri() == server.uri
    assert holdfast.connect(server.uri) is first
    holdfast.set_experiment(name)
    holdfast.set_tracking_uri(tmp_path / "elsewhere")
    assert holdfast.get_tracking_uri() == str(tmp_path / "elsewhere")
    assert holdfast.current_client() is not first
    with pytest.raises(InvalidArgumentError):
        holdfast.connect("http://localhost")
    assert holdfast.get_tracking_uri() == str(tmp_path / "elsewhere")
    holdfast.connect()
    with holdfast.start_run() as run:
        assert run.info.experiment_id == "0", "an experiment's id means nothing on another server"


def test_connecting_after_closing_opens_anew(server):
    with holdfast.connect() as client:
        pass
    with pytest.raises(FailedPreconditionError, match="connect again"):
        holdfast.get_experiment("0")
    assert holdfast.connect() is not client
    assert holdfast.get_experiment("0").name == "Default"


def test_without_configuration_there_is_a_server_of_one_s_own(tmp_path):
    code = (
        "import holdfast as mlflow\nwith mlflow.start_run() as run: mlflow.log_metric('m', 1)\nprint(run.info.run_id)"
    )
    program = [sys.executable, "-c", code]
    done = subprocess.run(
        program, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".holdfast").is_dir()
    with holdfast.Client(tmp_path / ".holdfast") as client:
        run = client.get_run(done.stdout.strip())
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"m": 1.0})


def test_an_active_run_stays_with_its_server(experiment, tmp_path):
    with holdfast.start_run() as run:
        holdfast.set_tracking_uri(tmp_path / "elsewhere")
        holdfast.log_metric("m", 1.0)
    assert run.refresh().data.metrics == {"m": 1.0}
    assert run.refresh().info.status == "FINISHED"


AT_EXIT = """
import holdfast
holdfast.set_experiment({name!r})
holdfast.log_metric("m", 1.0)
print(holdfast.active_run().info.run_id)
{then}
"""


@pytest.mark.parametrize(
    ("then", "code", "status"),
    [
        pytest.param("", 0, "FINISHED", id="end of the program"),
        pytest.param("raise ValueError", 1, "FAILED", id="exception"),
        pytest.param("import sys; sys.exit(3)", 3, "FINISHED", id="exit"),
    ],
)
def test_a_run_begun_by_logging_ends_with_the_program(server, name, then, code, status):
    run_id = python(AT_EXIT.format(name=name, then=then), server, expect=code)
    assert holdfast.get_run(run_id).info.status == status


FORKED = """
import multiprocessing, os, sys, holdfast

def worker(number):
    holdfast.log_metric(f"m{number}", number)

def lonely():
    with open(sys.argv[0] if False else os.environ["OUT"], "w") as out:
        holdfast.log_metric("x", 1)
        out.write(holdfast.active_run().info.run_id)

if __name__ == "__main__":
    holdfast.set_experiment(os.environ["NAME"])
    fork = multiprocessing.get_context("fork")
    with holdfast.start_run() as run:
        workers = [fork.Process(target=worker, args=(n,)) for n in range(3)]
        for process in workers: process.start()
        for process in workers: process.join()
        assert [process.exitcode for process in workers] == [0, 0, 0]
        assert run.refresh().info.status == "RUNNING"
        pid = os.fork()
        if pid == 0:
            sys.exit(0)  # leaves the block in the child, too
        os.waitpid(pid, 0)
        assert run.refresh().info.status == "RUNNING"
    print(run.info.run_id)
    process = fork.Process(target=lonely)
    process.start(); process.join()
    assert process.exitcode == 0
"""


def test_forked_workers_log_to_the_parent_s_run_and_do_not_end_it(server, name, tmp_path):
    run_id = python(FORKED, server, NAME=name, OUT=str(tmp_path / "out"))
    run = holdfast.get_run(run_id)
    assert (run.info.status, sorted(run.data.metrics)) == ("FINISHED", ["m0", "m1", "m2"])
    assert holdfast.get_run((tmp_path / "out").read_text()).info.status == "FINISHED"


@pytest.fixture
def flaky(monkeypatch):
    """The next call of this function makes one end of a run fail as if the server were away."""
    failures = []
    end = _active_run.ActiveRun.end

    def failing(run, status="FINISHED"):
        if failures:
            raise failures.pop()
        end(run, status)

    monkeypatch.setattr(_active_run.ActiveRun, "end", failing)
    return failures.append


def test_a_run_whose_end_could_not_be_told_stays_active_and_ends_later(experiment, flaky):
    run = holdfast.start_run()
    flaky(UnavailableError("away"))
    with pytest.raises(UnavailableError):
        holdfast.end_run("KILLED")
    assert holdfast.active_run() is run
    holdfast.end_run()
    assert holdfast.active_run() is None
    assert run.refresh().info.status == "KILLED"  # what the first attempt said


def test_a_block_s_exception_is_not_hidden_and_the_end_is_made_up_for(experiment, flaky):
    flaky(UnavailableError("away"))
    with pytest.raises(ZeroDivisionError), holdfast.start_run() as first:
        1 / 0  # noqa: B018
    assert first.refresh().info.status == "RUNNING"
    with holdfast.start_run() as second:  # ends the first before it begins
        assert first.refresh().info.status == "FAILED"
        assert holdfast.active_run() is second


def test_the_exit_handler_ends_what_could_not_be_ended(experiment, flaky):
    flaky(UnavailableError("away"))
    with pytest.raises(UnavailableError), holdfast.start_run() as run:
        pass
    _active_run.end_all("FAILED")
    assert run.refresh().info.status == "FAILED"
    assert holdfast.active_run() is None


def test_a_run_that_was_deleted_meanwhile_does_not_stay_active(experiment):
    run = holdfast.start_run()
    holdfast.delete_run(run.info.run_id)
    with pytest.raises(FailedPreconditionError):
        holdfast.end_run()
    assert holdfast.active_run() is None
