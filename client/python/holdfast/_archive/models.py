"""Logged models on their way into an archive, and out of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from holdfast._archive.documents import to_document
from holdfast._archive.reader import Archive
from holdfast._archive.trees import TreeEntry, TreeExport, digest_of, import_tree, newest_digest
from holdfast._archive.writer import ArchiveWriter
from holdfast._calls import MAX_BATCH_PARAMS, MAX_BATCH_TAGS, batches, build
from holdfast._own_tags import is_own
from holdfast._rpc_errors import is_interruption
from holdfast._wholes import whole_tree
from holdfast.entities import LoggedModel, LoggedModelStatus
from holdfast.errors import AlreadyExistsError, HoldfastError, NotFoundError
from holdfast.v1 import artifact_pb2, experiment_pb2, model_pb2, model_service_pb2
from holdfast.v1.model_service_pb2_grpc import ModelServiceStub

if TYPE_CHECKING:
    from holdfast._client import Client

# The archive that something comes from. While an import goes on it says so, and the same import may go on with it.
IMPORT_TAG = "holdfast.import"


def carried(tags: Iterable[experiment_pb2.Tag]) -> list[experiment_pb2.Tag]:
    """Tags that come along with what is imported: not those that say where it came from by an import or a sync."""
    return [tag for tag in tags if tag.key != IMPORT_TAG and not is_own(tag.key)]


def model_document(model: model_pb2.LoggedModel) -> dict[str, Any]:
    """What an archive keeps of a logged model itself: not what depends on the time or on other things."""
    return to_document(model, "metrics", "registrations", "truncated", "update_time")


def export_model(client: Client, archive: ArchiveWriter, trees: TreeExport, model: model_pb2.LoggedModel) -> None:
    """Add a logged model with its files. What was measured of it comes with the runs that did."""
    folder = f"models/{model.model_id}/"
    location = whole_tree(client.channel, artifact_pb2.TreeOwner(model_id=model.model_id))
    trees.add(f"{folder}entries.jsonl", location)
    archive.add_document(f"{folder}model.json", model_document(model))


def import_model(
    client: Client,
    archive: Archive,
    model: model_pb2.LoggedModel,
    entries: list[TreeEntry],
    *,
    experiment_id: str,
    source_run_id: str = "",
) -> str:
    """Make a logged model with these files and return its id; one that is there with the same files is that one.

    Raises:
        AlreadyExistsError: Another model has the id.
    """
    known = _find(client, model.model_id)
    if known is None:
        known = _create(client, archive, model, experiment_id, source_run_id)
    elif known.tags.get(IMPORT_TAG) != archive.id and not _has(client, model.model_id, entries):
        raise _other(model.model_id, "is another one")
    if known.status == LoggedModelStatus.PENDING:
        if known.tags.get(IMPORT_TAG) != archive.id:
            raise _other(model.model_id, "is being written")
        _complete(client, archive, model, entries)
    return model.model_id


def _complete(client: Client, archive: Archive, model: model_pb2.LoggedModel, entries: list[TreeEntry]) -> None:
    """Give a model all that it lacks, or leave none that can be seen."""
    try:
        _fill(client, archive, model, entries)
    except HoldfastError as error:
        if is_interruption(error):  # after which the same import can go on
            raise
        now = _find(client, model.model_id)
        if now is None or now.status == LoggedModelStatus.PENDING:
            with contextlib.suppress(HoldfastError):
                client.delete_logged_model(model.model_id)
            raise
        # The same import, somewhere else at the same time, was done first.
        if not _has(client, model.model_id, entries):
            raise


def _has(client: Client, model_id: str, entries: list[TreeEntry]) -> bool:
    return newest_digest(client.channel, artifact_pb2.TreeOwner(model_id=model_id)) == digest_of(entries)


def _find(client: Client, model_id: str) -> LoggedModel | None:
    try:
        return client.get_logged_model(model_id)
    except NotFoundError:
        return None


def _create(
    client: Client, archive: Archive, model: model_pb2.LoggedModel, experiment_id: str, source_run_id: str
) -> LoggedModel:
    from holdfast._logged_models import logged_model_from_proto

    request = build(
        model_service_pb2.CreateLoggedModelRequest,
        experiment_id=experiment_id,
        name=model.name,
        source_run_id=source_run_id,
        model_type=model.model_type,
        tags=[experiment_pb2.Tag(key=IMPORT_TAG, value=archive.id)],
        model_id=model.model_id,
        origin_unknown=True,  # whoever wrote the archive wrote the pickles in it
    )
    method = client.channel.stub(ModelServiceStub).CreateLoggedModel
    made = logged_model_from_proto(client.channel.call(method, request).model)
    if made.lifecycle_stage == "deleted":
        if made.tags.get(IMPORT_TAG) != archive.id:
            raise _other(model.model_id, "is deleted; restore it, or delete it for good")
        client.restore_logged_model(model.model_id)
    return made


def _fill(client: Client, archive: Archive, model: model_pb2.LoggedModel, entries: list[TreeEntry]) -> None:
    """Give a model that was just created, perhaps by an earlier attempt, all that it lacks."""
    owner = artifact_pb2.TreeOwner(model_id=model.model_id)
    method = client.channel.stub(ModelServiceStub).UpdateLoggedModel
    tags = carried(model.tags)
    for params in batches(list(model.params), MAX_BATCH_PARAMS):
        client.channel.call(method, model_service_pb2.UpdateLoggedModelRequest(model_id=model.model_id, params=params))
    for some in batches(tags, MAX_BATCH_TAGS):
        client.channel.call(method, model_service_pb2.UpdateLoggedModelRequest(model_id=model.model_id, tags=some))
    import_tree(client.channel, archive, entries, owner)
    if model.status == model_pb2.LOGGED_MODEL_STATUS_FAILED:
        client.finalize_logged_model(model.model_id, "FAILED", status_message=model.status_message)
    elif model.status == model_pb2.LOGGED_MODEL_STATUS_READY:
        client.finalize_logged_model(model.model_id, "READY")


def _other(model_id: str, what: str) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"There is a logged model {model_id}, which {what}. The archive's cannot be imported beside it.",
        reason="ALREADY_EXISTS",
        metadata={"model_id": model_id},
    )
