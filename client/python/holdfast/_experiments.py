"""Experiments: conversion and calls."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from holdfast._calls import Calls, build, collect, tags_from_proto, tags_to_proto, texts
from holdfast._times import ms_from_proto
from holdfast.entities import DatasetSummary, Experiment, PagedList, ViewType
from holdfast.errors import InvalidArgumentError, NotFoundError
from holdfast.v1 import experiment_pb2, run_pb2
from holdfast.v1 import experiment_service_pb2 as messages
from holdfast.v1.experiment_service_pb2_grpc import ExperimentServiceStub

PAGE_SIZE = 1_000


def lifecycle_stage(stage: experiment_pb2.LifecycleStage) -> str:
    """MLflow's word for a stage."""
    return "deleted" if stage == experiment_pb2.LIFECYCLE_STAGE_DELETED else "active"


def view_type_to_proto(view_type: ViewType | int) -> experiment_pb2.ViewType:
    """The wire's value of a view type; the numbers are the same.

    Raises:
        InvalidArgumentError: There is no such view type.
    """
    try:
        return cast("experiment_pb2.ViewType", int(ViewType(view_type)))
    except ValueError:
        names = ", ".join(f"ViewType.{item.name}" for item in ViewType)
        raise InvalidArgumentError(f"{view_type!r:.80} is no view type: it is one of {names}.") from None


def experiment_from_proto(proto: experiment_pb2.Experiment) -> Experiment:
    """An experiment as users see it."""
    return Experiment(
        experiment_id=proto.experiment_id,
        name=proto.name,
        artifact_location=proto.artifact_location,
        lifecycle_stage=lifecycle_stage(proto.lifecycle_stage),
        tags=tags_from_proto(proto.tags),
        creation_time=ms_from_proto(proto.create_time),
        last_update_time=ms_from_proto(proto.update_time),
    )


def dataset_summary_from_proto(proto: run_pb2.DatasetSummary) -> DatasetSummary:
    """A dataset that runs read as users see it."""
    return DatasetSummary(proto.experiment_id, proto.name, proto.digest, proto.context or None)


def location_to_proto(location: str | os.PathLike[str] | None) -> str:
    """The wire's form of where a caller says that artifacts belong.

    Raises:
        InvalidArgumentError: It is neither a text nor a path; tags in its place are a likely mistake.
    """
    if location is None or isinstance(location, (str, os.PathLike)):
        return str(location or "")
    raise InvalidArgumentError(
        f"artifact_location is a text, not {type(location).__name__}; give tags by their name: tags={{...}}."
    )


class ExperimentCalls(Calls):
    """What a client does with experiments."""

    def create_experiment(
        self, name: str, artifact_location: str | os.PathLike[str] | None = None, tags: Mapping[str, Any] | None = None
    ) -> str:
        """Create an experiment and return its id.

        Args:
            name: Not taken yet.
            artifact_location: Kept with the experiment for tools that look there. Artifacts are stored by the server
                all the same, wherever it says.
            tags: At most 100 labels.

        Raises:
            AlreadyExistsError: The name is taken, perhaps by a deleted experiment.
        """
        request = build(
            messages.CreateExperimentRequest,
            name=name,
            artifact_location=location_to_proto(artifact_location),
            tags=tags_to_proto(tags),
        )
        return self._mutate(self._experiments.CreateExperiment, request).experiment.experiment_id

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Read an experiment, deleted or not.

        Raises:
            NotFoundError: There is none of this id.
        """
        request = build(messages.GetExperimentRequest, experiment_id=str(experiment_id))
        return experiment_from_proto(self._channel.call(self._experiments.GetExperiment, request).experiment)

    def get_experiment_by_name(self, name: str) -> Experiment | None:
        """Read an experiment, deleted or not; None when there is none of this name."""
        request = build(messages.GetExperimentRequest, name=name)
        try:
            return experiment_from_proto(self._channel.call(self._experiments.GetExperiment, request).experiment)
        except NotFoundError:
            return None

    def search_experiments(
        self,
        view_type: ViewType | int = ViewType.ACTIVE_ONLY,
        max_results: int | None = 1_000,
        filter_string: str | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[Experiment]:
        """Find experiments, such as ``"name LIKE 'ocr-%' AND tags.team = 'b'"``; newest first without an ordering.

        Args:
            view_type: Which lifecycle stages.
            max_results: None for all.
            filter_string: Conditions on ``name``, ``experiment_id``, ``creation_time``, ``last_update_time`` and
                ``tags.*``.
            order_by: Such as ``["name ASC"]``.
            page_token: ``token`` of the list before.
        """

        def fetch(page_size: int, token: str) -> tuple[Iterable[Experiment], str]:
            request = build(
                messages.SearchExperimentsRequest,
                filter=filter_string or "",
                order_by=texts(order_by),
                view_type=view_type_to_proto(view_type),
                page_size=page_size,
                page_token=token,
            )
            page = self._channel.call(self._experiments.SearchExperiments, request)
            return map(experiment_from_proto, page.experiments), page.next_page_token

        return collect(fetch, max_results=max_results, page_size=PAGE_SIZE, token=page_token)

    def search_datasets(
        self, experiment_ids: Sequence[str], max_results: int | None = None, page_token: str | None = None
    ) -> PagedList[DatasetSummary]:
        """Read which datasets the runs of some experiments read, each with what for, by experiment, name and digest.

        Args:
            experiment_ids: At least one.
            max_results: None for all.
            page_token: ``token`` of the list before.
        """
        self._settle()

        def fetch(page_size: int, token: str) -> tuple[Iterable[DatasetSummary], str]:
            request = build(
                messages.ListDatasetsRequest,
                experiment_ids=texts(experiment_ids),
                page_size=page_size,
                page_token=token,
            )
            page = self._channel.call(self._experiments.ListDatasets, request)
            return map(dataset_summary_from_proto, page.datasets), page.next_page_token

        return collect(fetch, max_results=max_results, page_size=PAGE_SIZE, token=page_token)

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Give an active experiment another name."""
        request = build(messages.UpdateExperimentRequest, experiment_id=str(experiment_id), name=new_name)
        self._mutate(self._experiments.UpdateExperiment, request)

    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment and its runs as deleted; ``restore_experiment`` undoes it."""
        request = build(messages.DeleteExperimentRequest, experiment_id=str(experiment_id))
        self._mutate(self._experiments.DeleteExperiment, request)

    def restore_experiment(self, experiment_id: str) -> None:
        """Undo ``delete_experiment``, also for the runs deleted with it."""
        request = build(messages.RestoreExperimentRequest, experiment_id=str(experiment_id))
        self._mutate(self._experiments.RestoreExperiment, request)

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        """Set a label of an active experiment."""
        self.set_experiment_tags(experiment_id, {key: value})

    def set_experiment_tags(self, experiment_id: str, tags: Mapping[str, Any]) -> None:
        """Set up to 100 labels at once."""
        request = build(messages.SetExperimentTagsRequest, experiment_id=str(experiment_id), tags=tags_to_proto(tags))
        self._mutate(self._experiments.SetExperimentTags, request)

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Remove a label; one that is not there is passed over."""
        request = build(messages.SetExperimentTagsRequest, experiment_id=str(experiment_id), deleted_tag_keys=[key])
        self._mutate(self._experiments.SetExperimentTags, request)

    @property
    def _experiments(self) -> ExperimentServiceStub:
        return self._channel.stub(ExperimentServiceStub)
