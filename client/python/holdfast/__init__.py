"""Holdfast keeps what machine-learning runs produce: runs and their metrics, artifacts of any size, models, a registry.

::

    import holdfast

    holdfast.connect("holdfast://localhost:5600")  # or HOLDFAST_URI; without either a server of one's own
    with holdfast.start_run():
        holdfast.log_param("learning_rate", 0.01)
        holdfast.log_metric("loss", 0.3, step=1)
        holdfast.log_artifact("model.bin")

Names and behaviour follow MLflow 3. Importing this package loads nothing but itself: what a name needs is imported when
the name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast import artifacts, entities, errors, lightgbm, models, pyfunc, sklearn, tracking
    from holdfast._client import Client
    from holdfast.entities import Experiment, LoggedModel, ModelVersion, RegisteredModel, Run
    from holdfast.errors import HoldfastError
    from holdfast.fluent import (
        ActiveRun,
        active_run,
        autolog,
        connect,
        create_experiment,
        current_client,
        delete_alias,
        delete_experiment,
        delete_experiment_tag,
        delete_logged_model,
        delete_logged_model_tag,
        delete_run,
        delete_tag,
        disable_system_metrics_logging,
        enable_system_metrics_logging,
        end_run,
        finalize_logged_model,
        flush,
        get_artifact_uri,
        get_experiment,
        get_experiment_by_name,
        get_logged_model,
        get_metric_chart,
        get_metric_history,
        get_model_history,
        get_parent_run,
        get_run,
        get_tracking_uri,
        initialize_logged_model,
        iterate_runs,
        last_active_run,
        log_artifact,
        log_artifacts,
        log_bytes,
        log_dict,
        log_figure,
        log_image,
        log_input,
        log_inputs,
        log_metric,
        log_metrics,
        log_model_params,
        log_outputs,
        log_param,
        log_params,
        log_stream,
        log_table,
        log_text,
        open_artifact,
        promote,
        register_model,
        rename_experiment,
        require_run,
        restore_experiment,
        restore_run,
        search_experiments,
        search_logged_models,
        search_model_versions,
        search_registered_models,
        search_runs,
        set_alias,
        set_experiment,
        set_experiment_tag,
        set_experiment_tags,
        set_logged_model_tags,
        set_model_version_tag,
        set_system_metrics_node_id,
        set_system_metrics_samples_before_logging,
        set_system_metrics_sampling_interval,
        set_tag,
        set_tags,
        set_tracking_uri,
        start_run,
        sync,
        sync_from,
        watch_experiment,
        watch_model,
        watch_run,
    )
    from holdfast.tracking import MlflowClient

    __version__: str

__all__ = [
    "ActiveRun",
    "Client",
    "Experiment",
    "HoldfastError",
    "LoggedModel",
    "MlflowClient",
    "ModelVersion",
    "RegisteredModel",
    "Run",
    "__version__",
    "active_run",
    "artifacts",
    "autolog",
    "connect",
    "create_experiment",
    "current_client",
    "delete_alias",
    "delete_experiment",
    "delete_experiment_tag",
    "delete_logged_model",
    "delete_logged_model_tag",
    "delete_run",
    "delete_tag",
    "disable_system_metrics_logging",
    "enable_system_metrics_logging",
    "end_run",
    "entities",
    "errors",
    "finalize_logged_model",
    "flush",
    "get_artifact_uri",
    "get_experiment",
    "get_experiment_by_name",
    "get_logged_model",
    "get_metric_chart",
    "get_metric_history",
    "get_model_history",
    "get_parent_run",
    "get_run",
    "get_tracking_uri",
    "initialize_logged_model",
    "iterate_runs",
    "last_active_run",
    "lightgbm",
    "log_artifact",
    "log_artifacts",
    "log_bytes",
    "log_dict",
    "log_figure",
    "log_image",
    "log_input",
    "log_inputs",
    "log_metric",
    "log_metrics",
    "log_model_params",
    "log_outputs",
    "log_param",
    "log_params",
    "log_stream",
    "log_table",
    "log_text",
    "models",
    "open_artifact",
    "promote",
    "pyfunc",
    "register_model",
    "rename_experiment",
    "require_run",
    "restore_experiment",
    "restore_run",
    "search_experiments",
    "search_logged_models",
    "search_model_versions",
    "search_registered_models",
    "search_runs",
    "set_alias",
    "set_experiment",
    "set_experiment_tag",
    "set_experiment_tags",
    "set_logged_model_tags",
    "set_model_version_tag",
    "set_system_metrics_node_id",
    "set_system_metrics_samples_before_logging",
    "set_system_metrics_sampling_interval",
    "set_tag",
    "set_tags",
    "set_tracking_uri",
    "sklearn",
    "start_run",
    "sync",
    "sync_from",
    "tracking",
    "watch_experiment",
    "watch_model",
    "watch_run",
]

_SUBMODULES = frozenset({"artifacts", "entities", "errors", "lightgbm", "models", "pyfunc", "sklearn", "tracking"})
_HOMES = {
    "Client": "holdfast._client",
    "Experiment": "holdfast.entities",
    "HoldfastError": "holdfast.errors",
    "LoggedModel": "holdfast.entities",
    "MlflowClient": "holdfast.tracking",
    "ModelVersion": "holdfast.entities",
    "RegisteredModel": "holdfast.entities",
    "Run": "holdfast.entities",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    if name in _SUBMODULES:
        return importlib.import_module(f"holdfast.{name}")
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("holdfast")
    else:
        # What is not listed is a fluent function.
        value = getattr(importlib.import_module(_HOMES.get(name, "holdfast.fluent")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
