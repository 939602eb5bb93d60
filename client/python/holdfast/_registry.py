"""The model registry as users see it and as it travels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast._calls import tags_from_proto, tags_to_proto
from holdfast._times import ms_from_proto
from holdfast.entities import ModelVersion, RegisteredModel, RegistryChange
from holdfast.errors import InvalidArgumentError
from holdfast.format.names import MAX_MODEL_TAG, MAX_REGISTRY_BYTES, registry_bytes
from holdfast.v1 import experiment_pb2, registered_model_pb2, registry_change_pb2

_STATUS_PREFIX = "MODEL_VERSION_STATUS_"
_KIND_PREFIX = "REGISTRY_CHANGE_KIND_"
_STAGES = {
    registered_model_pb2.MODEL_STAGE_NONE: "None",
    registered_model_pb2.MODEL_STAGE_STAGING: "Staging",
    registered_model_pb2.MODEL_STAGE_PRODUCTION: "Production",
    registered_model_pb2.MODEL_STAGE_ARCHIVED: "Archived",
}


def model_version_from_proto(proto: registered_model_pb2.ModelVersion) -> ModelVersion:
    """A version as users see it."""
    return ModelVersion(
        name=proto.name,
        version=str(proto.version),
        creation_timestamp=ms_from_proto(proto.create_time),
        last_updated_timestamp=ms_from_proto(proto.update_time) if proto.HasField("update_time") else None,
        description=proto.description or None,
        user_id=proto.user_id or None,
        current_stage=_STAGES.get(proto.stage, "None"),
        source=proto.source,
        run_id=proto.run_id or None,
        model_id=proto.model_id or None,
        status=registered_model_pb2.ModelVersionStatus.Name(proto.status).removeprefix(_STATUS_PREFIX),
        status_message=proto.status_message or None,
        tags=tags_from_proto(proto.tags),
        aliases=list(proto.aliases),
        digest=proto.tree.digest.hex(),
        run_link=proto.run_link or None,
        principal=proto.principal or None,
    )


def registered_model_from_proto(proto: registered_model_pb2.RegisteredModel) -> RegisteredModel:
    """A registered model as users see it."""
    return RegisteredModel(
        name=proto.name,
        creation_timestamp=ms_from_proto(proto.create_time),
        last_updated_timestamp=ms_from_proto(proto.update_time) if proto.HasField("update_time") else None,
        description=proto.description or None,
        latest_versions=[model_version_from_proto(version) for version in proto.latest_versions],
        tags=tags_from_proto(proto.tags),
        aliases={alias.alias: str(alias.version) for alias in proto.aliases},
        pickle_forbidden=proto.pickle_forbidden,
    )


def version_number(version: str | int) -> int:
    """The number of a version given as number or text.

    Raises:
        InvalidArgumentError: It is neither.
    """
    text = str(version)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) < 2**63:
        raise InvalidArgumentError(f"A version is a whole number from 1, not {version!r}; use an alias for names.")
    return int(text)


def stage_names() -> list[str]:
    """All stages."""
    return list(_STAGES.values())


def stage_to_proto(stage: str) -> registered_model_pb2.ModelStage:
    """The wire's value of a stage, whatever its case.

    Raises:
        InvalidArgumentError: There is no such stage.
    """
    for number, name in _STAGES.items():
        if name.lower() == str(stage).lower():
            return number
    raise InvalidArgumentError(f"{stage!r} is no stage: it is one of {', '.join(_STAGES.values())}.")


def version_tags_to_proto(tags: Mapping[str, Any] | None, description: str = "") -> list[experiment_pb2.Tag]:
    """Tags of a version as they travel, all of them; a version's are never paged, so they are bounded together.

    Raises:
        InvalidArgumentError: One breaks a rule, or they are too large together.
    """
    protos = tags_to_proto(tags, MAX_MODEL_TAG)
    size = registry_bytes(description, {tag.key: tag.value for tag in protos})
    if size > MAX_REGISTRY_BYTES:
        raise InvalidArgumentError(
            f"Description and tags of a model version would be {size} bytes together; the limit is "
            f"{MAX_REGISTRY_BYTES}. Keep long texts as artifacts, or as tags of the logged model only: log it without "
            f"registered_model_name and register it afterwards.",
            reason="LIMIT_EXCEEDED",
            metadata={"limit": str(MAX_REGISTRY_BYTES)},
        )
    return protos


def expected_to_proto(version: str | int | None) -> int | None:
    """The wire's form of what an alias must name now: 0 for ``"absent"``, None for anything.

    Raises:
        InvalidArgumentError: It is no version.
    """
    if version is None or str(version) in {"0", "absent"}:
        return None if version is None else 0
    return version_number(version)


def registry_change_from_proto(proto: registry_change_pb2.RegistryChange) -> RegistryChange:
    """A change of the registry as users see it."""
    return RegistryChange(
        change_id=proto.change_id,
        timestamp=ms_from_proto(proto.change_time),
        kind=registry_change_pb2.RegistryChangeKind.Name(proto.kind).removeprefix(_KIND_PREFIX),
        name=proto.name,
        version=str(proto.version) if proto.version else None,
        key=proto.key or None,
        old_value=proto.old_value if proto.HasField("old_value") else None,
        new_value=proto.new_value if proto.HasField("new_value") else None,
        digest=proto.tree_digest.hex() or None,
        user_id=proto.user_id or None,
        principal=proto.principal or None,
    )
