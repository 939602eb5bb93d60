"""Opens packages of a server: says where they come from, and checks what a registered version pins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import DataLossError, NotFoundError
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

# Where a version does not pin its directory by itself, but the whole run: with more entries than this the directory is
# listed and not checked.
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
    entries, small = _entries(client, snapshot, resolved.version, cache)
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
    client: Client, snapshot: SnapshotFiles, version: pb.ResolvedVersion, cache: ModelCache | None
) -> tuple[list[artifact_pb.Entry], dict[str, bytes]]:
    """Entries of the snapshot, checked against what ``version`` pins if it is set, and contents of small files."""
    if snapshot.location.path and version.tree_digest:
        return _entries_of_directory(snapshot, version)
    pinned = version.tree_digest
    if cache is not None and not snapshot.location.path:
        key = pinned or _tree_digest(client, snapshot.location)
        known = cache.get_tree(key)
        if known is not None and _digest_of(known) == key:
            return known, {}
        entries, small = snapshot.list_with_small_files()
        _check_pinned(entries, key)
        cache.put_tree(key, entries)
        return entries, small
    entries, small = snapshot.list_with_small_files()
    if pinned:
        _check_pinned(entries, pinned)
    return entries, small


def _entries_of_directory(
    snapshot: SnapshotFiles, version: pb.ResolvedVersion
) -> tuple[list[artifact_pb.Entry], dict[str, bytes]]:
    """The same of a directory that is a version, or is inside one."""
    if version.directory_digest and snapshot.location.path == version.directory:
        entries, small = snapshot.list_with_small_files()
        _check_pinned(entries, version.directory_digest, directory=version.directory)
        return entries, small
    if version.directory_digest:
        listed = snapshot.list_directory(version.directory, MAX_PINNED_ENTRIES)
        if listed is not None:
            _check_pinned(listed, version.directory_digest, directory=version.directory)
            return listed, {}
    try:
        whole = snapshot.list_directory("", MAX_PINNED_ENTRIES)
    except NotFoundError:  # the role is on the registered model alone, which shows the directory and nothing beside it
        whole = None
    if whole is None:
        return snapshot.list_with_small_files()
    _check_pinned(whole, version.tree_digest)
    return whole, {}


def _tree_digest(client: Client, location: artifact_pb.ArtifactLocation) -> bytes:
    method = client.channel.stub(ArtifactServiceStub).GetTree
    return client.channel.call(method, pb.GetTreeRequest(owner=location.owner, sequence=location.sequence)).tree.digest


def _digest_of(entries: Iterable[artifact_pb.Entry], directory: str = "") -> bytes:
    start = len(directory) + 1 if directory else 0
    items = [
        _Item(e.path[start:], e.kind == artifact_pb.ENTRY_KIND_DIRECTORY, e.executable, e.size, e.digest)
        for e in entries
    ]
    return tree_digest(sorted(items, key=lambda item: item.path.encode()))


def _check_pinned(entries: Iterable[artifact_pb.Entry], pinned: bytes, *, directory: str = "") -> None:
    if _digest_of(entries, directory) != pinned:
        raise DataLossError(
            "The files of this model are not those that were registered: together they do not have the digest that the "
            "version pins. The server's store was changed or is damaged; `holdfast fsck` looks at it.",
            reason="DATA_LOSS",
        )
