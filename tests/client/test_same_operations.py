"""What one way of using Holdfast offers, the others do: fluent functions, the client, MLflow's names, and the stubs."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re
from pathlib import Path

import pytest
from tests.client.conftest import ServerThread, forget_connection

import holdfast
from holdfast import Client, MlflowClient
from holdfast.entities import LoggedModelOutput
from holdfast.entities._run_handle import RunHandle
from holdfast.errors import ConflictError, InvalidArgumentError

# Fluent functions that are about what a process keeps: its connection, its active run, its journals.
OF_THE_PROCESS = {
    "ActiveRun",
    "active_run",
    "connect",
    "current_client",
    "end_run",  # Client.set_terminated
    "get_artifact_uri",
    "get_tracking_uri",
    "initialize_logged_model",  # Client.create_logged_model
    "last_active_run",
    "register_model",  # Client.create_model_version
    "require_run",
    "set_experiment",
    "set_tracking_uri",
    "start_run",  # Client.create_run
    "sync",
    "autolog",
    "disable_system_metrics_logging",
    "enable_system_metrics_logging",
    "set_system_metrics_node_id",
    "set_system_metrics_samples_before_logging",
    "set_system_metrics_sampling_interval",
}
# Methods of a client that have no function of their own: `holdfast.current_client()` has them, and these are why.
OF_THE_CLIENT = {
    "about itself": {"channel", "close", "tracking_uri"},
    "fluent by another name": {
        "create_logged_model",
        "create_model_version",
        "create_run",
        "delete_registered_model_alias",
        "register_logged_model",
        "set_registered_model_alias",
        "set_terminated",
    },
    "in holdfast.artifacts": {"delete_artifacts", "download_artifacts", "list_artifacts"},
    "administration": {
        "check_storage",
        "collect_garbage",
        "create_token",
        "create_worker_token",
        "delete_principal",
        "get_caller",
        "get_storage_usage",
        "list_audit_records",
        "list_audit_segments",
        "list_grants",
        "list_principals",
        "list_tokens",
        "revoke_token",
        "set_grant",
        "set_principal",
        "verify_audit_log",
    },
    "about a run that is not active": {"log_batch", "update_run"},
    "files of a model, which log_model stores": {
        "list_logged_model_artifacts",
        "log_model_artifact",
        "log_model_artifacts",
    },
    "MLflow has them in its client only": {
        "copy_model_version",
        "create_registered_model",
        "delete_model_version",
        "delete_model_version_tag",
        "delete_registered_model",
        "delete_registered_model_tag",
        "get_latest_versions",
        "get_model_version",
        "get_model_version_by_alias",
        "get_model_version_download_uri",
        "get_model_version_stages",
        "get_registered_model",
        "rename_registered_model",
        "set_registered_model_tag",
        "transition_model_version_stage",
        "update_model_version",
        "update_registered_model",
    },
    "between servers": {"export_model_version", "export_run", "import_model_version", "import_run"},
    "beyond MLflow": {
        "list_live_artifacts",
        "restore_logged_model",
        "search_datasets",
        "tail_artifact",
        "validate_registered_model_name",
    },
}
# Of MLflow 3.17's MlflowClient, what is about tracking, logged models and the registry.
MLFLOW_CLIENT = """
    copy_model_version create_experiment create_logged_model create_model_version create_registered_model create_run
    delete_experiment delete_experiment_tag delete_logged_model delete_logged_model_tag delete_model_version
    delete_model_version_tag delete_registered_model delete_registered_model_alias delete_registered_model_tag
    delete_run delete_tag download_artifacts finalize_logged_model get_experiment get_experiment_by_name
    get_latest_versions get_logged_model get_metric_history get_model_version get_model_version_by_alias
    get_model_version_download_uri get_model_version_stages get_parent_run get_registered_model get_run
    list_artifacts list_logged_model_artifacts log_artifact log_artifacts log_batch log_dict log_figure log_image
    log_inputs log_metric log_model_artifact log_model_artifacts log_model_params log_outputs log_param log_stream
    log_table log_text rename_experiment rename_registered_model restore_experiment restore_run search_experiments
    search_logged_models search_model_versions search_registered_models search_runs set_experiment_tag
    set_logged_model_tags set_model_version_tag set_registered_model_alias set_registered_model_tag set_tag
    set_terminated tracking_uri transition_model_version_stage update_model_version update_registered_model
    update_run
"""
# The same of its fluent functions.
MLFLOW_FLUENT = """
    ActiveRun MlflowClient active_run create_experiment delete_experiment delete_experiment_tag
    delete_logged_model_tag delete_run delete_tag end_run finalize_logged_model get_artifact_uri get_experiment
    get_experiment_by_name get_logged_model get_parent_run get_run get_tracking_uri initialize_logged_model
    last_active_run log_artifact log_artifacts log_dict log_figure log_image log_input log_inputs log_metric
    log_metrics log_model_params log_outputs log_param log_params log_stream log_table log_text register_model
    search_experiments search_logged_models search_model_versions search_registered_models search_runs
    set_experiment set_experiment_tag set_experiment_tags set_logged_model_tags set_model_version_tag set_tag
    set_tags set_tracking_uri start_run
"""


# Parameters that one way of a call has and another has not, and why: the client's first, then those beside it.
ONE_WAY: dict[str, tuple[set[str], set[str]]] = {
    # The fluent functions mean the active run's experiment, or that which was chosen; a client is told.
    "delete_experiment_tag": ({"experiment_id"}, set()),
    "set_experiment_tag": ({"experiment_id"}, set()),
    "set_experiment_tags": ({"experiment_id"}, set()),
    "iterate_runs": (set(), {"experiment_names"}),
    # They return all, or a table of all; pages are the client's.
    "get_metric_history": ({"max_results", "page_token"}, set()),
    "get_model_history": ({"page_token"}, set()),
    "search_experiments": ({"page_token"}, set()),
    "search_model_versions": ({"page_token"}, set()),
    "search_registered_models": ({"page_token"}, set()),
    "search_runs": ({"page_token"}, {"experiment_names", "output_format"}),
    "search_logged_models": ({"fields", "page_token", "source_run_id", "view_type"}, {"output_format"}),
    # They take what describes itself; the client's are MLflow's, which take its parts.
    "log_inputs": (set(), {"contexts", "tags_list"}),
    "log_metric": ({"dataset_digest", "dataset_name"}, {"dataset"}),
    "log_metrics": ({"dataset_digest", "dataset_name"}, {"dataset"}),
    "log_stream": ({"stream"}, {"fileobj"}),
    "download_artifacts": ({"artifact_uri", "path"}, {"artifact_path"}),
}


def methods() -> set[str]:
    return {name for name in dir(Client) if not name.startswith("_")}


def test_mlflow_s_names_are_there():
    assert set(re.findall(r"\w+", MLFLOW_CLIENT)) - methods() == set()
    assert set(re.findall(r"\w+", MLFLOW_FLUENT)) - set(holdfast.__all__) == set()


def test_what_is_fluent_is_a_method_too():
    from holdfast import fluent

    assert set(fluent.__all__) - methods() == OF_THE_PROCESS, "make it a method too, or say above why not"


def test_what_is_a_method_is_fluent_or_left_out_for_a_reason():
    reasons = {name for names in OF_THE_CLIENT.values() for name in names}
    assert methods() - set(holdfast.__all__) == reasons, "make it a function too, or say above why not"


def parameters(call: object) -> set[str]:
    """What a call takes besides the object and the run that it is about."""
    taken = inspect.signature(call).parameters.values()
    return {parameter.name for parameter in taken if parameter.kind is not parameter.VAR_KEYWORD} - {"self", "run_id"}


def differing(calls: dict[str, object]) -> list[str]:
    """Calls that take other parameters than the client's method of the same name, beyond those above."""
    found = []
    for name, call in calls.items():
        of_client, beside = ONE_WAY.get(name, (set(), set()))
        theirs, ours = parameters(getattr(Client, name)), parameters(call)
        if theirs - ours - of_client or ours - theirs - beside:
            found.append(f"{name}: {sorted(theirs ^ ours)}")
    return found


def test_fluent_functions_take_what_the_client_s_methods_take():
    from holdfast import fluent

    passing_on = {"promote", "sync_from"}  # by **options
    names = set(fluent.__all__) & methods() - passing_on
    assert differing({name: getattr(fluent, name) for name in names}) == [], "add them, or say above why not"


def test_methods_of_a_run_take_what_the_client_s_take():
    own = {name: call for name, call in vars(RunHandle).items() if callable(call) and name in methods()}
    assert len(own) > 20
    assert differing(own) == [], "add them, or say above why not"


def test_what_is_stored_at_once_can_be_stored_in_the_background():
    storing = {name for name in vars(RunHandle) if name.startswith("log_")}
    files = {name for name in storing if {"artifact_file", "artifact_path"} & parameters(getattr(RunHandle, name))}
    ways = (Client, holdfast, RunHandle)
    lacking = {name for name in files for way in ways if "synchronous" not in parameters(getattr(way, name))}
    assert len(files) > len(lacking)
    # Rows are appended in order, and who passes a stream could not go on with it.
    assert lacking == {"log_stream", "log_table"}


def test_every_call_of_the_services_is_used_by_the_client():
    """Else something could only be done with raw stubs."""
    package = Path(holdfast.__file__).parent
    sources = "".join(path.read_text() for path in package.rglob("*.py") if "v1" not in path.parts)
    calls = [
        method.name
        for path in sorted((package / "v1").glob("*_service_pb2.py"))
        for service in importlib.import_module(f"holdfast.v1.{path.stem}").DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    assert len(calls) > 50
    # It is one of what ListLiveArtifacts lists.
    assert [name for name in calls if not re.search(rf"\b{name}\b", sources)] == ["GetLiveArtifact"]


def test_mlflow_s_client_is_one_of_the_server_that_was_chosen(server: ServerThread, monkeypatch, tmp_path):
    forget_connection(monkeypatch)
    holdfast.set_tracking_uri(server.uri)
    with holdfast.tracking.MlflowClient() as client:
        assert isinstance(client, Client)
        assert client.tracking_uri == server.uri
        assert client.get_experiment("0").name == "Default"
        assert pickle.loads(pickle.dumps(client)).tracking_uri == server.uri
    with MlflowClient(server.uri, registry_uri=server.uri) as client:
        assert client.tracking_uri == server.uri
    with pytest.raises(InvalidArgumentError, match="leave registry_uri out"):
        MlflowClient(registry_uri=str(tmp_path))
    holdfast.current_client().close()


def test_logged_models_are_fluent(fluent, client, name):
    experiment = holdfast.set_experiment(name)
    with holdfast.start_run() as run:
        model = holdfast.initialize_logged_model("forest", tags={"a": 1, "b": 2}, params={"depth": 3})
        holdfast.log_outputs([LoggedModelOutput(model.model_id, 4)])
        assert holdfast.get_artifact_uri("x/y") == f"runs:/{run.info.run_id}/x/y"
        holdfast.set_experiment_tag("team", "ocr")
        holdfast.delete_experiment_tag("team")
    assert (model.source_run_id, model.experiment_id) == (run.info.run_id, experiment.experiment_id)
    assert [output.step for output in holdfast.get_run(run.info.run_id).outputs.model_outputs] == [4]
    assert holdfast.get_experiment(experiment.experiment_id).tags == {}
    holdfast.log_model_params({"trees": 10}, model.model_id)
    holdfast.set_logged_model_tags(model.model_id, {"a": "x"})
    holdfast.delete_logged_model_tag(model.model_id, "b")
    assert holdfast.finalize_logged_model(model.model_id, "READY").status == "READY"
    (found,) = holdfast.search_logged_models(filter_string="params.trees = '10'", output_format="list")
    assert (found.tags, found.params) == ({"a": "x"}, {"depth": "3", "trees": "10"})
    frame = holdfast.search_logged_models([experiment.experiment_id])
    assert list(frame["model_id"]) == [model.model_id]
    other = holdfast.initialize_logged_model(source_run_id=run.info.run_id)
    assert other.experiment_id == experiment.experiment_id
    assert holdfast.initialize_logged_model().experiment_id == experiment.experiment_id
    holdfast.delete_logged_model(model.model_id)
    assert model.model_id not in [item.model_id for item in holdfast.search_logged_models(output_format="list")]
    with pytest.raises(InvalidArgumentError, match="'pandas' or 'list'"):
        holdfast.search_logged_models(output_format="json")


def test_the_registry_is_fluent(fluent, name):
    with holdfast.start_run() as run:
        holdfast.log_text("flavors: {}", "model/MLmodel")
    for _ in range(2):
        holdfast.register_model(f"runs:/{run.info.run_id}/model", name)
    holdfast.set_alias(name, "prod", 1, expected="absent")
    with pytest.raises(ConflictError):
        holdfast.promote(name, 2, "prod", expected={"prod": 2})
    assert holdfast.promote(name, 2, ["prod", "eu"], tags={"checked": "yes"}).aliases == ["eu", "prod"]
    holdfast.delete_alias(name, "eu", expected=2)
    holdfast.set_model_version_tag(name, 1, "old", "yes")
    (model,) = holdfast.search_registered_models(filter_string=f"name = '{name}'")
    assert model.aliases == {"prod": "2"}
    (version,) = holdfast.search_model_versions(filter_string=f"name = '{name}' AND tags.old = 'yes'")
    assert version.version == "1"
    assert [change.kind for change in holdfast.get_model_history(name, 2, 1)] == ["ALIAS_CHANGED"]


def test_runs_are_gone_through_fluently(fluent, name):
    holdfast.set_experiment(name)
    ids = []
    for _ in range(3):
        with holdfast.start_run() as run:
            ids.append(run.info.run_id)
    assert {run.info.run_id for run in holdfast.iterate_runs()} == set(ids)
    assert len(list(holdfast.iterate_runs(experiment_names=[name], filter_string=f"run_id = '{ids[0]}'"))) == 1


def test_single_files_of_a_model_are_stored_and_listed(client, experiment_id, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    model = client.create_logged_model(experiment_id)
    client.log_model_artifact(model.model_id, tmp_path / "folder" / "a.txt", "x")
    client.log_model_artifacts(model.model_id, tmp_path / "folder", "y")
    assert [entry.path for entry in client.list_logged_model_artifacts(model.model_id)] == ["x", "y"]
    assert [entry.path for entry in client.list_logged_model_artifacts(model.model_id, "y")] == ["y/a.txt"]
