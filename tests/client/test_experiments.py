"""Experiments through the client."""

from __future__ import annotations

import pytest

from holdfast.entities import ViewType
from holdfast.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError


def test_default_always_exists(client):
    experiment = client.get_experiment("0")
    assert (experiment.name, experiment.lifecycle_stage) == ("Default", "active")


def test_an_experiment_is_read_as_created(client, name):
    experiment_id = client.create_experiment(name, tags={"team": "ocr", "size": 3})
    experiment = client.get_experiment(experiment_id)
    assert (experiment.experiment_id, experiment.name) == (experiment_id, name)
    assert experiment.tags == {"team": "ocr", "size": "3"}
    assert experiment.creation_time > 1_600_000_000_000
    assert client.get_experiment_by_name(name) == experiment


def test_an_artifact_location_is_kept_and_told(client, name, tmp_path):
    there = client.get_experiment(client.create_experiment(name, "s3://bucket/here", {"team": "ocr"}))
    assert (there.artifact_location, there.tags) == ("s3://bucket/here", {"team": "ocr"})
    local = client.get_experiment(client.create_experiment(f"{name}-local", tmp_path))
    assert local.artifact_location == str(tmp_path)
    found = client.search_experiments(filter_string=f"name LIKE '{name}%'", order_by=["name"])
    assert found == [there, local]
    with pytest.raises(InvalidArgumentError, match="give tags by their name"):
        client.create_experiment(f"{name}-tags", {"team": "ocr"})


def test_a_taken_name_is_refused(client, name):
    client.create_experiment(name)
    with pytest.raises(AlreadyExistsError):
        client.create_experiment(name)


def test_missing_ones_differ_by_how_they_are_asked_for(client):
    assert client.get_experiment_by_name("no such experiment") is None
    with pytest.raises(NotFoundError) as info:
        client.get_experiment("99999999")
    assert info.value.reason == "EXPERIMENT_NOT_FOUND"


def test_deleting_and_restoring(client, name):
    experiment_id = client.create_experiment(name)
    client.delete_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"
    found = client.search_experiments(ViewType.DELETED_ONLY, filter_string=f"name = '{name}'")
    assert [experiment.experiment_id for experiment in found] == [experiment_id]
    client.restore_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "active"


def test_renaming_and_tags(client, name):
    experiment_id = client.create_experiment(name)
    client.rename_experiment(experiment_id, f"{name}-b")
    client.set_experiment_tag(experiment_id, "a", 1)
    client.set_experiment_tags(experiment_id, {"b": "2", "c": "3"})
    client.delete_experiment_tag(experiment_id, "c")
    experiment = client.get_experiment(experiment_id)
    assert (experiment.name, experiment.tags) == (f"{name}-b", {"a": "1", "b": "2"})


def test_searching_goes_on_over_pages(client, name):
    ids = [client.create_experiment(f"{name}-{number}") for number in range(5)]
    matching = f"name LIKE '{name}-%'"
    first = client.search_experiments(filter_string=matching, max_results=3, order_by=["name ASC"])
    assert [experiment.experiment_id for experiment in first] == ids[:3]
    rest = client.search_experiments(
        filter_string=matching, max_results=3, order_by=["name ASC"], page_token=first.token
    )
    assert [experiment.experiment_id for experiment in rest] == ids[3:]
    assert rest.token is None
    assert len(client.search_experiments(filter_string=matching, max_results=None)) == 5


@pytest.mark.parametrize("max_results", [0, -1, "3", 1.5])
def test_max_results_must_be_positive(client, max_results):
    with pytest.raises(InvalidArgumentError, match="max_results"):
        client.search_experiments(max_results=max_results)
