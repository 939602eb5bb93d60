"""What is done to a tracking store; each function is one scenario, and has experiments of its own."""

from __future__ import annotations

import math

from mlflow.entities import (
    Dataset,
    DatasetInput,
    ExperimentTag,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
    Param,
    RunStatus,
    RunTag,
    ViewType,
)
from tests.interop.differential.scenario_parts import CODES, CUT, NO_MODEL, NO_RUN, a_run


def experiments(store):
    first = store.create_experiment("exp a", None, [ExperimentTag("k", "1"), ExperimentTag("other", "x")])
    second = store.create_experiment("exp b", "s3://elsewhere/b", None)
    store.create_experiment("exp a", None, None)
    store.create_experiment("", None, None)
    store.create_experiment("x" * 501, None, None)
    store.get_experiment(first)
    store.get_experiment("0")
    store.get_experiment("4711")
    store.get_experiment_by_name("exp b")
    store.get_experiment_by_name("exp none")
    store.rename_experiment(second, "exp c")
    with store.differs(CODES):
        store.rename_experiment(second, "exp a")
    store.rename_experiment("4711", "exp d")
    store.set_experiment_tag(first, ExperimentTag("k", "2"))
    store.set_experiment_tag(first, ExperimentTag("long", "v" * 5_000))
    store.delete_experiment_tag(first, "other")
    store.delete_experiment_tag(first, "absent")
    store.get_experiment(first)
    store.delete_experiment(second)
    store.delete_experiment(second)
    store.get_experiment(second)
    store.get_experiment_by_name("exp c")
    store.create_experiment("exp c", None, None)
    store.rename_experiment(second, "exp e")
    store.set_experiment_tag(second, ExperimentTag("k", "1"))
    store.create_run(second, "ada", 1, [], "refused")
    store.restore_experiment(second)
    store.restore_experiment("4711")
    store.get_experiment(second)
    with store.differs("Restoring an experiment that is not deleted changes nothing, where MLflow finds none."):
        store.restore_experiment(second)


def default_experiment(store):
    with store.differs("The experiment Default cannot be deleted: runs without an experiment begin in it."):
        store.delete_experiment("0")
    store.restore_experiment("0")


def runs(store):
    experiment = store.create_experiment("runs", None, None)
    placed = store.create_experiment("placed runs", "s3://elsewhere/place", None)
    run = store.create_run(experiment, "ada", 1_000, [RunTag("a", "1")], "first").info.run_id
    store.create_run(placed, "", 5, [RunTag("mlflow.runName", "by tag")], None)
    store.create_run(experiment, "ada", 5, [RunTag("mlflow.runName", "one")], "other")
    store.create_run("4711", "ada", 5, [], "none")
    store.get_run(run)
    store.get_run(NO_RUN)
    store.get_run("nosuch")
    store.delete_run("nosuch")
    store.log_metric("nosuch", Metric("m", 1.0, 1, 0))
    store.get_experiment("x")
    store.update_run_info(run, RunStatus.FINISHED, 2_000, None)
    store.update_run_info(run, None, 3_000, None)
    store.update_run_info(run, None, None, "renamed")
    store.update_run_info(run, RunStatus.FAILED, None, "")
    store.update_run_info(NO_RUN, RunStatus.FAILED, 1, None)
    store.get_run(run)
    with store.differs("A run that goes on has no end: setting it RUNNING clears the end time."):
        store.update_run_info(run, RunStatus.RUNNING, None, None)
    store.update_run_info(run, RunStatus.FINISHED, 4_000, None)
    store.delete_run(run)
    store.delete_run(run)
    store.get_run(run)
    store.update_run_info(run, RunStatus.FINISHED, 1, None)
    store.log_param(run, Param("p", "1"))
    store.log_metric(run, Metric("m", 1.0, 1, 0))
    store.set_tag(run, RunTag("t", "1"))
    store.delete_tag(run, "a")
    store.restore_run(run)
    store.restore_run(run)
    store.delete_run(NO_RUN)
    store.restore_run(NO_RUN)


def runs_of_deleted_experiments(store):
    experiment = store.create_experiment("gone", None, None)
    kept, gone = a_run(store, experiment, "kept"), a_run(store, experiment, "gone")
    store.delete_run(gone)
    store.delete_experiment(experiment)
    store.get_run(kept)
    store.search_runs([experiment], "", ViewType.ACTIVE_ONLY)
    store.search_runs([experiment], "", ViewType.DELETED_ONLY, order_by=["attributes.run_name"])
    with store.differs("A run of a deleted experiment cannot be restored alone: restore the experiment."):
        store.restore_run(gone)
    store.restore_experiment(experiment)
    store.get_run(kept)
    with store.differs("Restoring an experiment restores the runs deleted with it, not those deleted before."):
        store.get_run(gone)


def params_and_tags(store):
    experiment = store.create_experiment("params", None, None)
    run = a_run(store, experiment, "params")
    store.log_param(run, Param("p", "1"))
    store.log_param(run, Param("p", "1"))
    store.log_param(run, Param("p", "2"))
    store.log_param(run, Param("odd /_-.: key", ""))
    store.log_param(run, Param("bad;key", "1"))
    store.log_param(run, Param("", "1"))
    store.log_param(run, Param("k" * 250, "v" * 6_000))
    store.log_param(run, Param("k" * 251, "v"))
    store.log_param(NO_RUN, Param("p", "1"))
    store.set_tag(run, RunTag("t", "1"))
    store.set_tag(run, RunTag("t", "ü" * 8_000))
    store.set_tag(run, RunTag("bad;key", "1"))
    store.set_tag(run, RunTag("mlflow.runName", "by tag"))
    store.set_tag(run, RunTag("mlflow.note.content", "# hi"))
    store.delete_tag(run, "t")
    store.delete_tag(run, "t")
    store.get_run(run)
    store.log_batch(run, [], [Param("q", "1"), Param("q", "1")], [])
    store.log_batch(run, [], [Param("q", "1"), Param("p", "other")], [RunTag("not", "set")])
    store.log_batch(run, [], [Param("r", "1")], [RunTag("twice", "1"), RunTag("twice", "2")])
    store.log_batch(run, [], [], [])
    store.log_batch(run, [], [Param(f"p{n}", "1") for n in range(101)], [])
    store.log_batch(run, [], [], [RunTag(f"t{n}", "1") for n in range(101)])
    store.log_batch(run, [Metric("m", 1.0, n, 0) for n in range(1_001)], [], [])
    store.get_run(run)
    with store.differs(CUT):
        store.set_tag(run, RunTag("long", "v" * 8_001))
        store.log_param(run, Param("long", "v" * 6_001))


def metrics(store):
    experiment = store.create_experiment("metrics", None, None)
    run = a_run(store, experiment, "metrics")
    for step, timestamp, value in ((0, 10, 1.0), (2, 20, 0.5), (1, 30, 0.7), (2, 20, 0.9), (-3, 5, 4.0)):
        store.log_metric(run, Metric("m", value, timestamp, step))
    store.log_batch(run, [Metric("n", value, 1, 0) for value in (math.nan, 1.5, -2.0)], [], [])
    store.log_metric(run, Metric("nan", math.nan, 1, 0))
    store.get_run(run)
    store.get_metric_history(run, "nan")
    store.get_metric_history(run, "absent")
    store.log_metric(run, Metric("bad;key", 1.0, 1, 0))
    for key in ("a/../b", "./a", "a//b", "/a", "a/", ".", "..", "..a", "a/..", ".a", "a..", "a/ /b", " "):
        store.log_metric(run, Metric(key, 1.0, 1, 0))
        store.log_param(run, Param(key, "1"))
        store.set_tag(run, RunTag(key, "1"))
    with store.differs("Times of metrics lie in the years 1 to 9999; MLflow's begin at 1970, and do not end."):
        store.log_batch(run, [Metric("early", 1.0, -5, 0)], [], [])
        store.log_batch(run, [Metric("late", 1.0, 10**16, 0)], [], [])
    store.log_metric(run, Metric("text", "x", 1, 0))
    store.log_metric(run, Metric("none", None, 1, 0))
    store.log_metric(NO_RUN, Metric("m", 1.0, 1, 0))
    with store.differs("History is in order of step, then time, then arrival; MLflow's in order of time first."):
        store.get_metric_history(run, "m")
        store.get_metric_history(run, "n")
    store.log_metric(run, Metric("inf", math.inf, 1, 0))
    with store.differs("Infinities stay infinite, where MLflow's SQL stores keep the greatest double."):
        store.get_metric_history(run, "inf")
    store.log_metric(run, Metric("twice", 1.0, 1, 0))
    store.log_metric(run, Metric("twice", 1.0, 1, 0))
    with store.differs("Equal points that were logged twice are two points, where MLflow keeps one."):
        store.get_metric_history(run, "twice")


def metric_history(store):
    experiment = store.create_experiment("history", None, None)
    run, other = a_run(store, experiment, "history"), a_run(store, experiment, "other")
    store.log_batch(run, [Metric("m", n / 2, 1_000 + n, n) for n in range(20)], [], [])
    store.log_batch(other, [Metric("m", n / 3, 1_000 + n, 5 * n) for n in range(7)], [], [])
    store.get_metric_history(run, "m")
    page = store.get_metric_history(run, "m", 8, None)
    page = store.get_metric_history(run, "m", 8, page.token)
    store.get_metric_history(run, "m", 8, page.token)
    store.get_metric_history(run, "m", 20, None)
    for most in (1, 2, 3, 7, 19, 20, 100):
        store.get_metric_history_bulk_interval([run, other], "m", most, None, None)
        store.get_metric_history_bulk_interval([run, other], "m", most, 3, 15)
    for first in range(0, 26_000, 1_000):
        store.log_batch(other, [Metric("long", float(n % 7), n, n) for n in range(first, first + 1_000)], [], [])
    for most in (1, 100, 2_500):
        store.get_metric_history_bulk_interval([other], "long", most, None, None)
        store.get_metric_history_bulk_interval([other], "long", most, 300, 25_900)
    store.get_metric_history_bulk_interval_from_steps(other, "long", [25_998, 25_999, 0], 2)
    store.get_metric_history_bulk_interval([run], "absent", 3, None, None)
    store.get_metric_history_bulk_interval([run], "m", 3, 1, None)
    store.get_metric_history_bulk_interval_from_steps(run, "m", [2, 4, 5, 400], 10)
    store.get_metric_history_bulk_interval_from_steps(run, "m", [2, 4, 5], 2)
    store.get_metric_history_bulk_interval_from_steps(run, "m", [], 2)


def inputs_and_outputs(store):
    experiment = store.create_experiment("links", None, None)
    other = store.create_experiment("other links", None, None)
    run, second = a_run(store, experiment, "links"), a_run(store, experiment, "second")
    model = store.create_logged_model(experiment, "m", run).model_id
    iris = Dataset("iris", "d1", "local", "{}", schema='{"a": 1}', profile=None)
    wine = Dataset("wine", "d2", "http", "http://wine", None, None)
    store.log_inputs(run, [DatasetInput(iris, [InputTag("mlflow.data.context", "train"), InputTag("x", "y")])])
    store.log_inputs(run, [DatasetInput(wine, [])], [LoggedModelInput(model)])
    store.log_inputs(second, [DatasetInput(iris, [InputTag("mlflow.data.context", "test")])])
    store.log_inputs(second)
    store.log_inputs(a_run(store, other, "third"), [DatasetInput(wine, [])])
    store.log_inputs(NO_RUN, [DatasetInput(wine, [])])
    store.log_outputs(run, [LoggedModelOutput(model, 3)])
    store.log_outputs(NO_RUN, [LoggedModelOutput(model, 3)])
    store.get_run(run)
    store.get_run(second)
    for ids in ([experiment], [other], [experiment, other], ["4711"]):
        found = store._search_datasets(ids)
        assert found is not None
    with store.differs("Links are only to logged models that there are."):
        store.log_outputs(run, [LoggedModelOutput(NO_MODEL, 0)])
        store.log_inputs(run, [], [LoggedModelInput(NO_MODEL)])


def logged_models(store):
    experiment = store.create_experiment("models", None, None)
    placed = store.create_experiment("placed", "s3://m", None)
    run = a_run(store, experiment, "models")
    made = store.create_logged_model(
        experiment,
        "clf",
        run,
        [LoggedModelTag("a", "1"), LoggedModelTag("b", "2")],
        [LoggedModelParameter("p", "1")],
        "classifier",
    )
    model = made.model_id
    store.create_logged_model(placed, "placed")
    store.create_logged_model(experiment, "bad/name")
    store.create_logged_model("4711", "none")
    store.get_logged_model(model)
    store.get_logged_model(NO_MODEL)
    store.get_logged_model("nope")
    store.set_logged_model_tags(model, [LoggedModelTag("a", "3"), LoggedModelTag("c", "4")])
    store.delete_logged_model_tag(model, "b")
    store.delete_logged_model_tag(model, "b")
    store.log_logged_model_params(model, [LoggedModelParameter("q", "v" * 250)])
    store.finalize_logged_model(model, LoggedModelStatus.READY)
    store.finalize_logged_model(model, LoggedModelStatus.READY)
    store.finalize_logged_model(NO_MODEL, LoggedModelStatus.READY)
    store.get_logged_model(model)
    store.log_batch(run, [Metric("acc", 0.5, 1, 0, model, "iris", "d1", run)], [], [])
    store.log_metric(run, Metric("acc", 0.7, 2, 0, model, "wine", "d2", run))
    store.log_metric(run, Metric("f1", 0.1, 2, 0, model))
    store.get_logged_model(model)
    store.get_run(run)
    store.log_metric(run, Metric("acc", 0.6, 3, 1, model, "iris", "d1", run))
    with store.differs("A logged model has the newest point of each metric and dataset; MLflow's has all points."):
        store.get_logged_model(model)
    with store.differs("A final model stays what it is: READY does not become FAILED."):
        store.finalize_logged_model(model, LoggedModelStatus.FAILED)
    store.delete_logged_model(model)
    store.get_logged_model(model)
    store.delete_logged_model(NO_MODEL)
    with store.differs("A logged model that is deleted cannot be changed: restore it first."):
        store.set_logged_model_tags(model, [LoggedModelTag("a", "5")])


def recorded_models(store):
    from mlflow.models import Model

    experiment = store.create_experiment("recorded", None, None)
    run = a_run(store, experiment, "recorded")
    for path in ("first", "second"):
        store.record_logged_model(run, Model(path, run, utc_time_created="2024-01-01 00:00:00.000000", model_uuid="1"))
    store.get_run(run)


SCENARIOS = (
    experiments,
    default_experiment,
    runs,
    runs_of_deleted_experiments,
    params_and_tags,
    metrics,
    metric_history,
    inputs_and_outputs,
    logged_models,
    recorded_models,
)
