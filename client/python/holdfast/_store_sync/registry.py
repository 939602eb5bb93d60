"""Registered versions: those that are asked for get the target's next numbers, each once."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

from holdfast._archive.trees import newest_digest
from holdfast._calls import MAX_BATCH_TAGS
from holdfast._own_tags import is_own
from holdfast._store_sync.context import HasModel, StoreSync, pages
from holdfast._store_sync.marks import PREFIX
from holdfast._store_sync.registered_models import sync_registered_model
from holdfast._wholes import read_model
from holdfast.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from holdfast.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    experiment_pb2,
    model_pb2,
    model_service_pb2,
    registered_model_pb2,
    run_service_pb2,
)
from holdfast.v1 import model_registry_service_pb2 as messages
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast.v1.model_registry_service_pb2_grpc import ModelRegistryServiceStub


def count_versions(sync: StoreSync) -> int:
    """How many of the source's versions that could be asked for are not at the target."""
    there = _sent_ids(sync)
    return sum(1 for version in _versions(sync) if _import_id(sync, version) not in there)


def sync_versions(sync: StoreSync, has_model: HasModel) -> None:
    """Register the source's versions at the target, under the numbers that come next there.

    Description and tags of the registered models come with them.

    Args:
        sync: What goes on.
        has_model: Makes sure that the target has a logged model of the source.
    """
    there = _sent_ids(sync)
    names: dict[str, None] = {}
    for version in _versions(sync):
        names[version.name] = None
        if _import_id(sync, version) not in there:
            with sync.tally.noting("version", f"{version.name}/{version.version}"):
                _Version(sync, version, has_model).send()
    for name in names:
        with sync.tally.noting("registered model", name):
            sync_registered_model(sync, name)


def _sent_ids(sync: StoreSync) -> set[str]:
    """What ``_import_id`` says of the versions that the target has of any store."""
    registry = sync.target.channel.stub(ModelRegistryServiceStub)
    request = messages.SearchModelVersionsRequest(filter=f"tags.`{PREFIX}` IS NOT NULL", page_size=10_000)
    found = pages(lambda r: sync.target.call(registry.SearchModelVersions, r), request)
    return {tag.value for page in found for version in page.model_versions for tag in version.tags if tag.key == PREFIX}


def _import_id(sync: StoreSync, version: registered_model_pb2.ModelVersion) -> str:
    """Names a version of the source at the target, for good."""
    return hashlib.sha256(f"{sync.store_id}\0{version.name}\0{version.version}".encode()).hexdigest()


def _versions(sync: StoreSync) -> Iterator[registered_model_pb2.ModelVersion]:
    """Versions of the experiments that are to be sent; of all, those as well whose run and model are gone."""
    channel = sync.source.channel
    search = channel.stub(ModelRegistryServiceStub).SearchModelVersions
    request = messages.SearchModelVersionsRequest(order_by=["name ASC", "version_number ASC"])
    for page in pages(lambda r: channel.call(search, r), request):
        for version in page.model_versions:
            if not sync.is_selective or _experiment_of(sync, version) in sync.experiment_ids:
                yield version


def _experiment_of(sync: StoreSync, version: registered_model_pb2.ModelVersion) -> str:
    """The source's id of the experiment that a version came from; empty when that is gone for good."""
    source = sync.source
    if version.model_id:
        with contextlib.suppress(NotFoundError):
            model = model_service_pb2.GetLoggedModelRequest(model_id=version.model_id, allow_deleted=True)
            return str(source.call(source.models.GetLoggedModel, model).model.experiment_id)
    if version.run_id:
        with contextlib.suppress(NotFoundError, InvalidArgumentError):  # a run of another server may be named
            run = run_service_pb2.GetRunRequest(run_id=version.run_id)
            return str(source.call(source.runs.GetRun, run).run.experiment_id)
    return ""


class _Version:
    """One version on its way."""

    def __init__(self, sync: StoreSync, version: registered_model_pb2.ModelVersion, has_model: HasModel) -> None:
        self._sync, self._version, self._has_model = sync, version, has_model
        self._registry = sync.target.channel.stub(ModelRegistryServiceStub)
        self._import_id = _import_id(sync, version)

    def send(self) -> None:
        """Register it, unless that was done.

        Raises:
            FailedPreconditionError: It cannot be sent; the message says how it can.
        """
        sync, version = self._sync, self._version
        if self._is_there():
            return
        tags = [tag for tag in version.tags if not is_own(tag.key)]
        if len(tags) >= MAX_BATCH_TAGS:
            raise FailedPreconditionError(
                f"Version {version.version} of {version.name!r:.200} has {len(tags)} tags, more than a request takes. "
                "Remove some at the source."
            )
        model_id = self._model_with_files()
        request = messages.CreateModelVersionRequest(
            name=version.name,
            source=f"models:/{model_id}",
            description=version.description,
            tags=[*tags, experiment_pb2.Tag(key=PREFIX, value=self._import_id)],
            create_registered_model=True,
            user_id=version.user_id,
            run_id=version.run_id,
            import_id=self._import_id,
        )
        sync.send(self._registry.CreateModelVersion, request)
        sync.tally.versions += 1

    def _is_there(self) -> bool:
        request = messages.SearchModelVersionsRequest(filter=f"tags.`{PREFIX}` = '{self._import_id}'", page_size=1)
        return bool(self._sync.target.call(self._registry.SearchModelVersions, request).model_versions)

    def _model_with_files(self) -> str:
        """A logged model at the target that has just the files of the version."""
        sync, version = self._sync, self._version
        if version.model_id and not version.path and self._has_model(version.model_id):
            owner = artifact_pb2.TreeOwner(model_id=version.model_id)
            if sync.is_dry_run or newest_digest(sync.target.channel, owner) == version.tree.digest.hex():
                return version.model_id
        return self._make_model()

    def _make_model(self) -> str:
        """The same where the version was made of files of a run, or its model is gone: it gets a model of its own."""
        sync, version = self._sync, self._version
        model_id = f"m-{self._import_id[:32]}"
        stub = sync.source.channel.stub(ArtifactServiceStub)
        uri = f"models:/{version.name}/{version.version}"
        (location,) = sync.source.call(
            stub.ResolveArtifact, artifact_service_pb2.ResolveArtifactRequest(uri=uri)
        ).locations
        there = self._find(model_id)
        if there is None:
            name = version.name.translate(str.maketrans("/:.%\"'", "______"))
            create = model_service_pb2.CreateLoggedModelRequest(name=name, model_id=model_id)
            sync.send(sync.target.models.CreateLoggedModel, create)
        elif there.status == model_pb2.LOGGED_MODEL_STATUS_READY:
            return model_id
        owner = artifact_pb2.TreeOwner(model_id=model_id)
        entries = sync.files.lacking(location, None if there is None else owner)
        if entries:
            sync.tally.bytes += sync.files.copy(location, entries, None if sync.is_dry_run else owner)
            sync.tally.files += len(entries)
        final = model_service_pb2.FinalizeLoggedModelRequest(
            model_id=model_id, status=model_pb2.LOGGED_MODEL_STATUS_READY
        )
        sync.send(sync.target.models.FinalizeLoggedModel, final)
        return model_id

    def _find(self, model_id: str) -> model_pb2.LoggedModel | None:
        try:
            return read_model(self._sync.target.channel, model_id)
        except NotFoundError:
            return None
