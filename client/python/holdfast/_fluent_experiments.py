"""Choosing and keeping experiments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast import _connection
from holdfast._connection import current_client
from holdfast._start_run import get_or_create_experiment, require_run
from holdfast.entities import Experiment, ViewType
from holdfast.errors import FailedPreconditionError, InvalidArgumentError


def set_experiment(
    experiment_name: str | None = None,
    experiment_id: str | None = None,
    *,
    tags: Mapping[str, Any] | None = None,
) -> Experiment:
    """Choose the experiment that runs begin in; one named here is created when absent.

    Args:
        experiment_name: Its name; or
        experiment_id: its id, which must exist.
        tags: Set on it.

    Raises:
        NotFoundError: There is none of this id.
        FailedPreconditionError: It is deleted; restore it first.
    """
    if (experiment_name is None) == (experiment_id is None):
        raise InvalidArgumentError("set_experiment takes either a name or an id.")
    client = current_client()
    if experiment_name is not None:
        experiment = get_or_create_experiment(client, experiment_name)
    else:
        experiment = client.get_experiment(str(experiment_id))
        if experiment.lifecycle_stage != "active":
            raise FailedPreconditionError(f"Experiment {experiment_id} is deleted; restore it with restore_experiment.")
    if tags:
        client.set_experiment_tags(experiment.experiment_id, tags)
        experiment = client.get_experiment(experiment.experiment_id)
    _connection.choose_experiment(experiment.experiment_id)
    return experiment


def create_experiment(
    name: str, artifact_location: str | os.PathLike[str] | None = None, tags: Mapping[str, Any] | None = None
) -> str:
    """Create an experiment and return its id; AlreadyExistsError when the name is taken.

    ``artifact_location`` is kept for tools that look there; artifacts are stored by the server, wherever it says.
    """
    return current_client().create_experiment(name, artifact_location, tags)


def get_experiment(experiment_id: str) -> Experiment:
    """Read an experiment, deleted or not."""
    return current_client().get_experiment(experiment_id)


def get_experiment_by_name(name: str) -> Experiment | None:
    """Read an experiment, deleted or not; None when there is none of this name."""
    return current_client().get_experiment_by_name(name)


def search_experiments(
    view_type: ViewType | int = ViewType.ACTIVE_ONLY,
    max_results: int | None = None,
    filter_string: str = "",
    order_by: Sequence[str] | None = None,
) -> list[Experiment]:
    """Find experiments; all that match without ``max_results``."""
    return current_client().search_experiments(view_type, max_results, filter_string, order_by)


def rename_experiment(experiment_id: str, new_name: str) -> None:
    """Give an experiment another name."""
    current_client().rename_experiment(experiment_id, new_name)


def delete_experiment(experiment_id: str) -> None:
    """Mark an experiment and its runs as deleted."""
    current_client().delete_experiment(experiment_id)


def restore_experiment(experiment_id: str) -> None:
    """Undo ``delete_experiment``."""
    current_client().restore_experiment(experiment_id)


def set_experiment_tag(key: str, value: Any) -> None:
    """Set a label of the experiment that the active run belongs to."""
    set_experiment_tags({key: value})


def set_experiment_tags(tags: Mapping[str, Any]) -> None:
    """Set labels of the experiment that the active run belongs to."""
    from holdfast._calls import tags_to_proto

    tags_to_proto(tags)  # raises before a run begins
    run = require_run()
    run.client.set_experiment_tags(run.info.experiment_id, tags)


def delete_experiment_tag(key: str) -> None:
    """Remove a label of the experiment that the active run belongs to; one that is not there is passed over."""
    from holdfast._checks import check_text

    check_text(key, "tag")  # raises before a run begins
    run = require_run()
    run.client.delete_experiment_tag(run.info.experiment_id, key)
