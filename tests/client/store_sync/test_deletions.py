"""What is deleted at the source or at the target, and models of what is deleted, when a store is sent."""

from __future__ import annotations

import pytest
from tests.client.store_contents import contents, points, tree
from tests.client.store_sync.syncing import sent

from holdfast._client import Client
from holdfast.entities import Metric
from holdfast.errors import NotFoundError


def test_what_is_deleted_stays_at_the_source_unless_it_is_asked_for(source, target, full):
    run_id = source.create_run("0", run_name="deleted").info.run_id
    source.log_batch(run_id, metrics=[Metric("m", 1.0, 1, 1)])
    model = source.create_logged_model("0", "gone", run_id)
    source.log_batch(run_id, metrics=[Metric("m", 1.0, 1, 2, model_id=model.model_id)])
    source.finalize_logged_model(model.model_id, "READY")
    source.delete_logged_model(model.model_id)
    source.delete_run(run_id)
    source.delete_experiment(source.create_experiment("old"))
    synced = target.sync_from(source.tracking_uri)
    assert (synced.left_deleted_runs, synced.left_deleted_models, synced.left_deleted_experiments) == (1, 1, 1)
    with pytest.raises(NotFoundError):
        target.get_run(run_id)
    for _ in range(2):
        synced = target.sync_from(source.tracking_uri, include_deleted=True)
        assert (synced.left_deleted_runs, synced.left_deleted_models, synced.problems) == (0, 0, [])
        assert target.get_run(run_id).info.lifecycle_stage == "deleted"
        assert model.model_id not in contents(target)["models"]
        assert contents(target) == contents(source)
    assert sent(synced) == {}
    assert points(target, run_id) == points(source, run_id)
    # Restored at the source, they come back, as what deleted them at the target was the sync.
    source.restore_run(run_id)
    source.restore_logged_model(model.model_id)
    target.sync_from(source.tracking_uri)
    assert target.get_run(run_id).info.lifecycle_stage == "active"
    assert contents(target) == contents(source)
    # Deleted at the target, it is left so.
    target.delete_logged_model(model.model_id)
    assert target.sync_from(source.tracking_uri).deleted_at_target == 1


@pytest.fixture
def evaluated(source: Client) -> tuple[str, str]:
    """A run of experiment A measured a model that a run of experiment B made; ids of the model and of that run."""
    maker = source.create_run(source.create_experiment("B", "s3://bucket/b", {"of": "b"}), run_name="maker").info.run_id
    source.log_param(maker, "p", "1")
    source.log_bytes(maker, b"0" * 1_000, "checkpoint")
    source.log_batch(maker, metrics=[Metric("loss", 1.0, 1, 1)])
    model = source.create_logged_model(source.get_run(maker).info.experiment_id, "m", maker, params={"q": "2"})
    source.log_model_artifact(model.model_id, __file__)
    source.finalize_logged_model(model.model_id, "READY")
    source.set_terminated(maker)
    judge = source.create_run(source.create_experiment("A"), run_name="judge").info.run_id
    metric = Metric("acc", 0.9, 1, 1, model_id=model.model_id, dataset_name="d", dataset_digest="1")
    source.log_batch(judge, metrics=[metric])
    return model.model_id, maker


def test_a_model_of_another_experiment_comes_with_the_points_that_name_it(source, target, evaluated):
    model_id, maker = evaluated
    foreseen = target.sync_from(source.tracking_uri, experiments="A", dry_run=True)
    synced = target.sync_from(source.tracking_uri, experiments="A")
    assert (synced.problems, synced.runs, synced.models, synced.partial) == ([], 1, 1, 1)
    assert sent(foreseen) == sent(synced)
    assert target.get_logged_model(model_id).metrics == source.get_logged_model(model_id).metrics
    assert contents(target)["models"] == contents(source)["models"]
    part = target.get_run(maker)
    assert (part.info.run_name, part.data.params, part.info.status) == ("maker", {"p": "1"}, "FINISHED")
    assert (points(target, maker), "checkpoint" in tree(target, f"runs:/{maker}")) == ([], False)
    assert sent(target.sync_from(source.tracking_uri, experiments="A")) == {}
    assert target.sync_from(source.tracking_uri).is_complete
    assert contents(target) == contents(source)


@pytest.mark.parametrize("gone", ["model", "run and model", "experiment"])
def test_a_model_that_was_deleted_and_restored_at_the_source_has_its_points(source, target, evaluated, gone):
    model_id, maker = evaluated
    experiment_id = source.get_run(maker).info.experiment_id
    if gone == "experiment":
        source.delete_experiment(experiment_id)
    else:
        source.delete_logged_model(model_id)
        if "run" in gone:
            source.delete_run(maker)
    for _ in range(2):
        synced = target.sync_from(source.tracking_uri)
        assert synced.is_complete, synced.problems
        assert model_id not in contents(target)["models"]
        assert points(target, maker) == ([] if gone != "model" else points(source, maker))
    assert sent(synced) == {}
    if gone == "experiment":
        source.restore_experiment(experiment_id)
    else:
        source.restore_logged_model(model_id)
        if "run" in gone:
            assert target.get_run(maker).info.lifecycle_stage == "deleted"
            source.restore_run(maker)
    synced = target.sync_from(source.tracking_uri)
    assert synced.is_complete, synced.problems
    assert target.get_logged_model(model_id).metrics == source.get_logged_model(model_id).metrics
    there, here = contents(target), contents(source)
    if gone == "experiment":  # what it has is in Default, and stays there
        there["runs"][maker]["experiment"] = "B"
    assert there == here
    assert sent(target.sync_from(source.tracking_uri)) == {}


def test_a_deleted_model_that_a_point_names_is_sent_whole_when_it_is_asked_for(source, target, evaluated):
    model_id, maker = evaluated
    source.delete_logged_model(model_id)
    source.delete_run(maker)
    assert target.sync_from(source.tracking_uri).partial == 2
    for _ in range(2):
        synced = target.sync_from(source.tracking_uri, include_deleted=True)
        assert synced.is_complete, synced.problems
    assert sent(synced) == {}
    assert contents(target) == contents(source)
    # Restored at both, all of it is there.
    for client in (source, target):
        client.restore_run(maker)
        client.restore_logged_model(model_id)
    assert contents(target) == contents(source)


def test_what_is_deleted_at_the_target_is_left_so(source, target, full):
    target.sync_from(source.tracking_uri)
    target.delete_run(full)
    source.set_tag(full, "more", "1")
    synced = target.sync_from(source.tracking_uri)
    assert (synced.deleted_at_target, synced.is_complete, sent(synced)) == (1, True, {})
    target.restore_run(full)
    assert target.sync_from(source.tracking_uri).changes == 1
    assert contents(target) == contents(source)


def test_an_experiment_that_is_deleted_at_the_target_is_told(source, target, full):
    target.delete_experiment(target.create_experiment("vision"))
    synced = target.sync_from(source.tracking_uri)
    assert [(problem.subject, problem.id) for problem in synced.problems] == [("experiment", "vision")]
    assert "restore it" in synced.problems[0].error
    assert synced.runs == 1
