"""Going through many runs, and charts of long metrics, through the client."""

from __future__ import annotations

import math
from itertools import islice

import pytest

import holdfast
from holdfast._client import Client
from holdfast.entities import Metric, MetricBucket, ViewType
from holdfast.errors import InvalidArgumentError
from holdfast_server.rpc import run_search


@pytest.fixture
def many(client, experiment_id, monkeypatch):
    """Ten runs, which come two at a time."""
    monkeypatch.setattr(run_search, "PART", 2)
    for i in range(10):
        run = client.create_run(experiment_id, run_name=f"r{i}", start_time=i)
        client.log_batch(run.info.run_id, metrics=[Metric("m", i), Metric("n", -i)])
        client.log_param(run.info.run_id, "p", i)
    return experiment_id


def test_all_runs_are_gone_through(client, many):
    runs = client.iterate_runs(many, "metrics.m >= 3", order_by=["metrics.m ASC"])
    assert [run.info.run_name for run in runs] == [f"r{i}" for i in range(3, 10)]


def test_runs_hold_the_fields_asked_for(client, many):
    for run in client.iterate_runs([many], fields=["metrics.m"]):
        assert list(run.data.metrics) == ["m"]
        assert run.data.params == run.data.tags == {}
    (first, *_) = client.search_runs([many], fields=["params", "tags.mlflow.runName"])
    assert (first.data.params, first.data.tags, first.data.metrics) == ({"p": "9"}, {"mlflow.runName": "r9"}, {})
    with pytest.raises(InvalidArgumentError, match="There is no field 'loss'"):
        client.search_runs([many], fields=["loss"])


def test_runs_of_a_stream_act_through_the_client(client, many):
    run = next(client.iterate_runs([many], fields=["attributes"]))
    run.set_tag("seen", "yes")
    assert client.get_run(run.info.run_id).data.tags["seen"] == "yes"


def test_a_stream_can_be_left(client, many):
    runs = client.iterate_runs([many])
    assert len(list(islice(runs, 3))) == 3
    runs.close()
    assert len(client.search_runs([many])) == 10


def test_a_stream_survives_broken_connections(server, many, proxy):
    with Client(f"holdfast://127.0.0.1:{proxy.port}") as client:
        names = []
        for run in client.iterate_runs([many], order_by=["start_time"]):
            names.append(run.info.run_name)
            if len(names) in (2, 5):
                proxy.refuse()
                proxy.go_on()
        assert names == [f"r{i}" for i in range(10)]


def test_mistakes_are_told_before_the_first_run(client, many):
    with pytest.raises(InvalidArgumentError, match="at least one experiment"):
        next(client.iterate_runs())
    with pytest.raises(InvalidArgumentError, match="column"):
        next(client.iterate_runs([many], "metrics.m <"))
    with pytest.raises(InvalidArgumentError, match="view type"):
        client.iterate_runs([many], run_view_type=9)


def test_every_experiment_is_searched(client, many, name):
    other = client.create_experiment(f"other-{name}")
    run_id = client.create_run(other, tags={"of": name}).info.run_id
    found = client.search_runs((), f"tags.of = '{name}'", search_all_experiments=True)
    assert [run.info.run_id for run in found] == [run_id]
    streamed = client.iterate_runs(filter_string=f"tags.of = '{name}'", search_all_experiments=True)
    assert [run.info.run_id for run in streamed] == [run_id]
    client.delete_experiment(other)
    everywhere = client.search_runs((), f"tags.of = '{name}'", ViewType.ALL, search_all_experiments=True)
    assert everywhere == []


def test_a_chart_has_least_greatest_and_last(fluent, client, run_id):
    values = [1.0, math.nan, 5.0, -2.0]
    client.log_batch(run_id, metrics=[Metric("m", value, 1_000 + i, i) for i, value in enumerate(values)])
    expected = MetricBucket(
        first_step=0, last_step=3, count=4, nan_count=1, min=-2.0, max=5.0, last=-2.0, last_timestamp=1_003
    )
    assert client.get_metric_chart(run_id, "m", 1) == [expected]
    assert holdfast.get_metric_chart(run_id, "m", 1) == client.get_run(run_id).get_metric_chart("m", 1) == [expected]
    (nan,) = client.get_metric_chart(run_id, "m", min_step=1, max_step=1)
    assert (nan.min, nan.max, nan.count) == (None, None, 1)
    assert [bucket.last for bucket in client.get_metric_chart(run_id, "m", min_step=2)] == [5.0, -2.0]


def test_models_are_searched_by_dataset(client, experiment_id, run_id):
    models = {name: client.create_logged_model(experiment_id, name).model_id for name in ("a", "b")}
    for name, dataset, value in (("a", "it's", 1.0), ("b", "it's", 2.0), ("a", "iris", 3.0)):
        client.log_metric(run_id, "acc", value, dataset_name=dataset, dataset_digest="d", model_id=models[name])

    def found(**arguments):
        return [model.name for model in client.search_logged_models([experiment_id], **arguments)]

    assert found(datasets=[{"dataset_name": "iris"}]) == ["a"]
    assert found(filter_string="metrics.acc > 1.5", datasets=[{"dataset_name": "it's", "dataset_digest": "d"}]) == ["b"]
    by_dataset = {"field_name": "metrics.acc", "ascending": False, "dataset_name": "it's"}
    assert found(order_by=[by_dataset]) == ["b", "a"]
    assert found(order_by=[{**by_dataset, "dataset_name": "iris", "dataset_digest": "d"}]) == ["a", "b"]
    (a, *_) = client.search_logged_models([experiment_id], fields=["attributes"], order_by=["name ASC"])
    assert (a.name, a.metrics) == ("a", [])
    with pytest.raises(InvalidArgumentError, match="dataset_name too"):
        found(order_by=[{"field_name": "metrics.acc", "dataset_digest": "d"}])
    with pytest.raises(InvalidArgumentError, match="has dataset_name"):
        found(datasets=[{"dataset_digest": "d"}])
    client.delete_logged_model(models["a"])
    assert client.get_logged_model(models["a"], allow_deleted=True).name == "a"
