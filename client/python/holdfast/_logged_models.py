"""Logged models: conversion and calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from holdfast._calls import (
    MAX_BATCH_PARAMS,
    MAX_BATCH_TAGS,
    Calls,
    batches,
    build,
    collect,
    tags_from_proto,
    tags_to_proto,
    texts,
)
from holdfast._experiments import lifecycle_stage, view_type_to_proto
from holdfast._metrics import metric_from_proto
from holdfast._names import MAX_STATUS_MESSAGE, check_logged_model_name, check_model_type
from holdfast._runs import params_to_proto
from holdfast._times import ms_from_proto
from holdfast._worker_reads import unless_worker
from holdfast.entities import LoggedModel, LoggedModelStatus, PagedList, ViewType
from holdfast.errors import HoldfastError, InvalidArgumentError
from holdfast.format.names import MAX_MODEL_TAG
from holdfast.v1 import experiment_pb2, model_pb2, run_pb2
from holdfast.v1 import model_service_pb2 as messages
from holdfast.v1.model_service_pb2_grpc import ModelServiceStub

PAGE_SIZE = 1_000
_STATUS_PREFIX = "LOGGED_MODEL_STATUS_"


def logged_model_from_proto(proto: model_pb2.LoggedModel) -> LoggedModel:
    """A logged model as users see it."""
    return LoggedModel(
        model_id=proto.model_id,
        experiment_id=proto.experiment_id,
        name=proto.name,
        artifact_location=f"models:/{proto.model_id}",
        creation_timestamp=ms_from_proto(proto.create_time),
        last_updated_timestamp=ms_from_proto(proto.update_time),
        model_type=proto.model_type or None,
        source_run_id=proto.source_run_id or None,
        status=LoggedModelStatus(model_pb2.LoggedModelStatus.Name(proto.status).removeprefix(_STATUS_PREFIX)),
        status_message=proto.status_message or None,
        lifecycle_stage=lifecycle_stage(proto.lifecycle_stage),
        tags=tags_from_proto(proto.tags),
        params={param.key: param.value for param in proto.params},
        metrics=[metric_from_proto(metric) for metric in proto.metrics],
        registrations=[(item.name, str(item.version)) for item in proto.registrations],
        principal=proto.principal or None,
    )


def status_to_proto(status: str) -> model_pb2.LoggedModelStatus:
    """The wire's value of a status.

    Raises:
        InvalidArgumentError: There is no such status.
    """
    try:
        number = model_pb2.LoggedModelStatus.Value(_STATUS_PREFIX + LoggedModelStatus(status).value)
        return cast("model_pb2.LoggedModelStatus", number)
    except ValueError:
        raise InvalidArgumentError(f"A logged model ends READY or FAILED, not {status!r}.") from None


class LoggedModelCalls(Calls):
    """What a client does with logged models."""

    def create_logged_model(  # noqa: PLR0917 - MLflow's own signature
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        model_type: str | None = None,
    ) -> LoggedModel:
        """Begin a model, PENDING; ``finalize_logged_model`` ends it.

        Args:
            experiment_id: An active experiment; ``""`` for that of ``source_run_id``.
            name: None to have one made up; none of ``/ : . % " '``.
            source_run_id: The run that logs it.
            tags: Any number of labels.
            params: Any number of inputs.
            model_type: Such as ``"classifier"``.
        """
        # Pipelines have more params than one request takes. The model is PENDING until all are there; what a later
        # request would be refused for is found here, before there is a model.
        first_params, *more_params = batches(params_to_proto(params), MAX_BATCH_PARAMS) or [[]]
        first_tags, *more_tags = batches(tags_to_proto(tags, MAX_MODEL_TAG), MAX_BATCH_TAGS) or [[]]
        if name:
            check_logged_model_name(name)
        if model_type:
            check_model_type(model_type)
        request = build(
            messages.CreateLoggedModelRequest,
            experiment_id=str(experiment_id),
            name=name or "",
            source_run_id=source_run_id or "",
            model_type=model_type or "",
            params=first_params,
            tags=first_tags,
        )
        model = self._mutate(self._models.CreateLoggedModel, request).model
        if not more_params and not more_tags:
            return logged_model_from_proto(model)
        try:
            self._update(model.model_id, more_params, more_tags)
        except BaseException as error:
            # Nobody has its id yet, so nobody else could end it. The first error says what went wrong.
            with contextlib.suppress(HoldfastError):
                message = f"{type(error).__name__}: {error}"[:MAX_STATUS_MESSAGE]
                self.finalize_logged_model(model.model_id, "FAILED", status_message=message)
            raise
        return unless_worker(lambda: self.get_logged_model(model.model_id), logged_model_from_proto(model))

    def get_logged_model(self, model_id: str, *, allow_deleted: bool = False) -> LoggedModel:
        """Read a model whole.

        Raises:
            NotFoundError: There is none of this id, or it is deleted and ``allow_deleted`` is not set.
        """
        self._settle()
        whole = model_pb2.LoggedModel()
        request = build(messages.GetLoggedModelRequest, model_id=model_id, allow_deleted=allow_deleted)
        while True:
            page = self._channel.call(self._models.GetLoggedModel, request)
            # Merging appends lists, which is how pages of a model continue each other.
            whole.MergeFrom(page.model)
            if not page.next_page_token:
                return logged_model_from_proto(whole)
            request.page_token = page.next_page_token

    def finalize_logged_model(
        self, model_id: str, status: LoggedModelStatus | str, *, status_message: str | None = None
    ) -> LoggedModel:
        """End writing a model, READY or FAILED; its artifacts never change again.

        Raises:
            FailedPreconditionError: It ended with another status before.
        """
        request = build(
            messages.FinalizeLoggedModelRequest,
            model_id=model_id,
            status=status_to_proto(status),
            status_message=status_message or "",
        )
        return logged_model_from_proto(self._mutate(self._models.FinalizeLoggedModel, request).model)

    def log_model_params(self, model_id: str, params: Mapping[str, Any]) -> None:
        """Add params to a model, 100 at a time; those it has cannot change."""
        self._update(model_id, batches(params_to_proto(params), MAX_BATCH_PARAMS), [])

    def set_logged_model_tags(self, model_id: str, tags: Mapping[str, Any]) -> None:
        """Set labels of a model, 100 at a time."""
        self._update(model_id, [], batches(tags_to_proto(tags, MAX_MODEL_TAG), MAX_BATCH_TAGS))

    def delete_logged_model_tag(self, model_id: str, key: str) -> None:
        """Remove a label; one that is not there is passed over."""
        request = build(messages.UpdateLoggedModelRequest, model_id=model_id, deleted_tag_keys=[key])
        self._mutate(self._models.UpdateLoggedModel, request)

    def delete_logged_model(self, model_id: str) -> None:
        """Mark a model as deleted. Versions registered from it stay."""
        self._mutate(self._models.DeleteLoggedModel, build(messages.DeleteLoggedModelRequest, model_id=model_id))

    def restore_logged_model(self, model_id: str) -> None:
        """Undo ``delete_logged_model``."""
        self._mutate(self._models.RestoreLoggedModel, build(messages.RestoreLoggedModelRequest, model_id=model_id))

    def search_logged_models(  # noqa: PLR0917 - MLflow's own signature
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str | None = None,
        datasets: Sequence[Mapping[str, str]] | None = None,
        max_results: int | None = 100,
        order_by: Sequence[str | Mapping[str, Any]] | None = None,
        page_token: str | None = None,
        *,
        source_run_id: str | None = None,
        view_type: ViewType | int = ViewType.ACTIVE_ONLY,
        fields: Sequence[str] | None = None,
    ) -> PagedList[LoggedModel]:
        """Find logged models, newest first without an ordering.

        Args:
            experiment_ids: At least one, unless ``source_run_id`` is given.
            filter_string: Conditions on ``metrics.*``, ``params.*``, ``tags.*`` and attributes such as ``name``.
            max_results: None for all.
            order_by: Such as ``["creation_timestamp DESC", "metrics.acc DESC DATASET 'iris'"]``, or MLflow's
                ``[{"field_name": …, "ascending": …, "dataset_name": …, "dataset_digest": …}]``.
            page_token: ``token`` of the list before.
            source_run_id: Only those that this run logged.
            view_type: Which lifecycle stages.
            datasets: Such as ``[{"dataset_name": "iris", "dataset_digest": "d1"}]``, the digest if it matters:
                conditions on metrics look only at what was measured on one of these; without such conditions, models
                are found that were measured on one.
            fields: What each model is to hold besides its attributes, such as ``["metrics.acc", "params"]``; None for
                everything.
        """
        self._settle()

        def fetch(page_size: int, token: str) -> tuple[Iterable[LoggedModel], str]:
            request = build(
                messages.SearchLoggedModelsRequest,
                experiment_ids=texts(experiment_ids),
                filter=filter_string or "",
                order_by=[_ordering(item) for item in ([order_by] if isinstance(order_by, str) else order_by or ())],
                source_run_id=source_run_id or "",
                view_type=view_type_to_proto(view_type),
                page_size=page_size,
                page_token=token,
                datasets=[_dataset(item) for item in datasets or ()],
                fields=texts(fields),
            )
            page = self._channel.call(self._models.SearchLoggedModels, request)
            models = (
                # A model too large for a page comes without its lists.
                self.get_logged_model(model.model_id, allow_deleted=True)
                if model.truncated
                else logged_model_from_proto(model)
                for model in page.models
            )
            return models, page.next_page_token

        return collect(fetch, max_results=max_results, page_size=PAGE_SIZE, token=page_token)

    def _update(
        self, model_id: str, params: Sequence[Sequence[run_pb2.Param]], tags: Sequence[Sequence[experiment_pb2.Tag]]
    ) -> None:
        for some_params in params:
            request = build(messages.UpdateLoggedModelRequest, model_id=model_id, params=some_params)
            self._mutate(self._models.UpdateLoggedModel, request)
        for some_tags in tags:
            request = build(messages.UpdateLoggedModelRequest, model_id=model_id, tags=some_tags)
            self._mutate(self._models.UpdateLoggedModel, request)

    @property
    def _models(self) -> ModelServiceStub:
        return self._channel.stub(ModelServiceStub)


def _ordering(item: str | Mapping[str, Any]) -> str:
    if isinstance(item, str):
        return item
    if "field_name" not in item or not item.keys() <= {"field_name", "ascending", "dataset_name", "dataset_digest"}:
        raise InvalidArgumentError(
            f"An ordering is a text, or has field_name, and may have ascending, dataset_name, dataset_digest: {item!r}."
        )
    name, digest = item.get("dataset_name"), item.get("dataset_digest")
    if digest and not name:
        raise InvalidArgumentError(f"An ordering with dataset_digest has dataset_name too: {item!r}.")
    dataset = (f" DATASET {_quoted(name)}" if name else "") + (f" DIGEST {_quoted(digest)}" if digest else "")
    return f"{item['field_name']} {'ASC' if item.get('ascending', True) else 'DESC'}{dataset}"


def _quoted(text: Any) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _dataset(item: Mapping[str, str]) -> messages.DatasetName:
    if not isinstance(item, Mapping) or not item.get("dataset_name"):
        raise InvalidArgumentError(f"A dataset to search has dataset_name and perhaps dataset_digest: {item!r:.80}.")
    return build(messages.DatasetName, name=item["dataset_name"], digest=item.get("dataset_digest") or "")
