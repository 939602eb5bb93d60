"""Opens packages of a server: says where they come from, and checks what a registered version pins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import DataLossError
from holdfast.format.digests import tree_digest
from holdfast.models._cache import ModelCache, chosen_cache
from holdfast.models._digest import FileDigest
from holdfast.models._sources import LocalFiles, PackageFiles, StoredFiles
from holdfast.models._trust import Origin
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

if TYPE_CHECKING:
    from holdfast._client import Client
    from holdfast._transfer.snapshot_files import SnapshotFiles

__all__ = ["open_remote"]

# A version of a directory of a run pins the whole run: with more entries than this only the directory is listed.
MAX_PINNED_ENTRIES = 100_000


class _Item(NamedTuple):
    """An entry as digests of trees see it."""

    path: str
    is_directory: bool
    executable: bool
    size: int
    digest: bytes


def open_remote(uri: str, dst_path: Path | None) -> tuple[PackageFiles, Origin]:
    """Find the package that ``uri`` names on the server of the fluent functions.

    Args:
        uri: Any artifact URI of a directory.
        dst_path: A directory to download it to; None to read files when they are asked for.

    Raises:
        NotFoundError: It is not there, or is a file.
        DataLossError: The files of a version are not those that were registered.
    """
    from holdfast import fluent

    client = fluent.current_client()
    resolved = client.artifacts.resolve_origin(uri)
    origin = _origin(client, resolved)
    snapshot = client.artifacts.snapshot(uri, resolved)
    cache = chosen_cache() if dst_path is None else None
    entries, small = _entries(client, snapshot, resolved.version.tree_digest, cache)
    prefix = f"{snapshot.location.path}/" if snapshot.location.path else ""
    found = {
        entry.path[len(prefix) :]: entry
        for entry in entries
        if entry.kind == artifact_pb.ENTRY_KIND_FILE and entry.path.startswith(prefix)
    }
    if dst_path is None:
        return StoredFiles(snapshot, found, small, cache), origin
    # Where this was resolved to, since an alias may move meanwhile.
    folder = client.artifacts.download_resolved(uri, resolved, dst_path)
    return LocalFiles(folder, {p: FileDigest(e.size, e.digest.hex()) for p, e in found.items()}), origin


def _origin(client: Client, resolved: pb.ResolveArtifactResponse) -> Origin:
    # Asked each time: a server may be started anew with authentication while this client lives.
    method = client.channel.stub(ArtifactServiceStub).GetCapabilities
    capabilities = client.channel.call(method, pb.GetCapabilitiesRequest())
    return Origin(
        authentication_enabled=capabilities.authentication_enabled,
        own_principal=capabilities.principal,
        logged_by=resolved.principal,
        forbidden_by=resolved.version.name if resolved.version.pickle_forbidden else "",
    )


def _entries(
    client: Client, snapshot: SnapshotFiles, pinned: bytes, cache: ModelCache | None
) -> tuple[list[artifact_pb.Entry], dict[str, bytes]]:
    """Entries of the snapshot, checked against ``pinned`` if that is not empty, and contents of small files."""
    is_root = not snapshot.location.path
    if cache is not None and is_root:
        key = pinned or _tree_digest(client, snapshot.location)
        known = cache.get_tree(key)
        if known is not None and _digest_of(known) == key:
            return known, {}
        entries, small = snapshot.list_with_small_files()
        _check_pinned(entries, key)
        cache.put_tree(key, entries)
        return entries, small
    if pinned and not is_root:
        whole = snapshot.list_whole_tree(MAX_PINNED_ENTRIES)
        if whole is not None:
            _check_pinned(whole, pinned)
            return whole, {}
    entries, small = snapshot.list_with_small_files()
    if pinned and is_root:
        _check_pinned(entries, pinned)
    return entries, small


def _tree_digest(client: Client, location: artifact_pb.ArtifactLocation) -> bytes:
    method = client.channel.stub(ArtifactServiceStub).GetTree
    return client.channel.call(method, pb.GetTreeRequest(owner=location.owner, sequence=location.sequence)).tree.digest


def _digest_of(entries: Iterable[artifact_pb.Entry]) -> bytes:
    items = [
        _Item(entry.path, entry.kind == artifact_pb.ENTRY_KIND_DIRECTORY, entry.executable, entry.size, entry.digest)
        for entry in entries
    ]
    return tree_digest(sorted(items, key=lambda item: item.path.encode()))


def _check_pinned(entries: Iterable[artifact_pb.Entry], pinned: bytes) -> None:
    if _digest_of(entries) != pinned:
        raise DataLossError(
            "The files of this model are not those that were registered: together they do not have the digest that the "
            "version pins. The server's store was changed or is damaged; `holdfast fsck` looks at it.",
            reason="DATA_LOSS",
        )
