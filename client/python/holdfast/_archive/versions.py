"""Model versions as archives."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast._archive.documents import from_document, to_document
from holdfast._archive.members import FORMAT, FORMAT_VERSION, HEAD, damaged, not_ours
from holdfast._archive.models import import_model, model_document
from holdfast._archive.reader import Archive
from holdfast._archive.trees import TreeEntry, TreeExport, digest_of, read_entries
from holdfast._archive.writer import new_archive
from holdfast._calls import build
from holdfast._names import check_registered_model_name
from holdfast._registry import model_version_from_proto, version_number
from holdfast._transfer.progress import Progress
from holdfast._wholes import read_model
from holdfast.entities import ModelVersion
from holdfast.errors import AlreadyExistsError, DataLossError, NotFoundError
from holdfast.v1 import model_pb2, registered_model_pb2
from holdfast.v1 import model_registry_service_pb2 as messages
from holdfast.v1.model_registry_service_pb2_grpc import ModelRegistryServiceStub

if TYPE_CHECKING:
    from holdfast._client import Client

KIND = "model_version"


def export_version(client: Client, name: str, version: str | int, path: Path) -> ModelVersion:
    """Write a version with all its files to ``path``; returns what was exported."""
    request = build(messages.GetModelVersionRequest, name=name, version=version_number(version))
    method = client.channel.stub(ModelRegistryServiceStub).GetModelVersion
    found = client.channel.call(method, request).model_version
    (location,) = client.artifacts.locate(f"models:/{found.name}/{found.version}")
    with Progress("exporting") as shown, new_archive(path) as archive:
        archive.add_document(
            HEAD, {"format": FORMAT, "format_version": FORMAT_VERSION, "kind": KIND, "name": found.name}
        )
        archive.add_document("version.json", _document_of(found))
        if found.model_id:
            with contextlib.suppress(NotFoundError):  # deleted, or gone
                archive.add_document("model.json", model_document(read_model(client.channel, found.model_id)))
        digest = TreeExport(client.channel, archive, shown).add("entries.jsonl", location)
        if not found.path and digest != found.tree.digest.hex():
            raise DataLossError(
                f"The files of version {found.version} of {found.name!r} are not those that were registered. "
                "`holdfast fsck --deep` tells what is damaged.",
                reason="DATA_LOSS",
            )
    return model_version_from_proto(found)


def _document_of(version: registered_model_pb2.ModelVersion) -> dict[str, Any]:
    """What of a version stays as it is, and is told to everybody who may read it: archives of one are equal."""
    kept = registered_model_pb2.ModelVersion()
    kept.CopyFrom(version)
    if kept.path:
        kept.tree.ClearField("file_count")
        kept.tree.ClearField("total_size")
    return to_document(kept, "aliases", "stage", "update_time")


def import_version(client: Client, path: Path, name: str | None, experiment_id: str) -> ModelVersion:
    """Register the version that an archive holds, once, however often it is imported."""
    archive = Archive(path)
    if archive.head.get("kind") != KIND:
        raise not_ours(f"it holds no model version, but {archive.head.get('kind')!r:.40}")
    version = from_document(archive.document("version.json"), registered_model_pb2.ModelVersion())
    has_model = archive.has("model.json")
    model = from_document(archive.document("model.json") if has_model else {}, model_pb2.LoggedModel())
    entries = read_entries(archive, "entries.jsonl")
    if {entry.digest for entry in entries if not entry.is_directory} != archive.digests:
        raise not_ours("it has files that nothing names")
    if not version.path and digest_of(entries) != version.tree.digest.hex():
        raise damaged("its files are not those of the version")
    target = check_registered_model_name(name or version.name)
    model_id = _place(client, archive, version, model, entries, experiment_id=experiment_id)
    return client.create_model_version(
        target,
        f"models:/{model_id}",
        version.run_id,
        {tag.key: tag.value for tag in version.tags},
        run_link=version.run_link,
        description=version.description,
        create_registered_model=True,
        import_id=archive.id,
    )


def _place(
    client: Client,
    archive: Archive,
    version: registered_model_pb2.ModelVersion,
    model: model_pb2.LoggedModel,
    entries: list[TreeEntry],
    *,
    experiment_id: str,
) -> str:
    """A logged model with the files: under the id that it had, unless that is something else here."""
    made = f"m-{archive.id[:32]}"
    model.status = model_pb2.LOGGED_MODEL_STATUS_READY
    # Files of a run, or of a part of a model, become a model of their own.
    kept = made if version.path else version.tree.owner.model_id or made
    for model_id in dict.fromkeys([kept, made]):
        model.model_id = model_id
        try:
            return import_model(client, archive, model, entries, experiment_id=experiment_id)
        except AlreadyExistsError:
            if model_id == made:
                raise
    raise AssertionError("there is always an id to try")
