"""Module-level functions that act on the active run, or on the server that ``connect`` chose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from holdfast import _active_run
from holdfast._active_run import ActiveRun, active_run
from holdfast._checks import check_seconds, check_text
from holdfast._connection import connect, current_client, get_tracking_uri, set_tracking_uri
from holdfast._fluent_artifacts import (
    log_artifact,
    log_artifacts,
    log_bytes,
    log_dict,
    log_figure,
    log_image,
    log_stream,
    log_table,
    log_text,
    open_artifact,
)
from holdfast._fluent_autolog import autolog
from holdfast._fluent_experiments import (
    create_experiment,
    delete_experiment,
    delete_experiment_tag,
    get_experiment,
    get_experiment_by_name,
    rename_experiment,
    restore_experiment,
    search_experiments,
    set_experiment,
    set_experiment_tag,
    set_experiment_tags,
)
from holdfast._fluent_models import (
    delete_alias,
    delete_logged_model,
    delete_logged_model_tag,
    finalize_logged_model,
    get_logged_model,
    get_model_history,
    initialize_logged_model,
    log_model_params,
    promote,
    register_model,
    search_logged_models,
    search_model_versions,
    search_registered_models,
    set_alias,
    set_logged_model_tags,
    set_model_version_tag,
)
from holdfast._fluent_syncs import sync, sync_from
from holdfast._fluent_watches import watch_experiment, watch_model, watch_run
from holdfast._journal import processes
from holdfast._search_runs import iterate_runs, search_runs
from holdfast._start_run import require_run, start_run
from holdfast._system_metrics import (
    disable_system_metrics_logging,
    enable_system_metrics_logging,
    set_system_metrics_node_id,
    set_system_metrics_samples_before_logging,
    set_system_metrics_sampling_interval,
)
from holdfast.entities import LoggedModelInput, Metric, MetricBucket, Run, RunStatus
from holdfast.errors import InvalidArgumentError
from holdfast.format.names import MAX_RUN_TAG

if TYPE_CHECKING:
    from holdfast._client import Client
    from holdfast.entities import LoggedModel, LoggedModelOutput

__all__ = [
    "ActiveRun",
    "active_run",
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
    "open_artifact",
    "promote",
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
    "start_run",
    "sync",
    "sync_from",
    "watch_experiment",
    "watch_model",
    "watch_run",
]

_ENDS = (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)


def end_run(status: str = RunStatus.FINISHED) -> None:
    """End the active run; without one nothing happens.

    When the server cannot be told, the run stays active: call this again, or the program's end does.

    Raises:
        InvalidArgumentError: ``status`` is none of FINISHED, FAILED and KILLED.
    """
    if status not in _ENDS:
        raise InvalidArgumentError(f"{status!r} ends no run: FINISHED, FAILED and KILLED do.")
    run = active_run()
    if run is not None:
        _active_run.finish(run, RunStatus(status).value)


def last_active_run() -> Run | None:
    """Read the run that was active last in this process, going on or ended; None when none ever was."""
    run = _active_run.last_run()
    return None if run is None else run.refresh()


def get_run(run_id: str) -> Run:
    """Read a run whole, deleted or not."""
    return current_client().get_run(run_id)


def get_parent_run(run_id: str) -> Run | None:
    """Read the run that this one is nested in; None when it is in none."""
    return current_client().get_parent_run(run_id)


def delete_run(run_id: str) -> None:
    """Mark a run as deleted."""
    current_client().delete_run(run_id)


def restore_run(run_id: str) -> None:
    """Undo ``delete_run``."""
    current_client().restore_run(run_id)


def log_param(key: str, value: Any, synchronous: bool | None = None) -> Any:
    """Log a param of the active run, as text, and return its value.

    Raises:
        InvalidArgumentError: It has another value already.
    """
    client, run_id = _target(None, lambda: _check_params({key: value}))
    return client.log_param(run_id, key, value, synchronous)


def log_params(params: Mapping[str, Any], synchronous: bool | None = None, run_id: str | None = None) -> None:
    """Log params of the active run, or of ``run_id``; any number of them, 100 at a time."""
    client, run_id = _target(run_id, lambda: _check_params(params))
    client.log_params(run_id, params, synchronous=synchronous)


def log_metric(  # noqa: PLR0917 - MLflow's own signature
    key: str,
    value: float,
    step: int | None = None,
    synchronous: bool | None = None,
    timestamp: int | None = None,
    run_id: str | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> None:
    """Log one point.

    It is in the journal when this returns, a file of this process that survives it, and sent in the background.

    Args:
        key: The metric.
        value: A number, also NaN and infinities, or a tensor of one element.
        step: Position in training; 0 without one.
        synchronous: True to return when it is durable at the server.
        timestamp: When it was measured, milliseconds since 1970; None for now.
        run_id: The run; None for the active one.
        model_id: The logged model it describes.
        dataset: The dataset it was measured on, as ``log_input`` takes it.
    """
    name, digest = (None, None) if dataset is None else _dataset_key(dataset)
    run = active_run() if run_id is None else None
    if run is not None:
        client, run_id = run.client, run.info.run_id
    else:
        client, run_id = _target(run_id, lambda: _check_points([(key, value)], step, timestamp, model_id, name, digest))
    client.log_metric(run_id, key, value, timestamp, step, synchronous, name, digest, model_id)


def log_metrics(  # noqa: PLR0917 - MLflow's own signature
    metrics: Mapping[str, float],
    step: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
    timestamp: int | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> None:
    """Log points of one step and time; otherwise as ``log_metric``."""
    from holdfast._metrics import check_metrics

    name, digest = (None, None) if dataset is None else _dataset_key(dataset)
    points = check_metrics(metrics).items()
    client, run_id = _target(run_id, lambda: _check_points(points, step, timestamp, model_id, name, digest))
    client.log_metrics(
        run_id,
        metrics,
        step,
        timestamp=timestamp,
        synchronous=synchronous,
        model_id=model_id,
        dataset_name=name,
        dataset_digest=digest,
    )


def get_metric_history(
    run_id: str, key: str, *, min_step: int | None = None, max_step: int | None = None
) -> list[Metric]:
    """Read all points of a metric in order of step, time and arrival, or those from one step to another."""
    return current_client().get_metric_history(run_id, key, min_step=min_step, max_step=max_step)


def get_metric_chart(
    run_id: str, key: str, buckets: int = 1_000, *, min_step: int | None = None, max_step: int | None = None
) -> list[MetricBucket]:
    """Read a metric as a chart shows it: up to ``buckets`` ranges of steps with least, greatest and last value."""
    return current_client().get_metric_chart(run_id, key, buckets, min_step=min_step, max_step=max_step)


def set_tag(key: str, value: Any, synchronous: bool | None = None) -> None:
    """Set a label of the active run."""
    client, run_id = _target(None, lambda: _check_tags({key: value}))
    client.set_tag(run_id, key, value, synchronous)


def set_tags(tags: Mapping[str, Any], synchronous: bool | None = None) -> None:
    """Set labels of the active run."""
    client, run_id = _target(None, lambda: _check_tags(tags))
    client.set_tags(run_id, tags, synchronous=synchronous)


def delete_tag(key: str) -> None:
    """Remove a label of the active run; NotFoundError when it has none such."""
    client, run_id = _target(None, lambda: check_text(key, "tag"))
    client.delete_tag(run_id, key)


def log_input(
    dataset: Any = None,
    context: str | None = None,
    tags: Mapping[str, Any] | None = None,
    model: LoggedModel | LoggedModelInput | None = None,
) -> None:
    """Link a dataset, a logged model or both that the active run read.

    Args:
        dataset: ``holdfast.entities.Dataset``, or any object whose ``to_dict()`` has name, digest,
            source_type and source.
        context: Such as ``"train"``; kept as the label ``mlflow.data.context``.
        tags: Further labels of this use.
        model: The logged model.
    """
    log_inputs(
        None if dataset is None else [dataset],
        None if dataset is None else [context],
        None if dataset is None else [tags],
        None if model is None else [model],
    )


def log_inputs(
    datasets: Sequence[Any] | None = None,
    contexts: Sequence[str | None] | None = None,
    tags_list: Sequence[Mapping[str, Any] | None] | None = None,
    models: Iterable[LoggedModel | LoggedModelInput] | None = None,
) -> None:
    """Link datasets, each with its context and labels, and logged models that the active run read; all or none."""
    from holdfast._datasets import dataset_input_to_proto, dataset_inputs

    inputs = dataset_inputs(datasets, contexts, tags_list)
    links = [LoggedModelInput(model.model_id) for model in models or ()]
    client, run_id = _target(None, lambda: [dataset_input_to_proto(item) for item in inputs])
    client.log_inputs(run_id, inputs, links)


def log_outputs(models: Sequence[LoggedModelOutput] | None = None) -> None:
    """Link logged models that the active run produced; all or none."""
    client, run_id = _target(None, lambda: [output.model_id for output in models or ()])
    client.log_outputs(run_id, models or ())


def get_artifact_uri(artifact_path: str | None = None) -> str:
    """The URI of the active run's artifacts, or of one of them, whether it is there or not."""
    _, run_id = _target(None, lambda: None)
    return f"runs:/{run_id}/{artifact_path}" if artifact_path else f"runs:/{run_id}"


def flush(timeout: float | None = None) -> None:
    """Return when all that this process logged is durable at its servers, artifacts that are open for writing included.

    Args:
        timeout: Most seconds to wait in all, also while a server is away; None for 30.

    Raises:
        UnsentError: Something is not there; it says how much, and where that waits.
        UnavailableError: What an open artifact was given is not.
    """
    from holdfast._flushing import flush_process

    seconds = check_seconds(timeout, "timeout")
    flush_process(processes.END_SECONDS if seconds is None else seconds)


def _dataset_key(dataset: Any) -> tuple[str | None, str | None]:
    from holdfast._datasets import dataset_key

    return dataset_key(dataset)


# Protobuf is loaded when something is logged, not when this package is imported.
def _check_params(params: Mapping[str, Any]) -> None:
    from holdfast._runs import params_to_proto

    params_to_proto(params)


def _check_points(  # noqa: PLR0917 - as log_metrics has them
    points: Iterable[tuple[str, Any]],
    step: int | None,
    timestamp: int | None,
    model_id: str | None,
    name: str | None,
    digest: str | None,
) -> None:
    from holdfast._metrics import points_to_proto

    points_to_proto(points, step, timestamp, model_id=model_id, dataset_name=name, dataset_digest=digest)


def _check_tags(tags: Mapping[str, Any]) -> None:
    from holdfast._calls import tags_to_proto

    tags_to_proto(tags, MAX_RUN_TAG)


def _target(run_id: str | None, check: Callable[[], object]) -> tuple[Client, str]:
    """Which run is meant, and the client to reach it by: the active one stays with the server it began on.

    Args:
        run_id: None for the active one.
        check: Raises when what is to be logged breaks a rule. Called only where a run would begin for it, which must
            not be left behind; otherwise the client's own checks come soon enough.
    """
    if run_id is not None:
        return current_client(), run_id
    run = active_run()
    if run is None:
        check()
        run = require_run()
    return run.client, run.info.run_id
