"""The machine is watched while a run goes on, and never in its way."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Callable

import psutil
import pytest
from tests.client import logging_programs

import holdfast
from holdfast import _active_run, _system_metrics
from holdfast.errors import FailedPreconditionError, HoldfastError, InvalidArgumentError, UnavailableError

KEYS = {
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/system_memory_usage_percentage",
    "system/disk_usage_percentage",
    "system/disk_usage_megabytes",
    "system/disk_available_megabytes",
    "system/network_receive_megabytes",
    "system/network_transmit_megabytes",
}
CPU = "system/cpu_utilization_percentage"


@pytest.fixture(autouse=True)
def _settings(monkeypatch, fluent):
    for variable in (
        _system_metrics.ENABLE_VARIABLE,
        _system_metrics.INTERVAL_VARIABLE,
        _system_metrics.SAMPLES_VARIABLE,
        _system_metrics.NODE_VARIABLE,
    ):
        monkeypatch.setenv(variable, "")
    yield
    assert sampling_threads() == []


def sampling_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "holdfast-system-metrics"]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something else has come so far; the test's own time limit ends it if it never does."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


def steps(run_id: str, key: str = CPU) -> list[int]:
    return [point.step for point in holdfast.get_metric_history(run_id, key)]


def system_keys(run_id: str) -> set[str]:
    return {key for key in holdfast.get_run(run_id).data.metrics if key.startswith("system/")}


def test_points_have_the_names_and_steps_of_mlflow_until_the_run_ends():
    holdfast.set_system_metrics_sampling_interval(0.01)
    with holdfast.start_run(log_system_metrics=True) as run:
        run_id = run.info.run_id
        wait_for(lambda: len(steps(run_id)) >= 3)
    logged = steps(run_id)
    assert logged == list(range(len(logged)))
    assert system_keys(run_id) == KEYS
    metrics = holdfast.get_run(run_id).data.metrics
    assert 0 < metrics["system/system_memory_usage_percentage"] <= 100
    total = psutil.virtual_memory().total / 1e6
    assert 0 < metrics["system/system_memory_usage_megabytes"] < total
    assert metrics["system/network_receive_megabytes"] >= 0


def test_a_short_run_has_one_point():
    with holdfast.start_run(log_system_metrics=True) as run:
        pass
    assert steps(run.info.run_id) == [0]


def test_nothing_is_watched_unless_it_is_asked_for():
    with holdfast.start_run() as run:
        assert sampling_threads() == []
    assert system_keys(run.info.run_id) == set()


def test_runs_are_watched_by_default_once_that_is_enabled():
    holdfast.enable_system_metrics_logging()
    with holdfast.start_run() as watched:
        pass
    with holdfast.start_run(log_system_metrics=False) as unwatched:
        pass
    holdfast.disable_system_metrics_logging()
    with holdfast.start_run() as later:
        pass
    assert [bool(system_keys(run.info.run_id)) for run in (watched, unwatched, later)] == [True, False, False]


def test_the_steps_of_a_run_that_goes_on_go_on():
    holdfast.set_system_metrics_sampling_interval(0.01)
    with holdfast.start_run(log_system_metrics=True) as run:
        wait_for(lambda: len(steps(run.info.run_id)) >= 2)
    before = steps(run.info.run_id)
    with holdfast.start_run(run_id=run.info.run_id, log_system_metrics=True):
        wait_for(lambda: len(steps(run.info.run_id)) >= len(before) + 2)
    after = steps(run.info.run_id)
    assert after == list(range(len(after)))


def test_a_nested_run_and_the_one_around_it_are_both_watched():
    holdfast.set_system_metrics_sampling_interval(0.01)
    with holdfast.start_run(log_system_metrics=True) as outer:
        with holdfast.start_run(nested=True, log_system_metrics=True) as inner:
            wait_for(lambda: len(steps(inner.info.run_id)) >= 2)
        seen = len(steps(outer.info.run_id))
        wait_for(lambda: len(steps(outer.info.run_id)) > seen)
    for run in (outer, inner):
        logged = steps(run.info.run_id)
        assert logged == list(range(len(logged)))


def test_several_samples_make_one_point_which_is_their_mean(monkeypatch):
    values = iter([0.0, 10.0, 20.0, 60.0])
    monkeypatch.setattr(psutil, "cpu_percent", lambda: next(values, 90.0))
    holdfast.set_system_metrics_sampling_interval(0.01)
    holdfast.set_system_metrics_samples_before_logging(3)
    with holdfast.start_run(log_system_metrics=True) as run:
        wait_for(lambda: len(steps(run.info.run_id)) >= 1)
    assert holdfast.get_metric_history(run.info.run_id, CPU)[0].value == 30.0


def test_a_node_s_name_is_a_part_of_the_metrics_names():
    holdfast.set_system_metrics_node_id("node-1")
    with holdfast.start_run(log_system_metrics=True) as run:
        pass
    assert system_keys(run.info.run_id) == {key.replace("system/", "system/node-1/") for key in KEYS}


@pytest.mark.parametrize("value", [0, -1, "soon", float("nan"), float("inf"), True])
def test_an_interval_is_a_positive_number(value):
    with pytest.raises(InvalidArgumentError, match="seconds above 0"):
        holdfast.set_system_metrics_sampling_interval(value)


@pytest.mark.parametrize("value", [0, 1.5, "two", True])
def test_the_number_of_samples_is_positive_and_whole(value):
    with pytest.raises(InvalidArgumentError, match="whole number from 1"):
        holdfast.set_system_metrics_samples_before_logging(value)


@pytest.mark.parametrize("value", ["", "a%b", "x" * 250, 7])
def test_a_node_s_name_fits_into_a_key(value):
    with pytest.raises(InvalidArgumentError):
        holdfast.set_system_metrics_node_id(value)


def test_a_malformed_variable_is_told_before_a_run_begins(monkeypatch):
    monkeypatch.setenv(_system_metrics.INTERVAL_VARIABLE, "often")
    with pytest.raises(InvalidArgumentError, match=_system_metrics.INTERVAL_VARIABLE):
        holdfast.start_run(log_system_metrics=True)
    assert holdfast.active_run() is None


def test_settings_can_be_taken_back():
    for setter, value in (
        (holdfast.set_system_metrics_sampling_interval, 3),
        (holdfast.set_system_metrics_samples_before_logging, 3),
        (holdfast.set_system_metrics_node_id, "a"),
    ):
        setter(value)
        setter(None)
    assert _system_metrics.sampling_wanted(True) == _system_metrics.Sampling(interval=10.0, samples=1, node_id="")


@pytest.fixture
def _no_psutil(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "psutil" else find(name, *a))


@pytest.mark.usefixtures("_no_psutil")
def test_without_psutil_an_explicit_wish_is_refused_and_names_the_extra():
    with pytest.raises(FailedPreconditionError, match=r"holdfast\[system-metrics\]"):
        holdfast.start_run(log_system_metrics=True)
    assert holdfast.active_run() is None


@pytest.mark.usefixtures("_no_psutil")
def test_without_psutil_a_setting_is_a_warning(caplog):
    holdfast.enable_system_metrics_logging()
    with holdfast.start_run() as run:
        holdfast.log_metric("loss", 1.0)
    assert "holdfast[system-metrics]" in caplog.text
    assert holdfast.get_run(run.info.run_id).data.metrics == {"loss": 1.0}


def test_what_cannot_be_measured_is_left_out(monkeypatch):
    def refuse(*_args):
        raise PermissionError("no")

    monkeypatch.setattr(psutil, "disk_usage", refuse)
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)
    with holdfast.start_run(log_system_metrics=True) as run:
        pass
    assert system_keys(run.info.run_id) == {key for key in KEYS if "disk" not in key and "network" not in key}


def test_what_cannot_be_logged_is_told_once_and_the_run_goes_on(monkeypatch, caplog, fluent):
    tries = []

    def refuse(*args, **_kwargs):
        tries.append(args)
        raise UnavailableError("full of faults")

    caplog.set_level(logging.WARNING)
    holdfast.set_system_metrics_sampling_interval(0.01)
    with holdfast.start_run(log_system_metrics=True) as run:
        with monkeypatch.context() as patch:
            patch.setattr(type(fluent), "log_metrics", refuse)
            wait_for(lambda: len(tries) >= 3)
        holdfast.log_metric("loss", 1.0)
    assert caplog.text.count("full of faults") == 1
    assert holdfast.get_run(run.info.run_id).info.status == "FINISHED"


def test_a_run_that_another_handle_ends_is_watched_no_more():
    holdfast.set_system_metrics_sampling_interval(0.01)
    with holdfast.start_run(log_system_metrics=True) as run:
        wait_for(lambda: len(steps(run.info.run_id)) > 1)
        holdfast.Client().set_terminated(run.info.run_id)
        assert sampling_threads() == []


def test_a_run_that_another_process_ends_is_watched_until_its_lease_is_renewed(client):
    holdfast.set_system_metrics_sampling_interval(0.01)
    with holdfast.start_run(log_system_metrics=True) as run:
        wait_for(lambda: len(steps(run.info.run_id)) > 1)
        # As if by another process: this one is not told.
        client.update_run(run.info.run_id, "FINISHED")
        wait_for(lambda: sampling_threads() == [])


def test_a_run_whose_end_fails_is_watched_no_more(monkeypatch):
    run = holdfast.start_run(log_system_metrics=True)

    def refuse(*_args):
        raise UnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(_active_run.ActiveRun, "end", refuse)
        with pytest.raises(HoldfastError):
            holdfast.end_run()
    assert sampling_threads() == []
    holdfast.end_run()
    assert steps(run.info.run_id) == [0]


FORKING = """
import os, sys, threading, warnings
import holdfast

holdfast.set_system_metrics_sampling_interval(0.01)
run = holdfast.start_run(log_system_metrics=True)
pause = threading.Event()

def points():
    return len(holdfast.get_metric_history(run.info.run_id, "system/cpu_utilization_percentage"))

while points() < 2:
    pause.wait(0.01)
pid = os.fork()
if pid == 0:
    names = [thread.name for thread in threading.enumerate()]
    holdfast.log_metric("of the child", len([name for name in names if name == "holdfast-system-metrics"]))
    holdfast.flush()
    # What the child itself begins is watched.
    with holdfast.start_run(nested=True, log_system_metrics=True) as own:
        while len(holdfast.get_metric_history(own.info.run_id, "system/cpu_utilization_percentage")) < 2:
            pause.wait(0.01)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
seen = points()
while points() < seen + 2:
    pause.wait(0.01)
holdfast.end_run()
print(run.info.run_id)
"""


def test_a_forked_child_does_not_sample_for_its_parent(server, journals, client):
    (run_id,) = logging_programs.run(FORKING, server, journals)
    assert client.get_metric_history(run_id, "of the child")[0].value == 0
    logged = logging_programs.steps(client, run_id, CPU)
    assert logged == list(range(len(logged)))


ENDING = """
import holdfast
holdfast.start_run(log_system_metrics=True)
print(holdfast.active_run().info.run_id)
"""


def test_the_end_of_the_program_ends_it_with_the_run(server, journals, client):
    (run_id,) = logging_programs.run(ENDING, server, journals)
    assert logging_programs.steps(client, run_id, CPU) == [0]
    assert client.get_run(run_id).info.status == "FINISHED"
