"""What is refused on this side: in words of ours, and before anything begins that would be left behind."""

# ruff: noqa: ARG005 - the cases of a table have one form

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import holdfast
import holdfast.sklearn
from holdfast import _active_run, artifacts
from holdfast._names import check_logged_model_name, check_registered_model_name
from holdfast.entities import Metric
from holdfast.errors import InvalidArgumentError
from holdfast.format.names import MAX_MODEL_TAG, MAX_PARAM_VALUE, MAX_REGISTRY_BYTES, MAX_RUN_TAG, broken_key_rule
from holdfast_server.domain import names as server_names
from holdfast_server.domain.experiment import TagLimit
from holdfast_server.domain.model import MAX_MODEL_TYPE as SERVER_MODEL_TYPE
from holdfast_server.domain.run import MAX_PARAM_VALUE as SERVER_PARAM_VALUE
from holdfast_server.errors import InvalidArgument
from holdfast_server.services.sizes import MAX_REGISTRY_BYTES as SERVER_REGISTRY_BYTES

LONE = "a\ud800b"
NAMES = [
    "m", "a b", "é", "日本", "x" * 250, "a.b", "a;b", "m-1", "m-" + "0" * 31, "m-" + "G" * 32,
    "", " ", "\t", "\u3000", "\xa0", "m-" + "0" * 32, "x" * 251, "日" * 100, "a/b", "a:b", "a%b", "a@b", "a\\b",
    "a'b", 'a"b', ".", "..", " a", "a ", "a.", "a\n", "a\x7f", "a\x85", LONE, "a\u202eb", "a\uff0fb", "%2e", "C",
]  # fmt: skip


def accepts(check, value) -> bool:
    try:
        check(value)
    except (InvalidArgument, InvalidArgumentError):
        return False
    return True


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_client_and_server_refuse_the_same_model_names(name):
    assert accepts(check_registered_model_name, name) == accepts(server_names.check_registered_model_name, name)
    assert accepts(check_logged_model_name, name) == accepts(server_names.check_logged_model_name, name)


@given(st.text(st.characters(exclude_categories=()), max_size=260))
def test_client_and_server_refuse_the_same_names_and_keys(name):
    assert accepts(check_registered_model_name, name) == accepts(server_names.check_registered_model_name, name)
    assert accepts(check_logged_model_name, name) == accepts(server_names.check_logged_model_name, name)
    assert (not broken_key_rule(name)) == accepts(server_names.check_key, name)


def test_client_and_server_have_the_same_limits():
    assert MAX_PARAM_VALUE == SERVER_PARAM_VALUE
    assert (MAX_RUN_TAG, MAX_MODEL_TAG) == (TagLimit.RUN, TagLimit.MODEL)
    assert MAX_REGISTRY_BYTES == SERVER_REGISTRY_BYTES
    assert SERVER_MODEL_TYPE == 500


@pytest.mark.parametrize("name", ["m-" + "0" * 32, "  "])
def test_a_registered_model_name_is_refused_with_its_rule(client, name):
    with pytest.raises(InvalidArgumentError, match=r"refused: it must not") as caught:
        client.create_registered_model(name)
    assert caught.value.reason == "INVALID_NAME"


def model(**options):
    return holdfast.sklearn.log_model(LogisticRegression(), **options)


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(lambda f: holdfast.log_artifact(f, "../x"), id="log_artifact"),
        pytest.param(lambda f: holdfast.log_artifact(f.parent, symlinks="never"), id="log_artifact symlinks"),
        pytest.param(lambda f: holdfast.log_artifacts(f.parent, "a//b"), id="log_artifacts path"),
        pytest.param(lambda f: holdfast.log_text("x", "../x"), id="log_text path"),
        pytest.param(lambda f: holdfast.log_text(LONE, "x"), id="log_text"),
        pytest.param(lambda f: holdfast.log_dict({"a": object()}, "x.json"), id="log_dict"),
        pytest.param(lambda f: holdfast.log_dict({"a": object()}, "x.yaml"), id="log_dict yaml"),
        pytest.param(lambda f: holdfast.log_dict({}, 5), id="log_dict path"),
        pytest.param(lambda f: holdfast.log_table({"a": [1], "b": [1, 2]}, "x.json"), id="log_table"),
        pytest.param(lambda f: holdfast.log_table({"a": [1]}, "x.csv"), id="log_table path"),
        pytest.param(lambda f: holdfast.log_image(None), id="log_image"),
        pytest.param(lambda f: holdfast.log_figure(None, "x.png"), id="log_figure"),
        pytest.param(lambda f: holdfast.log_bytes("str", "x"), id="log_bytes"),
        pytest.param(lambda f: holdfast.log_stream("str", "x"), id="log_stream"),
        pytest.param(lambda f: holdfast.log_metric("a;b", 1), id="log_metric key"),
        pytest.param(lambda f: holdfast.log_metric("a", "one"), id="log_metric value"),
        pytest.param(lambda f: holdfast.log_metric("a", 1, step=1.5), id="log_metric step"),
        pytest.param(lambda f: holdfast.log_metric("a", 1, timestamp="x"), id="log_metric timestamp"),
        pytest.param(lambda f: holdfast.log_metrics([1]), id="log_metrics"),
        pytest.param(lambda f: holdfast.log_param("a;b", 1), id="log_param key"),
        pytest.param(lambda f: holdfast.log_param("a", LONE), id="log_param value"),
        pytest.param(lambda f: holdfast.log_params({"a": "x" * 6001}), id="log_params"),
        pytest.param(lambda f: holdfast.set_tag("k" * 251, 1), id="set_tag"),
        pytest.param(lambda f: holdfast.set_tags({"k": "x" * 8001}), id="set_tags"),
        pytest.param(lambda f: holdfast.set_experiment_tag("a;b", 1), id="set_experiment_tag"),
        pytest.param(lambda f: holdfast.log_input({"name": 5}), id="log_input"),
        pytest.param(lambda f: holdfast.start_run(run_name=5), id="start_run"),
        pytest.param(lambda f: model(name="a "), id="log_model name"),
        pytest.param(lambda f: model(name="a", model_type=5), id="log_model type"),
        pytest.param(lambda f: model(name="a", params={"a;b": 1}), id="log_model params"),
        pytest.param(lambda f: model(name="a", tags={"a": "x" * 100_001}), id="log_model tags"),
        pytest.param(lambda f: model(name="a", await_registration_for="3"), id="log_model await"),
        pytest.param(lambda f: model(name="a", registered_model_name="m-" + "0" * 32), id="log_model registered"),
        pytest.param(
            lambda f: model(name="a", registered_model_name="big", tags={f"t{i}": "x" * 90_000 for i in range(6)}),
            id="log_model version tags",
        ),
    ],
)
def test_what_is_refused_leaves_no_run_behind(fluent, log, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    last = _active_run.last_run()
    with pytest.raises(InvalidArgumentError):
        log(file)
    assert holdfast.active_run() is None
    assert _active_run.last_run() == last


def test_a_file_given_as_directory_leaves_no_run_behind(fluent, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        holdfast.log_artifacts(tmp_path / "file")
    assert holdfast.active_run() is None


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda c, r: c.get_run(5), "run_id"),
        (lambda c, r: c.get_run(LONE), "run_id"),
        (lambda c, r: c.create_experiment(5), "name"),
        (lambda c, r: c.create_experiment(LONE), "name"),
        (lambda c, r: c.get_experiment_by_name(LONE), "name"),
        (lambda c, r: c.create_run("0", run_name=5), "run_name"),
        (lambda c, r: c.create_run(LONE), "experiment_id"),
        (lambda c, r: c.update_run(r, name=LONE), "run_name"),
        (lambda c, r: c.log_text(5, "x", "f"), "run_id"),
        (lambda c, r: c.log_param(r, "k", LONE), "param 'k'"),
        (lambda c, r: c.set_tag(r, "k", LONE), "tag 'k'"),
        (lambda c, r: c.log_metric(r, "k", 1, model_id=5), "model_id"),
        (lambda c, r: c.log_batch(r, [Metric("k", 1, timestamp="x")]), "milliseconds"),
        (lambda c, r: c.delete_tag(r, LONE), "key"),
        (lambda c, r: c.search_runs(["0"], LONE), "filter_string"),
        (lambda c, r: c.search_runs(["0"], "", 9), "view type"),
        (lambda c, r: c.search_runs(["0"], order_by=[LONE]), "order_by"),
        (lambda c, r: c.search_runs(["0"], page_token=5), "page_token"),
        (lambda c, r: c.search_experiments(filter_string=5), "filter_string"),
        (lambda c, r: c.get_logged_model(5), "model_id"),
        (lambda c, r: c.create_logged_model("0", model_type=5), "model_type"),
        (lambda c, r: c.create_logged_model("0", name=5), "name"),
        (lambda c, r: c.get_registered_model(5), "name"),
        (lambda c, r: c.get_model_version_by_alias("m", 5), "alias"),
        (lambda c, r: c.create_model_version("m", 5), "source"),
        (lambda c, r: c.create_model_version("m", "runs:/x", await_creation_for="3"), "await_creation_for"),
        (lambda c, r: c.create_registered_model("m", description=LONE), "description"),
        (lambda c, r: c.list_artifacts(5), "run_id"),
        (lambda c, r: c.list_artifacts(r, LONE), "artifact_path"),
        (lambda c, r: c.download_artifacts(artifact_uri=LONE), "artifact_uri"),
        (lambda c, r: artifacts.load_text(LONE), "artifact_uri"),
        (lambda c, r: holdfast.log_artifact(__file__, run_id=5), "run_id"),
    ],
)
def test_values_of_other_types_are_refused_by_the_name_of_the_argument(fluent, client, run_id, call, argument):
    with pytest.raises(InvalidArgumentError, match=argument):
        call(client, run_id)
