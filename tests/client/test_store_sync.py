"""What an embedded store holds is sent to a server once, however often; what it adds comes with the next time."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.client.conftest import ServerThread
from tests.client.store_contents import contents, points, tree
from tests.counting_proxy import counting_proxy

from holdfast._client import Client
from holdfast.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput, Metric
from holdfast.errors import InvalidArgumentError, NotFoundError
from holdfast.v1 import run_service_pb2
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

MIB = 1 << 20


@contextmanager
def serving(data_dir: Path) -> Iterator[Client]:
    """A client of a server of its own."""
    server = ServerThread(data_dir)
    try:
        with Client(server.uri) as client:
            yield client
    finally:
        server.stop()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Client]:
    """A client of a server that has nothing."""
    with serving(tmp_path / "target") as client:
        yield client


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Client]:
    """A client of the store that is to be sent."""
    with serving(tmp_path / "source") as client:
        yield client


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A directory with what trees may hold."""
    folder = tmp_path / "package"
    (folder / "code" / "empty").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "code" / "same").write_text("flavors: {}\n")
    (folder / "code" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "code" / "run.sh").chmod(0o755)
    (folder / "nothing").touch()
    (folder / "ümläut").write_bytes(os.urandom(2 * MIB))
    (folder / "weights").write_bytes(os.urandom(17 * MIB))
    for number in range(40):
        (folder / "code" / f"{number}.txt").write_text(f"{number}")
    return folder


@pytest.fixture
def full(source: Client, package: Path) -> str:
    """Fills the source with something of every kind; the id of its main run."""
    experiment_id = source.create_experiment("vision", "s3://bucket/vision", {"team": "red"})
    run = source.create_run(
        experiment_id, start_time=1_700_000_000_000, tags={"a": "1", "mlflow.user": "u"}, run_name="x"
    )
    run_id = run.info.run_id
    for i in range(250):
        source.log_param(run_id, f"p{i}", "v" * 30)
    model = source.create_logged_model(experiment_id, "forest", run_id, {"t": "1"}, {"p": "2"}, "classifier")
    source.log_model_artifacts(model.model_id, package)
    source.finalize_logged_model(model.model_id, "READY")
    failed = source.create_logged_model(experiment_id, "broken", run_id)
    source.finalize_logged_model(failed.model_id, "FAILED", status_message="no memory")
    metrics = [
        Metric("loss", value, 1_700_000_000_000 + i, -i) for i, value in enumerate([1.5, math.nan, math.inf, -0.0])
    ]
    metrics += [
        Metric("acc", 0.5, 1_700_000_000_000, 3, model_id=model.model_id, dataset_name="iris", dataset_digest="d1")
    ]
    metrics += [Metric(f"m{i % 3}", i, 1_700_000_000_000, i // 3) for i in range(2_500)]
    source.log_batch(run_id, metrics=metrics[:1_000])
    source.log_batch(run_id, metrics=metrics[1_000:2_000])
    source.log_batch(run_id, metrics=metrics[2_000:])
    dataset = DatasetInput(Dataset("iris", "d1", "local", "{}"), [InputTag("mlflow.data.context", "train")])
    source.log_inputs(run_id, [dataset], [LoggedModelInput(failed.model_id)])
    source.log_outputs(run_id, [LoggedModelOutput(model.model_id, 7)])
    source.log_artifacts(run_id, str(package), "data")
    source.set_terminated(run_id, "FAILED", 1_700_000_009_000)
    source.create_run("0")
    return run_id


def sent(synced) -> dict[str, int]:
    """What a sync sent, without zeros."""
    names = ("experiments", "runs", "models", "partial", "versions", "points", "files", "bytes", "changes")
    return {name: count for name in names if (count := getattr(synced, name))}


def test_everything_arrives_and_a_repetition_sends_nothing(source, target, full):
    first = target.sync_from(source.tracking_uri)
    assert first.is_complete, first.problems
    assert (first.runs, first.models, first.experiments, first.points) == (2, 2, 1, 2_505)
    # Files of the model and of the run are the same, so they are sent once.
    assert first.bytes == 19 * MIB + sum(len(str(i)) for i in range(40)) + len("flavors: {}\n") + len("#!/bin/sh\n")
    assert contents(target) == contents(source)
    before = contents(target)
    again = target.sync_from(source.tracking_uri)
    assert (sent(again), again.unchanged_runs, again.problems) == ({}, 2, [])
    assert contents(target) == before


def test_syncs_at_the_same_time_send_each_thing_once(source, target, full):
    clients = [Client(target.tracking_uri) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda client: client.sync_from(source.tracking_uri), clients))
    for client in clients:
        client.close()
    assert [synced.problems for synced in done] == [[], [], []]
    assert sum(synced.points for synced in done) == 2_505
    assert contents(target) == contents(source)


def test_a_dry_run_tells_what_would_be_sent_and_sends_nothing(source, target, full):
    foreseen = target.sync_from(source.tracking_uri, dry_run=True)
    assert foreseen.is_dry_run
    assert contents(target) == {"experiments": {"Default": ("", {})}, "runs": {}, "models": {}}
    done = target.sync_from(source.tracking_uri)
    uncounted = {"is_dry_run", "bytes"}  # equal files are counted once for each tree that a dry run looks at
    assert {k: v for k, v in asdict(foreseen).items() if k not in uncounted} == {
        k: v for k, v in asdict(done).items() if k not in uncounted
    }
    assert sent(target.sync_from(source.tracking_uri, dry_run=True)) == {}


def test_what_a_run_adds_later_comes_with_the_next_sync(source, target, full, tmp_path):
    run_id = source.create_run("0", run_name="goes on").info.run_id
    source.log_batch(run_id, metrics=[Metric("m", i, i, 100 + i) for i in range(10)])
    target.sync_from(source.tracking_uri)
    # Earlier steps that arrive later.
    source.log_batch(run_id, metrics=[Metric("a", 1.0, 1, -5), Metric("m", 2.0, 1, 3)])
    source.log_param(run_id, "late", "1")
    source.set_tag(run_id, "late", "1")
    (tmp_path / "more.txt").write_text("more")
    source.log_artifact(run_id, str(tmp_path / "more.txt"))
    source.set_terminated(run_id)
    synced = target.sync_from(source.tracking_uri)
    assert (synced.runs, synced.points, synced.files, synced.bytes) == (1, 2, 1, 4)
    assert contents(target) == contents(source)
    assert target.get_run(run_id).info.status == "FINISHED"


def test_a_run_whose_program_died_is_lost_at_the_target_until_it_goes_on(source, target):
    run_id = source.create_run("0").info.run_id
    source.log_batch(run_id, metrics=[Metric("m", 1.0, 1, 1)])
    lost = run_service_pb2.UpdateRunRequest(run_id=run_id, lost=True)
    source.channel.call(source.channel.stub(RunServiceStub).UpdateRun, lost)
    for _ in range(2):
        synced = target.sync_from(source.tracking_uri)
        assert target.get_run(run_id).info.shown_status == "LOST"
    assert sent(synced) == {}
    with target.watch_run(run_id, types=["RETURNED"]) as watch:
        next(watch)
        source.log_batch(run_id, metrics=[Metric("m", 1.0, 1, 2)])
        renewed = run_service_pb2.RenewLeasesRequest(run_ids=[run_id])
        source.channel.call(source.channel.stub(RunServiceStub).RenewLeases, renewed)
        target.sync_from(source.tracking_uri)
        assert next(watch).type == "RETURNED"
    assert target.get_run(run_id).info.shown_status == "RUNNING"
    assert sent(target.sync_from(source.tracking_uri)) == {}


def test_what_somebody_changed_at_the_target_stays_until_the_source_changes_it_too(source, target, tmp_path):
    run_id = source.create_run("0", tags={"kept": "1", "both": "1", "gone": "1", "removed": "1"}).info.run_id
    (tmp_path / "f").write_text("source")
    source.log_artifact(run_id, str(tmp_path / "f"))
    source.set_experiment_tag("0", "owner", "source")
    target.set_experiment_tag("0", "owner", "target")
    target.sync_from(source.tracking_uri)
    assert target.get_experiment("0").tags["owner"] == "target"
    for key in ("kept", "both"):
        target.set_tag(run_id, key, "target")
    target.delete_tag(run_id, "removed")
    target.set_terminated(run_id, "KILLED")
    (tmp_path / "f").write_text("target")
    target.log_artifact(run_id, str(tmp_path / "f"))
    assert sent(target.sync_from(source.tracking_uri)) == {}
    source.set_tag(run_id, "both", "2")
    source.delete_tag(run_id, "gone")
    source.set_experiment_tag("0", "owner", "source again")
    (tmp_path / "g").write_text("g")
    source.log_artifact(run_id, str(tmp_path / "g"))
    target.sync_from(source.tracking_uri)
    tags = target.get_run(run_id).data.tags
    assert [tags.get(key) for key in ("kept", "both", "gone", "removed")] == ["target", "2", None, None]
    assert target.get_run(run_id).info.status == "KILLED"
    assert Path(target.download_artifacts(run_id, "f", tmp_path / "got")).read_text() == "target"
    assert target.get_experiment("0").tags["owner"] == "source again"
    source.set_terminated(run_id, "FINISHED")
    target.sync_from(source.tracking_uri)
    assert target.get_run(run_id).info.status == "FINISHED"


def test_a_run_with_more_tags_than_a_request_takes(source, target):
    run_id = source.create_run("0").info.run_id
    for i in range(1_200):
        source.set_tag(run_id, f"t{i}", "v")
    target.sync_from(source.tracking_uri)
    for i in range(0, 1_200, 3):
        source.delete_tag(run_id, f"t{i}")
    for i in range(1, 1_200, 3):
        source.set_tag(run_id, f"t{i}", "w")
    assert target.sync_from(source.tracking_uri).changes == 800
    assert contents(target) == contents(source)
    assert sent(target.sync_from(source.tracking_uri)) == {}


def test_only_blocks_that_the_target_lacks_travel(source, target, tmp_path, package):
    known = target.create_run("0").info.run_id
    target.log_artifacts(known, str(package))
    weights = bytearray((package / "weights").read_bytes())
    weights[9 * MIB] ^= 1  # in the second of three blocks
    (package / "weights").write_bytes(weights)
    source.log_artifacts(source.create_run("0").info.run_id, str(package))
    with (
        counting_proxy(int(target.tracking_uri.rpartition(":")[2])) as proxy,
        Client(f"holdfast://127.0.0.1:{proxy.port}") as counted,
    ):
        synced = counted.sync_from(source.tracking_uri)
        assert synced.bytes == 8 * MIB
        assert proxy.sent < 8.5 * MIB


def test_files_that_are_open_at_the_source_are_told_and_sent_when_they_are_closed(source, target):
    run_id = source.create_run("0").info.run_id
    model = source.create_logged_model("0", "m", run_id)
    with source.open_artifact(run_id, "train.log") as log:
        log.write("epoch 1\n")
        log.flush()
        for _ in range(2):
            synced = target.sync_from(source.tracking_uri)
            assert (synced.left_open_files, synced.files, synced.is_complete) == (1, 0, True)
    source.finalize_logged_model(model.model_id, "READY")
    synced = target.sync_from(source.tracking_uri)
    assert (synced.left_open_files, synced.files) == (0, 1)
    assert contents(target) == contents(source)


def test_small_files_are_stored_together(source, target, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    for number in range(1_200):
        (folder / str(number)).write_text(f"content {number}")
    run_id = source.create_run("0").info.run_id
    source.log_artifacts(run_id, str(folder))
    assert target.sync_from(source.tracking_uri).files == 1_200
    assert tree(target, f"runs:/{run_id}") == tree(source, f"runs:/{run_id}")
    assert target.get_storage_usage().object_count < 10


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


def test_one_experiment_alone(source, target, full):
    synced = target.sync_from(source.tracking_uri, experiments="vision")
    assert (synced.runs, synced.models) == (1, 2)
    assert list(contents(target)["runs"]) == [full]
    with pytest.raises(NotFoundError, match="no active experiment 'absent'"):
        target.sync_from(source.tracking_uri, experiments=["vision", "absent"])


def test_a_run_that_came_another_way_is_told_and_the_others_arrive(source, target, full, tmp_path):
    source.export_run(full, tmp_path / "archive")
    target.import_run(tmp_path / "archive")
    before = contents(target)["runs"][full]
    synced = target.sync_from(source.tracking_uri)
    assert not synced.is_complete
    assert [(problem.subject, problem.id) for problem in synced.problems if problem.subject == "run"] == [("run", full)]
    assert all("did not send" in problem.error for problem in synced.problems)
    assert synced.runs == 1
    assert contents(target)["runs"][full] == before


def test_a_store_that_was_put_back_to_an_earlier_state_sends_no_points_twice(target, tmp_path):
    def log(first: int, end: int, run_id: str = "") -> str:
        with serving(tmp_path / "data") as source:
            run_id = run_id or source.create_run("0").info.run_id
            source.log_batch(run_id, metrics=[Metric("m", i, i, i) for i in range(first, end)])
            source.create_run("0")
            told.append(target.sync_from(source.tracking_uri))
        return run_id

    told = []
    run_id = log(0, 5)
    shutil.copytree(tmp_path / "data", tmp_path / "backup")
    log(5, 10, run_id)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "backup").rename(tmp_path / "data")
    target.log_batch(run_id, metrics=[Metric("own", 1.0, 1, 1)])  # somebody's own points do not count
    log(5, 7, run_id)
    assert [(synced.points, synced.runs) for synced in told] == [(5, 2), (5, 2), (0, 1)]
    (problem,) = told[-1].problems
    assert (problem.subject, problem.id) == ("run", run_id)
    assert "put back" in problem.error
    assert len(points(target, run_id)) == 11


def test_a_param_with_another_value_is_told_and_everything_else_arrives(source, target):
    run_id = source.create_run("0").info.run_id
    target.sync_from(source.tracking_uri)
    for i in range(3):
        source.log_param(run_id, f"p{i}", "source")
    target.log_param(run_id, "p1", "target")
    source.set_terminated(run_id)
    (problem,) = target.sync_from(source.tracking_uri).problems
    assert problem.error.startswith("Param 'p1' has another value at the server and cannot become 'source'")
    run = target.get_run(run_id)
    assert (run.data.params, run.info.status) == ({"p0": "source", "p1": "target", "p2": "source"}, "FINISHED")


def test_a_file_that_cannot_stand_at_its_path_withholds_neither_points_nor_end(source, target, tmp_path):
    run_id = source.create_run("0").info.run_id
    target.sync_from(source.tracking_uri)
    (tmp_path / "data").write_text("a file here, a directory there")
    source.log_artifact(run_id, str(tmp_path / "data"))
    target.log_text(run_id, "theirs", "data/x.txt")
    source.log_batch(run_id, metrics=[Metric("m", 1.0, 1, 1)])
    source.set_terminated(run_id)
    for unchanged in (False, True):
        synced = target.sync_from(source.tracking_uri)
        (problem,) = synced.problems
        assert (problem.subject, problem.id, "data" in problem.error) == ("run", run_id, True)
        assert (synced.runs, synced.unchanged_runs) == (not unchanged, 0)
        assert target.get_run(run_id).info.status == "FINISHED"
        assert points(target, run_id) == points(source, run_id)
    target.delete_artifacts(run_id, "data")
    assert target.sync_from(source.tracking_uri).is_complete
    assert contents(target) == contents(source)


def test_what_was_copied_from_a_server_that_was_synced_to_is_another_run_there(source, target, other, tmp_path):
    run_id = source.create_run("0").info.run_id
    source.log_batch(run_id, metrics=[Metric("m", i, i, i) for i in range(10)])
    target.sync_from(source.tracking_uri)
    target.export_run(run_id, tmp_path / "archive")
    other.import_run(tmp_path / "archive")
    assert "did not send" in other.sync_from(source.tracking_uri).problems[0].error
    # Not even when somebody copies the tags as well.
    for key, value in target.get_run(run_id).data.tags.items():
        if key.startswith("holdfast.sync"):
            other.set_tag(run_id, key, value)
    source.log_batch(run_id, metrics=[Metric("m", 1.0, 1, 11)])
    assert "was copied there" in other.sync_from(source.tracking_uri).problems[0].error
    assert len(points(other, run_id)) == 10
    # From the server that was synced to, it is a run of that server.
    again = tmp_path / "third"
    with serving(again) as third:
        assert third.sync_from(target.tracking_uri).is_complete
        assert contents(third) == contents(target)


def test_an_experiment_that_is_deleted_at_the_target_is_told(source, target, full):
    target.delete_experiment(target.create_experiment("vision"))
    synced = target.sync_from(source.tracking_uri)
    assert [(problem.subject, problem.id) for problem in synced.problems] == [("experiment", "vision")]
    assert "restore it" in synced.problems[0].error
    assert synced.runs == 1


def test_versions_are_registered_once_when_they_are_asked_for(source, target, full, package):
    (model,) = source.search_logged_models([source.get_run(full).info.experiment_id], "name = 'forest'")
    target.log_artifacts(taken := target.create_run("0").info.run_id, str(package), "m")
    target.create_model_version("forest", f"runs:/{taken}/m", create_registered_model=True)
    source.register_logged_model("forest", model.model_id, tags={"k": "v"})
    source.create_model_version("forest", f"runs:/{full}/data/code", description="files of a run")
    source.set_registered_model_alias("forest", "prod", "1")
    source.update_registered_model("forest", "of trees")
    source.set_registered_model_tag("forest", "kind", "source")
    source.set_registered_model_tag("forest", "team", "red")
    target.set_registered_model_tag("forest", "kind", "target")
    elsewhere = target.sync_from(source.tracking_uri, experiments="Default", include_versions=True)
    assert (elsewhere.versions, elsewhere.problems) == (0, [])
    left = target.sync_from(source.tracking_uri)
    assert (left.left_versions, left.versions) == (2, 0)
    synced = target.sync_from(source.tracking_uri, include_versions=True)
    assert (synced.versions, synced.problems) == (2, [])
    second, third = target.get_model_version("forest", "2"), target.get_model_version("forest", "3")
    assert (second.model_id, second.digest) == (model.model_id, source.get_model_version("forest", "1").digest)
    assert (second.tags["k"], second.run_id, second.aliases, third.description) == ("v", full, [], "files of a run")
    assert tree(target, "models:/forest/3") == tree(source, "models:/forest/2")
    registered = target.get_registered_model("forest")
    assert registered.description == "of trees"
    assert {k: v for k, v in registered.tags.items() if "sync" not in k} == {"kind": "target", "team": "red"}
    assert sent(target.sync_from(source.tracking_uri, include_versions=True)) == {}
    assert target.sync_from(source.tracking_uri).left_versions == 0
    # What changes at the source comes, what somebody changed here stays.
    target.update_registered_model("forest", "of the target")
    source.set_registered_model_tag("forest", "kind", "source again")
    assert target.sync_from(source.tracking_uri, include_versions=True).changes == 1
    registered = target.get_registered_model("forest")
    assert (registered.description, registered.tags["kind"]) == ("of the target", "source again")
    source.update_registered_model("forest", "of many trees")
    target.sync_from(source.tracking_uri, include_versions=True)
    assert target.get_registered_model("forest").description == "of many trees"
    assert len(target.search_model_versions("name = 'forest'")) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("localhost", id="by another name")])
def test_the_same_store_is_refused(source, host):
    uri = source.tracking_uri
    other = Client(uri.replace("127.0.0.1", host))
    with other as client, pytest.raises(InvalidArgumentError, match="is the store to send to, too"):
        client.sync_from(uri)


def test_a_directory_without_a_store_is_refused_and_stays_as_it_is(target, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(InvalidArgumentError, match=r"it has no holdfast\.db"):
            target.sync_from(folder)
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "absent").exists()
    with pytest.raises(InvalidArgumentError, match="Name the store"):
        target.sync_from("")
