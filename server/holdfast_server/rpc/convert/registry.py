"""Registered models and versions between messages and domain values."""

from __future__ import annotations

from typing import Any

from holdfast.v1 import artifact_pb2
from holdfast.v1 import registered_model_pb2 as pb
from holdfast_server.domain.registry import (
    Alias,
    ModelVersion,
    RegisteredModel,
    ResolvedSource,
    Stage,
    VersionStatus,
)
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.experiments import tags_from_proto, tags_to_proto
from holdfast_server.rpc.convert.times import ms_from_proto, ms_to_proto
from holdfast_server.services.access import current_viewer

_STAGES = {stage: pb.ModelStage.Value(f"MODEL_STAGE_{stage.name}") for stage in Stage}
_FROM_STAGE: dict[int, Stage] = {number: stage for stage, number in _STAGES.items()}
_STATUSES = {
    VersionStatus.PENDING: pb.MODEL_VERSION_STATUS_PENDING_REGISTRATION,
    VersionStatus.FAILED: pb.MODEL_VERSION_STATUS_FAILED_REGISTRATION,
    VersionStatus.READY: pb.MODEL_VERSION_STATUS_READY,
}
_FROM_STATUS: dict[int, VersionStatus] = {number: status for status, number in _STATUSES.items()}


def stage_to_proto(stage: Stage) -> Any:
    """A stage as an enum value."""
    return _STAGES[stage]


def stage_from_proto(stage: int, *, field: str = "stage") -> Stage | None:
    """A stage; None for unspecified.

    Raises:
        InvalidArgument: This server does not know the value.
    """
    if stage == pb.MODEL_STAGE_UNSPECIFIED:
        return None
    found = _FROM_STAGE.get(stage)
    if found is None:
        raise InvalidArgument(f"{stage} is no stage; use NONE, STAGING, PRODUCTION or ARCHIVED.", field=field)
    return found


def version_to_proto(version: ModelVersion) -> pb.ModelVersion:
    """A version as a message."""
    return pb.ModelVersion(
        name=version.name,
        version=version.version,
        source=version.source_uri,
        run_id=version.run_id,
        model_id=version.source.model_id,
        tree=_tree_to_proto(version.source),
        path=version.source.path,
        status=_STATUSES[version.status],
        status_message=version.status_message,
        stage=stage_to_proto(version.stage),
        description=version.description,
        user_id=version.user_id,
        tags=tags_to_proto(version.tags),
        aliases=version.aliases,
        create_time=ms_to_proto(version.create_time),
        update_time=ms_to_proto(version.update_time),
        run_link=version.run_link,
        principal=version.source.principal,
        directory_digest=version.source.directory_digest,
    )


def version_from_proto(message: pb.ModelVersion) -> ModelVersion:
    """A version from a message that this server made."""
    tree = message.tree
    stage = stage_from_proto(message.stage)
    assert stage is not None, "an answer always has a stage"
    return ModelVersion(
        name=message.name,
        version=message.version,
        source_uri=message.source,
        run_id=message.run_id,
        source=ResolvedSource(
            owner=tree.owner.model_id or tree.owner.run_id,
            sequence=tree.sequence,
            tree_digest=tree.digest,
            path=message.path,
            run_id=message.run_id,
            model_id=message.model_id,
            file_count=tree.file_count,
            total_size=tree.total_size,
            principal=message.principal,
            directory_digest=message.directory_digest,
        ),
        status=_FROM_STATUS[message.status],
        status_message=message.status_message,
        stage=stage,
        description=message.description,
        user_id=message.user_id,
        tags=tags_from_proto(message.tags),
        aliases=tuple(message.aliases),
        create_time=ms_from_proto(message.create_time, field="create_time"),
        update_time=ms_from_proto(message.update_time, field="update_time"),
        run_link=message.run_link,
    )


def registered_model_to_proto(model: RegisteredModel) -> pb.RegisteredModel:
    """A registered model as a message."""
    return pb.RegisteredModel(
        name=model.name,
        description=model.description,
        tags=tags_to_proto(model.tags),
        aliases=[pb.Alias(alias=alias.alias, version=alias.version) for alias in model.aliases],
        latest_versions=[version_to_proto(version) for version in model.latest_versions],
        create_time=ms_to_proto(model.create_time),
        update_time=ms_to_proto(model.update_time),
        pickle_forbidden=model.pickle_forbidden,
    )


def registered_model_from_proto(message: pb.RegisteredModel, number: int = 0) -> RegisteredModel:
    """A registered model from a message that this server made; messages do not carry ``number``."""
    return RegisteredModel(
        number=number,
        name=message.name,
        description=message.description,
        tags=tags_from_proto(message.tags),
        aliases=tuple(Alias(alias.alias, alias.version) for alias in message.aliases),
        latest_versions=tuple(version_from_proto(version) for version in message.latest_versions),
        pickle_forbidden=message.pickle_forbidden,
        create_time=ms_from_proto(message.create_time, field="create_time"),
        update_time=ms_from_proto(message.update_time, field="update_time"),
    )


def _tree_to_proto(source: ResolvedSource) -> artifact_pb2.Tree:
    """The pinned tree. How much there is beside a version's directory is told to who may read the whole server."""
    viewer = current_viewer()
    is_sized = not source.path or viewer is None or viewer.sees_all
    is_model = source.owner.startswith("m-")
    owner = artifact_pb2.TreeOwner(model_id=source.owner) if is_model else artifact_pb2.TreeOwner(run_id=source.owner)
    return artifact_pb2.Tree(
        owner=owner,
        sequence=source.sequence,
        digest=source.tree_digest,
        file_count=source.file_count if is_sized else 0,
        total_size=source.total_size if is_sized else 0,
    )
