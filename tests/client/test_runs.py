"""Runs through the client: what is logged is what is read."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from holdfast._datasets import dataset_input_from_proto, dataset_input_to_proto
from holdfast._metrics import metric_from_proto, metric_to_proto
from holdfast.entities import (
    Dataset,
    DatasetInput,
    DatasetSummary,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunStatus,
    RunTag,
    ViewType,
)
from holdfast.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError


def test_a_run_reads_as_mlflow_s(client, experiment_id):
    run = client.create_run(experiment_id, tags={"mlflow.user": "ada", "a": 1}, run_name="first")
    info = client.get_run(run.info.run_id).info
    assert len(info.run_id) == 32
    assert (info.experiment_id, info.run_name, info.user_id) == (experiment_id, "first", "ada")
    assert (info.status, info.lifecycle_stage, info.end_time) == ("RUNNING", "active", None)
    assert isinstance(info.start_time, int)
    assert info.artifact_uri == f"runs:/{info.run_id}"
    assert client.get_run(run.info.run_id).data.tags["mlflow.runName"] == "first"


def test_metrics_params_and_tags_are_read_as_logged(client, run_id):
    client.log_metric(run_id, "loss", 0.5, step=1)
    client.log_metric(run_id, "loss", 0.25, step=2)
    assert client.log_param(run_id, "lr", 0.01) == 0.01
    client.set_tag(run_id, "stage", 3)
    data = client.get_run(run_id).data
    assert (data.metrics, data.params, data.tags["stage"]) == ({"loss": 0.25}, {"lr": "0.01"}, "3")
    client.delete_tag(run_id, "stage")
    assert "stage" not in client.get_run(run_id).data.tags
    with pytest.raises(NotFoundError) as info:
        client.delete_tag(run_id, "stage")
    assert info.value.reason == "TAG_NOT_FOUND"


def test_newest_points_are_read_with_steps_and_times(client, experiment_id, run_id):
    client.log_metric(run_id, "loss", 0.5, step=3, timestamp=1_000)
    client.log_metric(run_id, "loss", 0.7, step=2, timestamp=2_000)
    client.log_metric(run_id, "acc", math.inf, step=-1, timestamp=3_000)
    data = client.get_run(run_id).data
    assert [(p.key, p.value, p.step, p.timestamp) for p in data.metric_points] == [
        ("acc", math.inf, -1, 3_000),
        ("loss", 0.5, 3, 1_000),
    ]
    assert data.metric_points[1] == data.metric_points[-1] == data.metric_points[1:][0]
    (found,) = client.search_runs([experiment_id], f"run_id = '{run_id}'")
    assert list(found.data.metric_points) == list(data.metric_points)
    assert list(pickle.loads(pickle.dumps(found)).data.metric_points) == list(data.metric_points)
    assert found.to_dictionary()["data"].keys() == {"metrics", "params", "tags"}
    assert RunData().metric_points == ()


def test_a_part_of_a_history_is_read_by_steps(client, run_id):
    client.log_batch(run_id, [Metric("m", float(step), 1, step) for step in range(10)])
    part = client.get_metric_history(run_id, "m", min_step=3, max_step=5)
    assert [point.step for point in part] == [3, 4, 5]
    assert [point.step for point in client.get_metric_history(run_id, "m", min_step=8)] == [8, 9]
    first = client.get_metric_history(run_id, "m", 2, min_step=3)
    assert [point.step for point in client.get_metric_history(run_id, "m", 2, first.token, min_step=3)] == [5, 6]


def test_a_run_is_ended_at_a_given_time_by_a_given_user(client, experiment_id):
    run_id = client.create_run(experiment_id, 5, {"mlflow.user": "ada"}, user_id="bob").info.run_id
    client.update_run(run_id, "FINISHED", end_time=7)
    info = client.get_run(run_id).info
    assert (info.user_id, info.status, info.start_time, info.end_time) == ("bob", "FINISHED", 5, 7)
    client.update_run(run_id, end_time=9)
    assert client.get_run(run_id).info.end_time == 9


def test_datasets_of_experiments_are_listed(client, experiment_id, name):
    other = client.create_experiment(f"{name}-other")
    for number, context in enumerate(["training", "training", None]):
        run_id = client.create_run(experiment_id if number else other).info.run_id
        client.log_input(run_id, Dataset("iris", "d1", "local", "{}"), context)
    of_this = [DatasetSummary(experiment_id, "iris", "d1"), DatasetSummary(experiment_id, "iris", "d1", "training")]
    assert client.search_datasets([experiment_id]) == of_this
    assert client.search_datasets(experiment_id) == of_this
    page = client.search_datasets([experiment_id, other], max_results=2)
    rest = client.search_datasets([experiment_id, other], page_token=page.token)
    assert [*page, *rest] == [*of_this, DatasetSummary(other, "iris", "d1", "training")]


def test_a_batch_is_all_or_nothing(client, run_id):
    client.log_param(run_id, "lr", "1")
    with pytest.raises(InvalidArgumentError) as info:
        client.log_batch(run_id, metrics=[Metric("loss", 1.0)], params=[Param("lr", "2")], tags=[RunTag("a", "b")])
    assert info.value.reason == "PARAM_IMMUTABLE"
    data = client.get_run(run_id).data
    assert (data.metrics, data.params) == ({}, {"lr": "1"})
    assert "a" not in data.tags
    client.log_param(run_id, "lr", "1")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.1, -0.0, 5e-324, 1.7976931348623157e308])
def test_every_float_round_trips(client, run_id, value):
    client.log_metric(run_id, "m", value)
    assert np.float64(client.get_run(run_id).data.metrics["m"]).tobytes() == np.float64(value).tobytes() or (
        math.isnan(value) and math.isnan(client.get_run(run_id).data.metrics["m"])
    )
    (point,) = client.get_metric_history(run_id, "m")
    assert point.value == value or math.isnan(value)


@pytest.mark.parametrize(
    "value", [1, True, np.float32(1), np.int64(1), np.array(1.0), np.array([1.0]), np.array([[1]])], ids=repr
)
def test_numbers_of_all_kinds_are_metrics(client, run_id, value):
    client.log_metric(run_id, "m", value)
    assert client.get_run(run_id).data.metrics == {"m": 1.0}


@pytest.mark.parametrize("value", ["one", None, [1.0], np.array([1.0, 2.0]), 1j, 10**400, b"1"], ids=repr)
def test_other_values_are_refused_by_name(client, run_id, value):
    with pytest.raises(InvalidArgumentError, match="metric 'm' is one number"):
        client.log_metric(run_id, "m", value)


@pytest.mark.parametrize("step", ["x", 2**63, math.inf])
def test_steps_are_whole_numbers(client, run_id, step):
    with pytest.raises(InvalidArgumentError, match="step of metric 'm'"):
        client.log_metric(run_id, "m", 1.0, step=step)


def test_a_time_in_nanoseconds_is_refused(client, run_id):
    late = 1_700_000_000_000_000_000
    for _ in range(2):  # at first, and of a series that is known
        with pytest.raises(InvalidArgumentError, match=f"The time of metric 'm' is milliseconds .* not {late}"):
            client.log_metric(run_id, "m", 1.0, timestamp=late)
        client.log_metric(run_id, "m", 1.0)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (Metric("b", 1.0, timestamp=10**18), "The time of metric 'b' is milliseconds"),
        (
            Metric("b", 1.0, dataset_digest="d" * 37),
            "dataset_digest of metric 'b' has 37 characters; the limit is 36",
        ),
        (Metric("b", 1.0, dataset_name="n" * 501), "dataset_name of metric 'b' has 501 characters"),
        (Metric("b", 1.0, model_id=[]), "model_id of metric 'b' is a text, not"),
        (Metric("b", 1.0, dataset_name=7), "dataset_name of metric 'b' is a text, not 7"),
    ],
)
def test_what_is_wrong_with_a_metric_of_a_batch_names_it(client, run_id, broken, text):
    with pytest.raises(InvalidArgumentError, match=text):
        client.log_batch(run_id, [Metric("a", 1.0), broken])
    assert client.get_run(run_id).data.metrics == {}


@pytest.mark.parametrize("key", [1, None, "\ud800"])
def test_keys_are_text(client, run_id, key):
    with pytest.raises(InvalidArgumentError, match="key"):
        client.log_batch(run_id, params=[Param(key, "x")])


def test_histories_are_in_order_of_steps(client, run_id):
    for step in (3, -1, 2):
        client.log_metric(run_id, "m", float(step), timestamp=1_700_000_000_000 + step, step=step)
    history = client.get_metric_history(run_id, "m")
    assert [(point.step, point.timestamp) for point in history] == [
        (-1, 1_699_999_999_999),
        (2, 1_700_000_000_002),
        (3, 1_700_000_000_003),
    ]
    assert {point.run_id for point in history} == {run_id}


def test_long_histories_come_whole(client, run_id):
    client.log_batch(run_id, metrics=[Metric("m", float(i), 1_700_000_000_000 + i, i) for i in range(1_000)])
    client.log_batch(run_id, metrics=[Metric("m", float(i), 1_700_000_000_000 + i, i) for i in range(1_000, 2_000)])
    assert [point.step for point in client.get_metric_history(run_id, "m")] == list(range(2_000))
    page = client.get_metric_history(run_id, "m", max_results=1_500)
    rest = client.get_metric_history(run_id, "m", page_token=page.token)
    assert [point.step for point in [*page, *rest]] == list(range(2_000))


def test_many_params_go_in_several_batches(client, run_id):
    params = {f"p{number:03}": str(number) for number in range(250)}
    client.log_params(run_id, params)
    client.set_tags(run_id, {f"t{number:03}": number for number in range(150)})
    client.log_metrics(run_id, {f"m{number:04}": number for number in range(1_500)}, step=7)
    data = client.get_run(run_id).data
    assert data.params == params
    assert len(data.metrics) == 1_500
    assert sum(key.startswith("t") for key in data.tags) == 150


def test_one_text_counts_as_one(client, experiment_id):
    ids = [client.create_run(experiment_id, run_name=name).info.run_id for name in ("b", "a")]
    found = client.search_runs(experiment_id, order_by="attributes.run_name ASC")
    assert [run.info.run_id for run in found] == ids[::-1]


def test_wide_characters_count_by_their_bytes(client, run_id):
    params = {f"p{number:03}": "€" * 6_000 for number in range(100)}
    client.log_params(run_id, params)
    assert client.get_run(run_id).data.params == params


def test_a_large_run_is_read_over_pages(client, run_id):
    big = {f"p{number:03}": "x" * 6_000 for number in range(700)}
    client.log_params(run_id, big)
    assert client.get_run(run_id).data.params == big
    (found,) = client.search_runs([client.get_run(run_id).info.experiment_id])
    assert found.data.params == big


def test_ending_and_resuming(client, run_id):
    client.set_terminated(run_id)
    run = client.get_run(run_id)
    assert run.info.status == RunStatus.FINISHED
    assert run.info.end_time >= run.info.start_time
    client.log_metric(run_id, "late", 1.0)
    client.update_run(run_id, status="RUNNING", name="again")
    info = client.get_run(run_id).info
    assert (info.status, info.end_time, info.run_name) == ("RUNNING", None, "again")
    client.set_terminated(run_id, "FAILED", end_time=info.start_time + 5)
    assert client.get_run(run_id).info.end_time == info.start_time + 5


def test_unknown_statuses_are_refused(client, run_id):
    with pytest.raises(InvalidArgumentError, match="RUNNING, SCHEDULED, FINISHED, FAILED, KILLED"):
        client.set_terminated(run_id, "DONE")


def test_deleted_runs_refuse_writes_until_restored(client, run_id):
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    with pytest.raises(FailedPreconditionError) as info:
        client.log_metric(run_id, "m", 1.0)
    assert info.value.reason == "DELETED"
    client.restore_run(run_id)
    client.log_metric(run_id, "m", 1.0)


def test_unknown_runs_are_not_found(client):
    with pytest.raises(NotFoundError) as info:
        client.get_run("0" * 32)
    assert info.value.reason == "RUN_NOT_FOUND"


def test_searching_filters_orders_and_pages(client, experiment_id):
    ids = []
    for number in range(4):
        run = client.create_run(experiment_id, run_name=f"r{number}")
        client.log_metric(run.info.run_id, "loss", number / 10)
        client.log_param(run.info.run_id, "kind", "even" if number % 2 == 0 else "odd")
        ids.append(run.info.run_id)
    found = client.search_runs(
        [experiment_id], "metrics.loss < 0.25 AND params.kind = 'even'", order_by=["metrics.loss DESC"]
    )
    assert [run.info.run_id for run in found] == [ids[2], ids[0]]
    page = client.search_runs([experiment_id], max_results=3, order_by=["metrics.loss ASC"])
    rest = client.search_runs([experiment_id], max_results=3, order_by=["metrics.loss ASC"], page_token=page.token)
    assert [run.info.run_id for run in [*page, *rest]] == ids
    client.delete_run(ids[0])
    assert len(client.search_runs([experiment_id])) == 3
    assert len(client.search_runs(experiment_id, run_view_type=ViewType.ALL)) == 4


def test_a_bad_filter_points_at_the_place(client, experiment_id):
    with pytest.raises(InvalidArgumentError) as info:
        client.search_runs([experiment_id], "metrics.loss <")
    assert info.value.reason == "INVALID_FILTER"


def test_inputs_and_outputs_are_linked(client, experiment_id, run_id):
    model = client.create_logged_model(experiment_id, "m", source_run_id=run_id)
    dataset = DatasetInput(
        Dataset("mnist", "abc", "local", '{"uri": "x"}', schema="{}"), [InputTag("mlflow.data.context", "train")]
    )
    client.log_inputs(run_id, [dataset], [LoggedModelInput(model.model_id)])
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 7)])
    run = client.get_run(run_id)
    assert run.inputs.dataset_inputs == [dataset]
    assert run.inputs.model_inputs == [LoggedModelInput(model.model_id)]
    assert LoggedModelOutput(model.model_id, 7) in run.outputs.model_outputs


def test_a_run_acts_on_itself(client, experiment_id):
    run = client.create_run(experiment_id)
    run.log_metric("loss", 0.5, step=3)
    run.log_metrics({"a": 1, "b": 2})
    run.log_param("lr", 1)
    run.log_params({"depth": 2})
    run.set_tag("x", "y")
    run.set_tags({"z": 1})
    run.delete_tag("x")
    run.end()
    again = run.refresh()
    assert again.data.metrics == {"loss": 0.5, "a": 1.0, "b": 2.0}
    assert again.data.params == {"lr": "1", "depth": "2"}
    assert again.data.tags["z"] == "1"
    assert again.info.status == "FINISHED"
    assert run.get_metric_history("loss")[0].step == 3
    assert run.data.metrics == {}, "what was read does not change"
    run.delete()
    assert run.refresh().info.lifecycle_stage == "deleted"


def test_runs_pickle_with_their_client(client, run_id):
    copy = pickle.loads(pickle.dumps(client.get_run(run_id)))
    assert copy == client.get_run(run_id)
    copy.log_metric("m", 1.0)
    copy.client.close()


def test_a_run_made_by_hand_says_that_it_has_no_client():
    with pytest.raises(FailedPreconditionError, match="not read through a client"):
        Run(info=RunInfo(run_id="0" * 32, experiment_id="0")).log_metric("m", 1.0)


def test_runs_show_themselves_in_notebooks(client, run_id):
    client.set_tag(run_id, "shown", "<script>")
    html = client.get_run(run_id)._repr_html_()
    assert run_id in html
    assert "<script>" not in html
    assert run_id in repr(client.get_run(run_id))


def test_parents_are_found(client, experiment_id, run_id):
    child = client.create_run(experiment_id, tags={"mlflow.parentRunId": run_id})
    assert client.get_parent_run(child.info.run_id).info.run_id == run_id
    assert client.get_parent_run(run_id) is None


def test_metrics_and_datasets_convert_both_ways():
    metric = Metric("m", 1.5, 1_700_000_000_123, -4, "m-" + "0" * 32, "d", "abc")
    assert metric_from_proto(metric_to_proto(metric)) == metric
    dataset = DatasetInput(Dataset("n", "d", "t", "s", "schema", "profile"), [InputTag("a", "b")])
    assert dataset_input_from_proto(dataset_input_to_proto(dataset)) == dataset
