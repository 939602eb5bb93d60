"""The fluent functions: which run is active, and how runs begin and end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent import futures

import pandas as pd
import pytest

import holdfast
from holdfast import _active_run
from holdfast.entities import Dataset, LoggedModelInput, ViewType
from holdfast.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError


@pytest.fixture(autouse=True)
def _connected(fluent):
    """All tests here use the fluent functions."""


@pytest.fixture
def experiment(name):
    return holdfast.set_experiment(name)


def test_a_run_ends_with_its_block(experiment):
    with holdfast.start_run(run_name="first", tags={"a": 1}, description="Tries.") as run:
        assert holdfast.active_run() is run
        assert (run.info.status, run.info.experiment_id) == ("RUNNING", experiment.experiment_id)
    assert holdfast.active_run() is None
    ended = holdfast.get_run(run.info.run_id)
    assert (ended.info.status, ended.info.run_name) == ("FINISHED", "first")
    assert ended.data.tags["a"] == "1"
    assert ended.data.tags["mlflow.note.content"] == "Tries."
    assert ended.data.tags["mlflow.user"] == ended.info.user_id
    assert ended.data.tags["mlflow.source.type"] == "LOCAL"
    assert ended.data.tags["mlflow.source.name"]
    assert holdfast.last_active_run() == ended


def test_of_nested_runs_the_outer_one_is_the_last(experiment):
    with holdfast.start_run() as outer:
        with holdfast.start_run(nested=True) as inner:
            assert holdfast.last_active_run().info.run_id == inner.info.run_id
        assert holdfast.last_active_run().info.run_id == outer.info.run_id
    assert holdfast.last_active_run().info.run_id == outer.info.run_id


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(ValueError, "FAILED", id="exception"),
        pytest.param(KeyboardInterrupt, "KILLED", id="ctrl-c"),
        pytest.param(SystemExit, "FAILED", id="exit"),
    ],
)
def test_an_exception_decides_how_the_run_ends(experiment, error, status):
    with pytest.raises(error), holdfast.start_run() as run:
        raise error
    assert holdfast.get_run(run.info.run_id).info.status == status


def test_an_error_of_the_server_does_not_hide_the_user_s(experiment, caplog):
    run = holdfast.start_run()
    holdfast.delete_run(run.info.run_id)
    with pytest.raises(ZeroDivisionError), run:
        _ = 1 / 0
    assert "could not be ended" in caplog.text
    assert holdfast.active_run() is None


def test_a_second_run_must_say_that_it_is_nested(experiment):
    with holdfast.start_run() as outer:
        with pytest.raises(FailedPreconditionError, match="nested=True"):
            holdfast.start_run()
        with holdfast.start_run(nested=True) as inner:
            assert holdfast.active_run() is inner
        assert holdfast.active_run() is outer
    assert holdfast.get_run(inner.info.run_id).data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert holdfast.get_parent_run(inner.info.run_id).info.run_id == outer.info.run_id


def test_nested_runs_end_before_the_one_around_them(experiment):
    with holdfast.start_run() as outer:
        inner = holdfast.start_run(nested=True)
    assert holdfast.active_run() is None
    assert holdfast.get_run(inner.info.run_id).info.status == "FINISHED"
    assert holdfast.get_run(outer.info.run_id).info.status == "FINISHED"


def test_parents_can_be_named(experiment):
    with holdfast.start_run() as parent:
        pass
    with holdfast.start_run(parent_run_id=parent.info.run_id) as child:
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        with pytest.raises(FailedPreconditionError, match="end the active one"):
            holdfast.start_run(nested=True, parent_run_id=parent.info.run_id)
    with pytest.raises(NotFoundError):
        holdfast.start_run(parent_run_id="0" * 32)
    holdfast.delete_run(parent.info.run_id)
    with pytest.raises(FailedPreconditionError, match="deleted"):
        holdfast.start_run(parent_run_id=parent.info.run_id)


def test_a_nested_run_belongs_to_its_parent_s_experiment(name):
    other = holdfast.create_experiment(name)
    with holdfast.start_run(experiment_id=other), holdfast.start_run(nested=True) as child:
        assert child.info.experiment_id == other


def test_a_run_goes_on_where_it_ended(experiment):
    with holdfast.start_run() as run:
        holdfast.log_metric("loss", 1.0)
    with holdfast.start_run(run_id=run.info.run_id, tags={"more": 1}, run_name="again") as again:
        assert again.info.status == "RUNNING"
        assert again.info.end_time is None
        assert (again.info.run_name, again.data.tags["more"]) == ("again", "1")
        assert again.data.metrics == {"loss": 1.0}
    assert holdfast.get_run(run.info.run_id).info.status == "FINISHED"


def test_deleted_and_foreign_runs_do_not_go_on(experiment, name):
    with holdfast.start_run() as run:
        pass
    holdfast.set_experiment(f"{name}-other")
    with pytest.raises(InvalidArgumentError, match="belongs to experiment"):
        holdfast.start_run(run_id=run.info.run_id)
    holdfast.delete_run(run.info.run_id)
    with pytest.raises(FailedPreconditionError, match="deleted"):
        holdfast.start_run(run_id=run.info.run_id)


def test_end_run_takes_a_status_and_tolerates_none_active(experiment):
    holdfast.end_run()
    run = holdfast.start_run()
    holdfast.end_run("KILLED")
    holdfast.end_run()
    assert holdfast.get_run(run.info.run_id).info.status == "KILLED"
    with holdfast.start_run() as other, pytest.raises(InvalidArgumentError, match="FINISHED, FAILED and KILLED"):
        holdfast.end_run("DONE")
    assert holdfast.get_run(other.info.run_id).info.status == "FINISHED"


def test_logging_goes_to_the_active_run(experiment, tmp_path):
    with holdfast.start_run() as run:
        assert holdfast.log_param("lr", 0.1) == 0.1
        holdfast.log_params({"depth": 3})
        holdfast.log_metric("loss", 0.5, step=1)
        holdfast.log_metric("loss", 0.4, step=2, timestamp=1_700_000_000_000, synchronous=False)
        holdfast.log_metrics({"acc": 0.9, "f1": 0.8}, step=3)
        holdfast.set_tag("a", "b")
        holdfast.set_tags({"c": "d", "e": 1})
        holdfast.delete_tag("c")
        holdfast.set_experiment_tag("owner", "ada")
        holdfast.set_experiment_tags({"team": "x"})
        holdfast.flush()
    data = holdfast.get_run(run.info.run_id).data
    assert data.params == {"lr": "0.1", "depth": "3"}
    assert data.metrics == {"loss": 0.4, "acc": 0.9, "f1": 0.8}
    assert (data.tags["a"], data.tags["e"], "c" in data.tags) == ("b", "1", False)
    assert [point.value for point in holdfast.get_metric_history(run.info.run_id, "loss")] == [0.5, 0.4]
    assert holdfast.get_experiment(experiment.experiment_id).tags == {"owner": "ada", "team": "x"}


def test_run_id_names_another_run(experiment):
    with holdfast.start_run() as other:
        pass
    holdfast.log_metric("m", 1.0, run_id=other.info.run_id)
    holdfast.log_params({"p": 1}, run_id=other.info.run_id)
    assert holdfast.active_run() is None
    assert holdfast.get_run(other.info.run_id).data.metrics == {"m": 1.0}


def test_logging_without_a_run_begins_one(experiment):
    holdfast.log_metric("m", 1.0)
    run = holdfast.active_run()
    holdfast.log_metric("n", 2.0)
    holdfast.end_run()
    assert holdfast.get_run(run.info.run_id).data.metrics == {"m": 1.0, "n": 2.0}


def test_threads_that_log_without_a_run_begin_one_together(experiment):
    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: holdfast.log_metric(f"m{number}", number), range(8)))
    (run,) = holdfast.search_runs(output_format="list")
    assert len(run.data.metrics) == 8


def test_other_threads_see_the_only_active_run(experiment):
    with holdfast.start_run() as outer, futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(holdfast.active_run).result() is outer
        with holdfast.start_run(nested=True) as inner:
            assert pool.submit(holdfast.active_run).result() is inner


def test_threads_with_runs_of_their_own_do_not_mix(experiment):
    barrier = threading.Barrier(4)

    def train(number: int) -> str:
        with holdfast.start_run(run_name=f"r{number}") as run:
            barrier.wait(30)
            holdfast.log_param("number", number)
            barrier.wait(30)
            return run.info.run_id

    with futures.ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(train, range(4)))
        assert pool.submit(holdfast.active_run).result() is None
    assert [holdfast.get_run(run_id).data.params["number"] for run_id in ids] == list("0123")


def test_a_thread_outside_several_runs_sees_none(experiment):
    seen = []
    with holdfast.start_run():
        other = contextvars.Context().run(holdfast.start_run)
        thread = threading.Thread(target=lambda: seen.append(holdfast.active_run()))
        thread.start()
        thread.join()
        assert seen == [None]
        _active_run.finish(other, "FINISHED")


def test_tasks_begin_runs_of_their_own_inside_a_common_one(experiment):
    async def train(number: int) -> tuple[str, str]:
        with holdfast.start_run(nested=True) as run:
            await asyncio.sleep(0.01)
            holdfast.log_param("number", number)
            return run.info.run_id, run.data.tags["mlflow.parentRunId"]

    async def main() -> list[tuple[str, str]]:
        return await asyncio.gather(*(train(number) for number in range(3)))

    with holdfast.start_run() as outer:
        children = asyncio.run(main())
        assert holdfast.active_run() is outer
    assert {parent for _, parent in children} == {outer.info.run_id}
    assert [holdfast.get_run(run_id).data.params["number"] for run_id, _ in children] == list("012")


def test_a_run_ended_elsewhere_is_not_active_here(experiment):
    run = holdfast.start_run()
    thread = threading.Thread(target=holdfast.end_run)
    thread.start()
    thread.join()
    assert holdfast.active_run() is None
    assert holdfast.get_run(run.info.run_id).info.status == "FINISHED"


def test_the_experiment_is_chosen_by_name_or_id(name):
    chosen = holdfast.set_experiment(name, tags={"a": "b"})
    assert (chosen.name, chosen.tags) == (name, {"a": "b"})
    assert holdfast.set_experiment(experiment_id=chosen.experiment_id).name == name
    with holdfast.start_run() as run:
        assert run.info.experiment_id == chosen.experiment_id
    with pytest.raises(InvalidArgumentError, match="either a name or an id"):
        holdfast.set_experiment()
    holdfast.delete_experiment(chosen.experiment_id)
    with pytest.raises(FailedPreconditionError, match="restore_experiment"):
        holdfast.set_experiment(name)
    with pytest.raises(FailedPreconditionError, match="restore_experiment"):
        holdfast.set_experiment(experiment_id=chosen.experiment_id)
    holdfast.restore_experiment(chosen.experiment_id)
    holdfast.rename_experiment(chosen.experiment_id, f"{name}-b")
    assert holdfast.get_experiment_by_name(f"{name}-b").experiment_id == chosen.experiment_id
    assert [e.name for e in holdfast.search_experiments(filter_string=f"name = '{name}-b'")] == [f"{name}-b"]


def test_an_experiment_chosen_by_many_at_once_is_created_once(name):
    with futures.ThreadPoolExecutor(8) as pool:
        chosen = list(pool.map(lambda _: holdfast.set_experiment(name).experiment_id, range(8)))
    assert len(set(chosen)) == 1


def test_without_a_choice_runs_belong_to_default():
    with holdfast.start_run() as run:
        assert run.info.experiment_id == "0"


def test_the_environment_chooses_experiment_and_run(monkeypatch, name):
    monkeypatch.setenv("HOLDFAST_EXPERIMENT_NAME", name)
    with holdfast.start_run() as run:
        assert holdfast.get_experiment(run.info.experiment_id).name == name
    monkeypatch.setenv("HOLDFAST_EXPERIMENT_ID", run.info.experiment_id)
    monkeypatch.setenv("HOLDFAST_RUN_ID", run.info.run_id)
    with holdfast.start_run() as again:
        assert again.info.run_id == run.info.run_id
    with holdfast.start_run() as other:
        assert other.info.run_id != run.info.run_id, "the variable names one run"
    monkeypatch.setenv("HOLDFAST_EXPERIMENT_ID", "0")
    with pytest.raises(InvalidArgumentError, match="unset one of them"):
        holdfast.start_run()


def test_the_table_of_runs_has_mlflow_s_columns(experiment):
    with holdfast.start_run():
        holdfast.log_metric("loss", 0.5)
        holdfast.log_param("lr", 1)
    with holdfast.start_run(tags={"only": "here"}):
        pass
    frame = holdfast.search_runs()
    first = ["run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time"]
    assert list(frame.columns[:6]) == first
    assert {"metrics.loss", "params.lr", "tags.only", "tags.mlflow.runName"} <= set(frame.columns)
    assert len(frame) == 2
    assert frame["metrics.loss"].isna().tolist() == [True, False]
    assert frame["params.lr"].tolist() == [None, "1"]
    assert str(frame["start_time"].dtype) == str(frame["end_time"].dtype)
    assert isinstance(frame["start_time"].dtype, pd.DatetimeTZDtype)
    assert list(holdfast.search_runs(filter_string="metrics.loss > 1").columns) == first


def test_runs_are_searched_where_one_says(experiment, name):
    with holdfast.start_run() as run:
        pass
    holdfast.set_experiment(f"{name}-b")
    assert holdfast.search_runs(output_format="list") == []
    by_name = holdfast.search_runs(experiment_names=[name], output_format="list")
    by_id = holdfast.search_runs([experiment.experiment_id], output_format="list")
    assert [r.info.run_id for r in by_name] == [r.info.run_id for r in by_id] == [run.info.run_id]
    everywhere = holdfast.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.run_id in [r.info.run_id for r in everywhere]
    holdfast.delete_run(run.info.run_id)
    assert holdfast.search_runs(experiment_names=[name], output_format="list") == []
    deleted = holdfast.search_runs(experiment_names=[name], run_view_type=ViewType.DELETED_ONLY, output_format="list")
    assert len(deleted) == 1
    with pytest.raises(NotFoundError, match="no experiment named"):
        holdfast.search_runs(experiment_names=["nowhere"])
    with pytest.raises(InvalidArgumentError, match="either by"):
        holdfast.search_runs(["0"], experiment_names=[name])
    with pytest.raises(InvalidArgumentError, match="output_format"):
        holdfast.search_runs(output_format="table")


class MlflowLikeDataset:
    """Describes itself as MLflow's datasets do."""

    def to_dict(self):
        return {
            "name": "mnist",
            "digest": "abc",
            "source_type": "http",
            "source": "{}",
            "schema": None,
            "profile": "{}",
        }


def test_datasets_are_linked(experiment):
    with holdfast.start_run() as run:
        holdfast.log_input(MlflowLikeDataset(), context="train", tags={"fold": 1})
        holdfast.log_inputs([Dataset("cifar", "def", "local", "{}")], ["test"])
        holdfast.log_metric("acc", 1.0, dataset=MlflowLikeDataset())
    inputs = holdfast.get_run(run.info.run_id).inputs.dataset_inputs
    assert sorted((item.dataset.name, item.dataset.digest) for item in inputs) == [("cifar", "def"), ("mnist", "abc")]
    labels = {tag.key: tag.value for item in inputs for tag in item.tags if item.dataset.name == "mnist"}
    assert labels == {"mlflow.data.context": "train", "fold": "1"}
    (point,) = holdfast.get_metric_history(run.info.run_id, "acc")
    assert (point.dataset_name, point.dataset_digest) == ("mnist", "abc")
    with pytest.raises(InvalidArgumentError, match="one context"):
        holdfast.log_inputs([MlflowLikeDataset()], [])
    with pytest.raises(InvalidArgumentError, match="to_dict"):
        holdfast.log_input("mnist")


def test_models_that_were_read_are_linked(experiment):
    client = holdfast.current_client()
    model = client.create_logged_model(experiment.experiment_id, "m")
    with holdfast.start_run() as run:
        holdfast.log_input(model=model)
    assert holdfast.get_run(run.info.run_id).inputs.model_inputs == [LoggedModelInput(model.model_id)]
    assert holdfast.get_logged_model(model.model_id).name == "m"


@pytest.mark.parametrize("status", ["RUNNING", "SCHEDULED", "DONE", None])
def test_only_three_statuses_end_a_run(experiment, status):
    with holdfast.start_run() as run:
        with pytest.raises(InvalidArgumentError, match="FINISHED, FAILED and KILLED"):
            holdfast.end_run(status)
        assert holdfast.active_run() is run


def test_workers_nest_into_the_script_s_run_side_by_side(experiment):
    together = threading.Barrier(2, timeout=30)

    def work(_):
        with holdfast.start_run(nested=True) as run:
            together.wait()
            return run.data.tags["mlflow.parentRunId"]

    with holdfast.start_run() as parent, futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [parent.info.run_id] * 2
        assert holdfast.active_run() is parent


def test_a_run_s_own_methods_link_inputs_rename_and_restore(experiment):
    data = Dataset(name="train", digest="d1", source_type="local", source="x")
    with holdfast.start_run() as run:
        model = run.client.create_logged_model(experiment.experiment_id)
        run.log_input(data, "training", {"a": 1})
        run.log_inputs([Dataset(name="test", digest="d2", source_type="local", source="y")], models=[model])
        run.client.log_input(run.info.run_id, model=LoggedModelInput(model.model_id))
        run.log_metric("loss", "0.5", dataset=data)
    run.rename("other")
    read = run.refresh()
    assert {item.dataset.name for item in read.inputs.dataset_inputs} == {"train", "test"}
    assert [item.model_id for item in read.inputs.model_inputs] == [model.model_id]
    assert (read.info.run_name, read.data.metrics) == ("other", {"loss": 0.5})
    assert run.get_metric_history("loss")[0].dataset_name == "train"
    run.delete()
    run.restore()
    assert run.refresh().info.lifecycle_stage == "active"
