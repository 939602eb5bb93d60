"""What an embedded store holds is sent to a server once, however often; what it adds comes with the next time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest
from tests.client.store_contents import contents, tree
from tests.client.store_sync.syncing import MIB, sent
from tests.counting_proxy import counting_proxy

from holdfast._client import Client
from holdfast.entities import Metric
from holdfast.errors import NotFoundError
from holdfast.v1 import run_service_pb2
from holdfast.v1.run_service_pb2_grpc import RunServiceStub


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


def test_one_experiment_alone(source, target, full):
    synced = target.sync_from(source.tracking_uri, experiments="vision")
    assert (synced.runs, synced.models) == (1, 2)
    assert list(contents(target)["runs"]) == [full]
    with pytest.raises(NotFoundError, match="no active experiment 'absent'"):
        target.sync_from(source.tracking_uri, experiments=["vision", "absent"])


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
