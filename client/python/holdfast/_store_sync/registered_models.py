"""Descriptions and tags of registered models, which several stores may have sent versions of."""

from __future__ import annotations

import hashlib

from holdfast._store_sync.context import Side, StoreSync
from holdfast._store_sync.marks import PREFIX, TagMarks
from holdfast.errors import NotFoundError
from holdfast.v1 import experiment_pb2, registered_model_pb2
from holdfast.v1 import model_registry_service_pb2 as messages
from holdfast.v1.model_registry_service_pb2_grpc import ModelRegistryServiceStub


def sync_registered_model(sync: StoreSync, name: str) -> None:
    """Send description and tags as far as they changed at the source since they were sent.

    The first time, what the target has is left alone, as it may be somebody else's.
    """
    source = _find(sync.source, name)
    registry = sync.target.channel.stub(ModelRegistryServiceStub)
    there = _find(sync.target, name)
    if source is None or (there is None and not sync.is_dry_run):  # none of its versions could be sent
        return
    there = there or registered_model_pb2.RegisteredModel()
    tags = {tag.key: tag.value for tag in there.tags}
    own = f"{PREFIX}.{sync.store_id}"
    label = f"{own}.description"
    digest = hashlib.sha256(source.description.encode()).hexdigest()[:12]
    if tags.get(label, "" if source.description else digest) != digest:
        is_free = label in tags or not there.description
        request = messages.UpdateRegisteredModelRequest(
            name=name,
            description=source.description if is_free else None,
            tags=[experiment_pb2.Tag(key=label, value=digest)],
        )
        is_change = is_free and there.description != source.description
        sync.send(registry.UpdateRegisteredModel, request, changes=int(is_change))
    for change in TagMarks(tags, own).changes({tag.key: tag.value for tag in source.tags}, tags):
        request = messages.UpdateRegisteredModelRequest(name=name, tags=change.tags, deleted_tag_keys=change.removed)
        sync.send(registry.UpdateRegisteredModel, request, changes=change.count)


def _find(side: Side, name: str) -> registered_model_pb2.RegisteredModel | None:
    method = side.channel.stub(ModelRegistryServiceStub).GetRegisteredModel
    request = messages.GetRegisteredModelRequest(name=name)
    try:
        found: registered_model_pb2.RegisteredModel = side.call(method, request).registered_model
    except NotFoundError:
        return None
    return found
