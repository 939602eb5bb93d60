"""Experiments, which are the same at both servers when they have the same name."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from holdfast._store_sync.context import StoreSync, pages
from holdfast._store_sync.marks import PREFIX, TagMarks
from holdfast.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError
from holdfast.v1 import experiment_pb2
from holdfast.v1 import experiment_service_pb2 as messages

# Of the target's Default, which always exists.
_DEFAULT_ID = "0"


class Place(NamedTuple):
    """Where something of the source belongs at the target.

    Attributes:
        experiment_id: The target's id of its experiment; of one that a dry run would create, "".
        is_gone: Whether the experiment is deleted at the source, and with it what is in it.
    """

    experiment_id: str
    is_gone: bool


class Places:
    """Where things belong, also those of experiments that are not to be sent: others that are sent may name them."""

    def __init__(self, sync: StoreSync) -> None:
        self._sync = sync
        self._others: dict[str, Place] = {}

    def of(self, experiment_id: str) -> Place:
        """Where something of an experiment belongs, which is created when it is not there.

        What is in a deleted experiment goes to Default, where it can be deleted without an experiment that shows.

        Args:
            experiment_id: The source's.

        Raises:
            FailedPreconditionError: The experiment is deleted at the target.
        """
        wanted = self._sync.experiment_ids.get(experiment_id)
        if wanted is not None:
            return Place(wanted, is_gone=False)
        found = self._others.get(experiment_id)
        if found is None:
            source, request = self._sync.source, messages.GetExperimentRequest(experiment_id=experiment_id)
            experiment = source.call(source.experiments.GetExperiment, request).experiment
            is_gone = experiment.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED
            found = Place(_DEFAULT_ID if is_gone else _sync(self._sync, experiment), is_gone)
            self._others[experiment_id] = found
        return found


def sync_experiments(sync: StoreSync, names: Collection[str] | None) -> None:
    """Find or create experiments, and note their ids at the target.

    Args:
        sync: What goes on.
        names: Only these; None for all.

    Raises:
        NotFoundError: One of ``names`` is not at the source.
    """
    found = _search(sync, experiment_pb2.VIEW_TYPE_ACTIVE_ONLY)
    missing = set(names or ()) - {experiment.name for experiment in found}
    if missing:
        raise NotFoundError(
            f"The source has no active experiment {min(missing)!r:.200}.", reason="EXPERIMENT_NOT_FOUND"
        )
    for experiment in found:
        if names is None or experiment.name in names:
            with sync.tally.noting("experiment", experiment.name):
                sync.experiment_ids[experiment.experiment_id] = _sync(sync, experiment)
    if names is None:
        sync.tally.left_deleted_experiments = len(_search(sync, experiment_pb2.VIEW_TYPE_DELETED_ONLY))


def _search(sync: StoreSync, view: experiment_pb2.ViewType) -> list[experiment_pb2.Experiment]:
    request = messages.SearchExperimentsRequest(view_type=view, order_by=["creation_time ASC"])
    search = sync.source.experiments.SearchExperiments
    found = pages(lambda request: sync.source.channel.call(search, request), request)
    return [experiment for page in found for experiment in page.experiments]


def _sync(sync: StoreSync, experiment: experiment_pb2.Experiment) -> str:
    """Create an experiment, or bring its tags up to date; returns its id at the target."""
    there = _find(sync, experiment.name)
    if there is None:
        sync.tally.experiments += 1
        there = _create(sync, experiment)
    if there.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED:
        raise FailedPreconditionError(
            f"Experiment {experiment.name!r:.200} is deleted at the server; restore it there, or rename the source's.",
            reason="DELETED",
        )
    # The experiment may have come from several stores, so each has labels of its own there.
    tags = {tag.key: tag.value for tag in there.tags}
    marks = TagMarks(tags, f"{PREFIX}.{sync.store_id}")
    for change in marks.changes({tag.key: tag.value for tag in experiment.tags}, tags):
        request = messages.SetExperimentTagsRequest(
            experiment_id=there.experiment_id, tags=change.tags, deleted_tag_keys=change.removed
        )
        sync.send(sync.target.experiments.SetExperimentTags, request, changes=change.count)
    return there.experiment_id


def _find(sync: StoreSync, name: str) -> experiment_pb2.Experiment | None:
    try:
        request = messages.GetExperimentRequest(name=name)
        found: experiment_pb2.Experiment = sync.target.call(sync.target.experiments.GetExperiment, request).experiment
    except NotFoundError:
        return None
    return found


def _create(sync: StoreSync, experiment: experiment_pb2.Experiment) -> experiment_pb2.Experiment:
    if sync.is_dry_run:
        return experiment_pb2.Experiment(name=experiment.name)
    try:
        request = messages.CreateExperimentRequest(name=experiment.name, artifact_location=experiment.artifact_location)
        made: experiment_pb2.Experiment = sync.target.call(sync.target.experiments.CreateExperiment, request).experiment
    except AlreadyExistsError:  # since we looked
        found = _find(sync, experiment.name)
        assert found is not None
        return found
    return made
