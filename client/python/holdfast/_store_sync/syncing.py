"""Sends a store to another server."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from holdfast._channel import Channel
from holdfast._config import Target, parse_target
from holdfast._store_sync.context import Side, StoreSync
from holdfast._store_sync.experiments import Places, sync_experiments
from holdfast._store_sync.models import Models
from holdfast._store_sync.registry import count_versions, sync_versions
from holdfast._store_sync.runs import Runs
from holdfast._store_sync.tally import Tally
from holdfast._transfer.progress import Progress
from holdfast.entities import SyncedStore
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

if TYPE_CHECKING:
    from holdfast._client import Client

DATABASE = "holdfast.db"


def sync_store(
    target: Client,
    source: str | os.PathLike[str],
    *,
    experiments: Collection[str] | None,
    include_deleted: bool,
    include_versions: bool,
    dry_run: bool,
) -> SyncedStore:
    """Send what a store holds and the target lacks; see ``Client.sync_from``."""
    from holdfast._journal.syncing import sync as sync_journals

    found = _find(source, target.channel.target)
    # What was logged for the source and is not there yet goes there first.
    journals = sync_journals(dry_run=dry_run, wanted=lambda owner: owner.uri == found.uri)
    with _opened(found) as channel, Progress("syncing") as progress:
        sync = StoreSync(
            source=Side(channel),
            target=Side(target.channel),
            store_id=_store_id(channel, target.channel),
            tally=Tally(),
            progress=progress,
            include_deleted=include_deleted,
            is_dry_run=dry_run,
            is_selective=experiments is not None,
        )
        sync_experiments(sync, experiments)
        places = Places(sync)
        runs = Runs(sync, places)
        models = Models(sync, places, runs)
        models.sync()
        runs.sync(models.ensure)
        if include_versions:
            sync_versions(sync, models.ensure)
        else:
            sync.tally.left_versions = count_versions(sync)
    counts = {field.name: getattr(sync.tally, field.name) for field in dataclasses.fields(sync.tally)}
    return SyncedStore(
        source=found.uri,
        uri=target.channel.target.uri,
        store_id=sync.store_id,
        journals=journals,
        is_dry_run=dry_run,
        **counts,
    )


def _find(source: str | os.PathLike[str], target: Target) -> Target:
    """The server that the source names.

    Raises:
        InvalidArgumentError: It names none, or a directory without a store, or the target itself.
    """
    if not os.fspath(source):
        raise InvalidArgumentError("Name the store to send: its data directory, or the URI of its server.")
    found = parse_target(source)
    if found.data_dir is not None and not (found.data_dir / DATABASE).is_file():
        raise InvalidArgumentError(
            f"{found.data_dir} is no data directory of Holdfast: it has no {DATABASE}. The default one is called "
            ".holdfast, and is where the program ran."
        )
    if found.uri == target.uri:
        raise _same(found)
    return found


@contextlib.contextmanager
def _opened(source: Target) -> Iterator[Channel]:
    channel = Channel(source)
    try:
        yield channel
    finally:
        channel.close()


def _store_id(source: Channel, target: Channel) -> str:
    """Names the source's data.

    Raises:
        InvalidArgumentError: The target has the same data, or the source is a server that cannot say what it has.
    """
    request = pb.GetCapabilitiesRequest()
    store_id, other = (
        channel.call(channel.stub(ArtifactServiceStub).GetCapabilities, request).store_id
        for channel in (source, target)
    )
    if not store_id:
        raise InvalidArgumentError(f"The server of {source.target.uri} is too old to be synced from; update it first.")
    if store_id == other:
        raise _same(source.target)
    return store_id


def _same(source: Target) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{source.uri} is the store to send to, too: name another server by HOLDFAST_URI or --uri, as in "
        "holdfast --uri holdfast://host:5600 sync --from .holdfast"
    )
