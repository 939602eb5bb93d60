"""Experiments, tags and lifecycles between messages and domain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from holdfast.v1 import experiment_pb2 as pb
from holdfast_server.domain.experiment import MAX_TAGS_PER_REQUEST, Experiment, Lifecycle, Tag, ViewType
from holdfast_server.domain.names import check_count, check_experiment_id
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.times import ms_from_proto, ms_to_proto

MAX_EXPERIMENTS = 10_000  # in one search
_LIFECYCLES = {
    Lifecycle.ACTIVE: pb.LIFECYCLE_STAGE_ACTIVE,
    Lifecycle.DELETED: pb.LIFECYCLE_STAGE_DELETED,
}
_FROM_LIFECYCLE: dict[int, Lifecycle] = {number: lifecycle for lifecycle, number in _LIFECYCLES.items()}
_VIEWS: dict[int, ViewType] = {
    pb.VIEW_TYPE_UNSPECIFIED: ViewType.ACTIVE_ONLY,
    pb.VIEW_TYPE_ACTIVE_ONLY: ViewType.ACTIVE_ONLY,
    pb.VIEW_TYPE_DELETED_ONLY: ViewType.DELETED_ONLY,
    pb.VIEW_TYPE_ALL: ViewType.ALL,
}


def lifecycle_to_proto(lifecycle: Lifecycle) -> Any:
    """A lifecycle as an enum value."""
    return _LIFECYCLES[lifecycle]


def lifecycle_from_proto(stage: int) -> Lifecycle:
    """A lifecycle from an enum value that this server made."""
    return _FROM_LIFECYCLE[stage]


def view_from_proto(view: int) -> ViewType:
    """What a search shall return; unspecified means active only.

    Raises:
        InvalidArgument: This server does not know the value.
    """
    found = _VIEWS.get(view)
    if found is None:
        raise InvalidArgument(f"{view} is no view type; use ACTIVE_ONLY, DELETED_ONLY or ALL.", field="view_type")
    return found


def experiment_ids_from_proto(ids: Collection[str]) -> tuple[int, ...]:
    """The experiments to search in, each once and in order, so that equal searches are equal.

    Raises:
        InvalidArgument: One is no experiment id, or there are too many.
    """
    check_count(len(ids), MAX_EXPERIMENTS, what="experiments", field="experiment_ids")
    return tuple(sorted({check_experiment_id(text, field="experiment_ids") for text in ids}))


def tag_pairs(tags: Collection[pb.Tag]) -> list[tuple[str, str]]:
    """Tags as a caller sent them, of which only the number is checked: a message has room for millions.

    Raises:
        InvalidArgument: LIMIT_EXCEEDED.
    """
    check_count(len(tags), MAX_TAGS_PER_REQUEST, what="tags", field="tags")
    return [(tag.key, tag.value) for tag in tags]


def tag_to_proto(tag: Tag) -> pb.Tag:
    """A tag as a message."""
    return pb.Tag(key=tag.key, value=tag.value)


def tags_to_proto(tags: Iterable[Tag]) -> list[pb.Tag]:
    """Tags as messages."""
    return [tag_to_proto(tag) for tag in tags]


def tags_from_proto(tags: Iterable[pb.Tag]) -> tuple[Tag, ...]:
    """Tags from messages that this server made."""
    return tuple(Tag(tag.key, tag.value) for tag in tags)


def experiment_to_proto(experiment: Experiment) -> pb.Experiment:
    """An experiment as a message."""
    return pb.Experiment(
        experiment_id=str(experiment.id),
        name=experiment.name,
        lifecycle_stage=lifecycle_to_proto(experiment.lifecycle),
        tags=tags_to_proto(experiment.tags),
        create_time=ms_to_proto(experiment.create_time),
        update_time=ms_to_proto(experiment.update_time),
        artifact_location=experiment.artifact_location,
    )


def experiment_from_proto(message: pb.Experiment) -> Experiment:
    """An experiment from a message that this server made."""
    return Experiment(
        id=int(message.experiment_id),
        name=message.name,
        lifecycle=lifecycle_from_proto(message.lifecycle_stage),
        tags=tags_from_proto(message.tags),
        create_time=ms_from_proto(message.create_time, field="create_time"),
        update_time=ms_from_proto(message.update_time, field="update_time"),
        artifact_location=message.artifact_location,
    )
