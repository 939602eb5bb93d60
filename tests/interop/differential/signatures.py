"""Which of MLflow's functions and methods are called otherwise with Holdfast."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import mlflow

import holdfast

FUNCTIONS = """
log_artifact log_artifacts log_text log_dict log_figure log_image log_table artifacts.list_artifacts
artifacts.download_artifacts artifacts.load_text artifacts.load_dict artifacts.load_image set_tracking_uri
get_tracking_uri set_experiment create_experiment get_experiment get_experiment_by_name search_experiments
delete_experiment set_experiment_tag set_experiment_tags start_run end_run active_run last_active_run get_run
get_parent_run delete_run search_runs log_param log_params log_metric log_metrics set_tag set_tags delete_tag log_input
log_inputs log_outputs get_artifact_uri delete_experiment_tag initialize_logged_model finalize_logged_model
get_logged_model search_logged_models log_model_params set_logged_model_tags delete_logged_model_tag
search_registered_models search_model_versions set_model_version_tag register_model models.infer_signature
models.get_model_info sklearn.log_model
sklearn.save_model sklearn.load_model pyfunc.load_model pyfunc.log_model pyfunc.save_model lightgbm.log_model
lightgbm.save_model lightgbm.load_model
"""
# Of MlflowClient, what Holdfast has no part of.
ELSEWHERE = (
    "trace",
    "prompt",
    "webhook",
    "assessment",
    "span",
    "mcp",
    "dataset",
    "workspace",
    "review_queue",
    "label_schema",
    "issue",
)


def odd_ones() -> dict[str, str]:
    """What is not there, lacks a parameter, or takes one in another place, with how."""
    names = FUNCTIONS.split()
    pairs = {name: (_attribute(mlflow, name), _attribute(holdfast, name)) for name in names}
    for name, method in vars(mlflow.MlflowClient).items():
        if callable(method) and not name.startswith("_") and not any(word in name for word in ELSEWHERE):
            pairs[f"Client.{name}"] = (method, getattr(holdfast.MlflowClient, name, None))
    found = {name: _difference(theirs, ours) for name, (theirs, ours) in pairs.items()}
    return {name: difference for name, difference in sorted(found.items()) if difference}


def _attribute(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part, None)
    return module


def _difference(theirs: Callable[..., Any], ours: Callable[..., Any] | None) -> str:
    if ours is None:
        return "is not there"
    wanted, offered = _parameters(theirs), _parameters(ours)
    lacking = [name for name in wanted if name not in offered]
    if lacking:
        return f"lacks {', '.join(lacking)}"
    by_place = [name for name, kind in wanted.items() if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    moved = [name for name, other in zip(by_place, offered, strict=False) if name != other]
    named = [name for name in by_place if offered[name] is inspect.Parameter.KEYWORD_ONLY]
    return f"takes {', '.join(named or moved)} by name" if named or moved else ""


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: parameter.kind for name, parameter in inspect.signature(function).parameters.items()}
