"""Logged models through the client."""

from __future__ import annotations

import pytest

from holdfast.entities import LoggedModelStatus
from holdfast.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError, UnavailableError


def test_files_of_a_model_are_logged_one_by_one_and_listed(client, experiment_id, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "sub" / "b.txt").write_text("b")
    model_id = client.create_logged_model(experiment_id).model_id
    client.log_model_artifact(model_id, tmp_path / "a.txt")
    client.log_model_artifact(model_id, tmp_path / "sub", "under")
    client.log_model_artifacts(model_id, tmp_path / "sub", "contents")
    assert [item.path for item in client.list_logged_model_artifacts(model_id)] == ["a.txt", "contents", "under"]
    assert [item.path for item in client.list_logged_model_artifacts(model_id, "under")] == ["under/sub"]
    assert [item.path for item in client.list_logged_model_artifacts(model_id, "contents")] == ["contents/b.txt"]


def test_a_model_goes_from_pending_to_ready(client, experiment_id, run_id):
    model = client.create_logged_model(
        experiment_id, name="forest", source_run_id=run_id, tags={"a": 1}, params={"depth": 3}, model_type="classifier"
    )
    assert model.model_id.startswith("m-")
    assert model.model_uri == f"models:/{model.model_id}"
    assert (model.name, model.source_run_id, model.model_type) == ("forest", run_id, "classifier")
    assert (model.tags, model.params) == ({"a": "1"}, {"depth": "3"})
    assert model.status == LoggedModelStatus.PENDING == "PENDING"
    ready = client.finalize_logged_model(model.model_id, "READY")
    assert ready.status.is_finalized()
    assert client.get_logged_model(model.model_id).status is LoggedModelStatus.READY
    with pytest.raises(FailedPreconditionError) as info:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
    assert info.value.reason == "MODEL_FINALIZED"


def test_a_failed_model_says_why(client, experiment_id):
    model = client.create_logged_model(experiment_id)
    assert model.name
    failed = client.finalize_logged_model(model.model_id, "FAILED", status_message="disk full")
    assert failed.status_message == "disk full"


def test_other_ends_are_refused(client, experiment_id):
    model = client.create_logged_model(experiment_id)
    with pytest.raises(InvalidArgumentError, match="READY or FAILED"):
        client.finalize_logged_model(model.model_id, "DONE")


def test_any_number_of_params_and_tags(client, experiment_id):
    params = {f"p{number:03}": str(number) for number in range(250)}
    tags = {f"t{number:03}": str(number) for number in range(130)}
    model = client.create_logged_model(experiment_id, "pipeline", params=params, tags=tags)
    assert (model.params, model.tags) == (params, tags)


def test_large_tags_go_in_several_requests(client, experiment_id):
    tags = {f"t{number:02}": "x" * 100_000 for number in range(20)}
    model = client.create_logged_model(experiment_id, "large", tags=tags)
    assert model.tags == tags
    client.set_logged_model_tags(model.model_id, dict.fromkeys(tags, "y" * 100_000))
    assert set(client.get_logged_model(model.model_id).tags.values()) == {"y" * 100_000}


def test_params_and_tags_are_added_later(client, experiment_id):
    model_id = client.create_logged_model(experiment_id, params={"a": 1}).model_id
    client.log_model_params(model_id, {"b": 2})
    client.set_logged_model_tags(model_id, {"x": "1", "y": "2"})
    client.delete_logged_model_tag(model_id, "x")
    model = client.get_logged_model(model_id)
    assert (model.params, model.tags) == ({"a": "1", "b": "2"}, {"y": "2"})
    with pytest.raises(InvalidArgumentError):
        client.log_model_params(model_id, {"a": 2})


def test_metrics_of_a_model_are_read_with_it(client, experiment_id, run_id):
    model_id = client.create_logged_model(experiment_id, source_run_id=run_id).model_id
    client.log_metric(run_id, "accuracy", 0.9, model_id=model_id, dataset_name="test", dataset_digest="abc")
    (metric,) = client.get_logged_model(model_id).metrics
    assert (metric.key, metric.value, metric.dataset_name, metric.model_id) == ("accuracy", 0.9, "test", model_id)


def test_deleted_models_are_not_found_until_restored(client, experiment_id):
    model_id = client.create_logged_model(experiment_id).model_id
    client.delete_logged_model(model_id)
    with pytest.raises(NotFoundError) as info:
        client.get_logged_model(model_id)
    assert info.value.reason == "MODEL_NOT_FOUND"
    client.restore_logged_model(model_id)
    assert client.get_logged_model(model_id).lifecycle_stage == "active"


def test_searching_models(client, experiment_id, run_id):
    ids = [client.create_logged_model(experiment_id, f"m{n}", params={"n": n}).model_id for n in range(3)]
    of_run = client.create_logged_model(experiment_id, "m3", source_run_id=run_id).model_id
    found = client.search_logged_models([experiment_id], "params.n = '1'")
    assert [model.model_id for model in found] == [ids[1]]
    assert [model.model_id for model in client.search_logged_models(source_run_id=run_id)] == [of_run]
    ordered = client.search_logged_models(
        experiment_id, order_by=[{"field_name": "name", "ascending": False}], max_results=2
    )
    assert [model.name for model in ordered] == ["m3", "m2"]
    rest = client.search_logged_models([experiment_id], order_by=["name DESC"], max_results=2, page_token=ordered.token)
    assert [model.name for model in rest] == ["m1", "m0"]
    with pytest.raises(InvalidArgumentError, match="ordering"):
        client.search_logged_models([experiment_id], order_by=[{"name": "x"}])


def test_models_show_themselves_in_notebooks(client, experiment_id):
    assert "forest" in client.create_logged_model(experiment_id, "forest")._repr_html_()


def test_a_param_that_will_be_refused_leaves_no_model(client, experiment_id):
    params = {**{f"p{number}": 1 for number in range(150)}, "a;b": 1}
    for options in ({"params": params}, {"params": {"a": "x" * 6_001}}, {"tags": {"a": "x" * 100_001}}):
        with pytest.raises(InvalidArgumentError):
            client.create_logged_model(experiment_id, "pipeline", **options)
    assert client.search_logged_models([experiment_id]) == []


def test_a_model_whose_later_params_fail_is_failed(client, experiment_id, monkeypatch):
    def fail(*args):
        raise UnavailableError("gone")

    monkeypatch.setattr(client, "_update", fail)
    with pytest.raises(UnavailableError, match="gone"):
        client.create_logged_model(experiment_id, params={f"p{number}": 1 for number in range(150)})
    (model,) = client.search_logged_models([experiment_id])
    assert (model.status, model.status_message) == ("FAILED", "UnavailableError: gone")
