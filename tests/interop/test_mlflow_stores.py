"""The same calls to MLflow's own SQL stores and to a thin adapter on Holdfast, answered alike but for what is listed.

Needs a Python with MLflow and Holdfast: `make interop` makes one and runs this.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.interop.mlflow_python import MLFLOW_PYTHON, SECONDS, beside_mlflow
from tests.server_process import clean_environment, running_server

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mlflow.md"
SCENARIOS = (
    "experiments",
    "default_experiment",
    "search_experiments",
    "runs",
    "runs_of_deleted_experiments",
    "params_and_tags",
    "metrics",
    "metric_history",
    "inputs_and_outputs",
    "search_runs",
    "logged_models",
    "search_logged_models",
    "recorded_models",
    "registered_models",
    "search_registered_models",
    "versions",
    "stages",
    "aliases",
    "search_versions",
    "copies",
    "fluent_runs",
    "fluent_ends",
    "fluent_experiments",
    "fluent_searches",
    "fluent_artifacts",
    "fluent_datasets",
)
# Of the contracts, but of no scenario.
NOT_CALLED = {"link_traces_to_run", "_search_runs"}  # no traces; search_runs calls the other

# Of functions and methods: what belongs to things that Holdfast has no part of, or is passed by name.
CALLED_OTHERWISE = {
    "Client.create_model_version": "takes await_creation_for, model_id by name",
    "Client.create_registered_model": "lacks deployment_job_id",
    "Client.load_table": "is not there",
    "Client.update_registered_model": "lacks deployment_job_id",
    "artifacts.download_artifacts": "lacks tracking_uri, registry_uri",
    "artifacts.list_artifacts": "lacks tracking_uri",
    "create_experiment": "lacks trace_location",
    "lightgbm.save_model": "lacks mlflow_model, kwargs",
    "pyfunc.log_model": (
        "lacks infer_code_paths, resources, auth_policy, uv_project_path, uv_groups, uv_extras, prompts"
    ),
    "pyfunc.save_model": (
        "lacks infer_code_paths, mlflow_model, resources, auth_policy, uv_project_path, uv_groups, uv_extras, kwargs"
    ),
    "register_model": "lacks env_pack",
    "set_experiment": "lacks trace_location",
    "sklearn.save_model": "lacks mlflow_model",
}

pytestmark = beside_mlflow


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All scenarios, played to both sides."""
    directory = tmp_path_factory.mktemp("stores")
    with running_server("--data-dir", str(directory / "data"), "--port", "0") as server:
        run = subprocess.run(
            [MLFLOW_PYTHON, "-m", "tests.interop.differential", f"holdfast://{server.address}", str(directory)],
            cwd=ROOT,
            env={key: value for key, value in clean_environment().items() if key != "PYTHONPATH"},
            stdout=subprocess.PIPE,
            check=True,
            timeout=SECONDS,
        )
    return json.loads(run.stdout.decode().splitlines()[-1])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_stores_answer_alike_but_for_what_is_listed(compared, scenario):
    wrong = compared[scenario]["wrong"]
    assert not wrong, json.dumps(wrong[:3], indent=1)[:6_000]


def test_every_method_of_the_contracts_was_called(compared):
    assert set(compared) == {*SCENARIOS, "contract", "signatures"}
    called = {method for scenario in SCENARIOS for method in compared[scenario]["methods"]}
    assert set(compared["contract"]) - NOT_CALLED <= called


def test_functions_and_methods_are_called_as_mlflows(compared):
    assert compared["signatures"] == CALLED_OTHERWISE


def test_every_difference_is_in_the_page_and_no_other(compared):
    differs = {reason for scenario in SCENARIOS for reason in compared[scenario]["differs"]}
    listed = re.search(r"<!-- differences -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert listed is not None
    items = re.split(r"^- ", listed[1], flags=re.MULTILINE)
    assert {" ".join(item.split()) for item in items if item.strip()} == differs
