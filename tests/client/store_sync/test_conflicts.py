"""What source and target do not agree on is told, or stays as it is, and everything else arrives."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.client.store_contents import contents, points
from tests.client.store_sync.syncing import sent, serving

from holdfast._client import Client
from holdfast.entities import Metric
from holdfast.errors import InvalidArgumentError


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
