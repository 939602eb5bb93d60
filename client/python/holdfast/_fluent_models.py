"""Logged models and the registry, at the server that ``connect`` chose."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from holdfast import _active_run
from holdfast._connection import current_client
from holdfast._start_run import current_experiment_id
from holdfast.errors import InvalidArgumentError

if TYPE_CHECKING:
    import pandas as pd

    from holdfast.entities import LoggedModel, LoggedModelStatus, ModelVersion, RegisteredModel, RegistryChange


def initialize_logged_model(  # noqa: PLR0917 - MLflow's own signature
    name: str | None = None,
    source_run_id: str | None = None,
    tags: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    model_type: str | None = None,
    experiment_id: str | None = None,
) -> LoggedModel:
    """Begin a logged model, PENDING; ``finalize_logged_model`` ends it.

    Args:
        name: None to have one made up.
        source_run_id: The run that makes it; None for the active one, if there is one.
        tags: Labels.
        params: Inputs.
        model_type: Such as ``"classifier"``.
        experiment_id: Where it belongs; None for the run's, or else the experiment that runs begin in.
    """
    run = _active_run.active_run() if source_run_id is None else None
    client = current_client() if run is None else run.client
    source = source_run_id if run is None else run.info.run_id
    if experiment_id is None:
        # A run's own experiment is known to the server, and a worker's token names none.
        experiment_id = current_experiment_id() if source is None else ""
    return client.create_logged_model(experiment_id, name, source, tags, params, model_type)


def finalize_logged_model(
    model_id: str, status: LoggedModelStatus | str, *, status_message: str | None = None
) -> LoggedModel:
    """End writing a logged model, READY or FAILED; its artifacts never change again."""
    return current_client().finalize_logged_model(model_id, status, status_message=status_message)


def get_logged_model(model_id: str, *, allow_deleted: bool = False) -> LoggedModel:
    """Read a logged model; a deleted one with ``allow_deleted`` only."""
    return current_client().get_logged_model(model_id, allow_deleted=allow_deleted)


def delete_logged_model(model_id: str) -> None:
    """Mark a logged model as deleted. Versions registered from it stay."""
    current_client().delete_logged_model(model_id)


def set_logged_model_tags(model_id: str, tags: Mapping[str, Any]) -> None:
    """Set labels of a logged model."""
    current_client().set_logged_model_tags(model_id, tags)


def delete_logged_model_tag(model_id: str, key: str) -> None:
    """Remove a label of a logged model; one that is not there is passed over."""
    current_client().delete_logged_model_tag(model_id, key)


def log_model_params(params: Mapping[str, Any], model_id: str) -> None:
    """Add params to a logged model; those it has cannot change."""
    current_client().log_model_params(model_id, params)


@overload
def search_logged_models(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str | None = ...,
    datasets: Sequence[Mapping[str, str]] | None = ...,
    max_results: int | None = ...,
    order_by: Sequence[str | Mapping[str, Any]] | None = ...,
    *,
    output_format: Literal["list"],
) -> list[LoggedModel]: ...


@overload
def search_logged_models(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str | None = ...,
    datasets: Sequence[Mapping[str, str]] | None = ...,
    max_results: int | None = ...,
    order_by: Sequence[str | Mapping[str, Any]] | None = ...,
    output_format: str = ...,
) -> Any: ...


def search_logged_models(  # noqa: PLR0917 - MLflow's own signature
    experiment_ids: Sequence[str] | None = None,
    filter_string: str | None = None,
    datasets: Sequence[Mapping[str, str]] | None = None,
    max_results: int | None = None,
    order_by: Sequence[str | Mapping[str, Any]] | None = None,
    output_format: str = "pandas",
) -> pd.DataFrame | list[LoggedModel]:
    """Find logged models, newest first without an ordering; see ``Client.search_logged_models``.

    Args:
        experiment_ids: Where to look; None for the experiment that runs begin in.
        filter_string: Conditions joined by AND.
        datasets: Only what was measured on one of these.
        max_results: None for all.
        order_by: Such as ``["metrics.acc DESC"]``.
        output_format: ``"pandas"``: a DataFrame with a row for each model and a column for each of its attributes, or a
            list where pandas is missing; ``"list"``: a list of ``LoggedModel``.
    """
    if output_format not in ("pandas", "list"):
        raise InvalidArgumentError(f"output_format is 'pandas' or 'list', not {output_format!r}.")
    models = current_client().search_logged_models(
        experiment_ids or [current_experiment_id()], filter_string, datasets, max_results, order_by
    )
    if output_format == "list" or importlib.util.find_spec("pandas") is None:
        return models
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame([model.to_dictionary() for model in models])
    return frame


def register_model(
    model_uri: str,
    name: str,
    await_registration_for: float | None = 300,
    *,
    tags: Mapping[str, Any] | None = None,
    aliases: str | Sequence[str] = (),
) -> ModelVersion:
    """Register what ``model_uri`` names under the next number of ``name``, which is created when absent.

    Args:
        model_uri: ``runs:/<run_id>/<name or path>``, ``models:/<model_id>``, or the URI of another version.
        name: The registered model.
        await_registration_for: Seconds to wait until the version is READY; None or 0 to return at once.
        tags: Of the version.
        aliases: One or more that shall name it, from the same transaction on.
    """
    return current_client().create_model_version(
        name,
        model_uri,
        tags=tags,
        await_creation_for=await_registration_for,
        create_registered_model=True,
        aliases=aliases,
    )


def search_registered_models(
    max_results: int | None = None, filter_string: str | None = None, order_by: Sequence[str] | None = None
) -> list[RegisteredModel]:
    """Find registered models, such as ``filter_string="name LIKE 'ocr-%'"``; all that match without ``max_results``."""
    return current_client().search_registered_models(filter_string, max_results, order_by)


def search_model_versions(
    max_results: int | None = None, filter_string: str | None = None, order_by: Sequence[str] | None = None
) -> list[ModelVersion]:
    """Find versions, such as ``filter_string="name = 'ocr'"``; all that match without ``max_results``."""
    return current_client().search_model_versions(filter_string, max_results, order_by)


def set_model_version_tag(
    name: str,
    version: str | int | None = None,
    key: str | None = None,
    value: Any = None,
    *,
    stage: str | None = None,
) -> None:
    """Set a label of a version, given by number or as the newest in a stage."""
    current_client().set_model_version_tag(name, version, key, value, stage)


def set_alias(name: str, alias: str, version: str | int, *, expected: str | int | None = None) -> None:
    """Make an alias name a version, if it names what is expected now; ConflictError when somebody else was faster."""
    current_client().set_alias(name, alias, version, expected=expected)


def delete_alias(name: str, alias: str, *, expected: str | int | None = None) -> None:
    """Remove an alias, if it names what is expected."""
    current_client().delete_alias(name, alias, expected=expected)


def promote(name: str, version: str | int, aliases: str | Sequence[str] = (), **options: Any) -> ModelVersion:
    """Move aliases to a version and change it, all at once or not at all.

    Args:
        name: The registered model.
        version: The version to promote.
        aliases: Those that shall name it.
        options: ``expected``, ``removed_aliases``, ``tags``, ``deleted_tags``, ``description``, ``stage`` and
            ``archive_existing_versions``, as ``Client.promote`` has them.

    Raises:
        ConflictError: An alias names something else than expected; nothing was changed.
    """
    return current_client().promote(name, version, aliases, **options)


def get_model_history(
    name: str, version: str | int | None = None, max_results: int | None = None
) -> list[RegistryChange]:
    """Read what happened to a registered model, or to one version of it, newest first."""
    return current_client().get_model_history(name, version, max_results)
