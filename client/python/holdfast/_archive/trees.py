"""Trees of artifacts in an archive: a list of entries, and each content once, by its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from holdfast._archive.members import damaged, not_ours
from holdfast._archive.reader import Archive
from holdfast._archive.writer import ArchiveWriter
from holdfast._channel import Channel
from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.progress import Progress
from holdfast._transfer.receiving import Parts, check_whole
from holdfast._transfer.receiving import damaged as damaged_file
from holdfast._transfer.sources import Source, check_artifact_path
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.trees import MAX_BATCHED, below
from holdfast._transfer.uploading import upload
from holdfast.errors import DataLossError
from holdfast.format.digests import tree_digest
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file or directory of a tree, by its path from the tree's root."""

    path: str
    is_directory: bool = False
    executable: bool = False
    size: int = 0
    digest: bytes = b""


class TreeExport:
    """Writes what trees hold to an archive."""

    def __init__(self, channel: Channel, archive: ArchiveWriter, progress: Progress) -> None:
        self._reader = BlockReader(channel)
        self._archive, self._progress = archive, progress

    def add(self, name: str, location: artifact_pb.ArtifactLocation) -> str:
        """Add the entries of a location as the member ``name``, and their contents; returns the digest of this tree.

        Raises:
            DataLossError: What came does not have its digest.
        """
        stopping = Stopping()
        return stopping.run(lambda: self._add(name, location, stopping))

    def _add(self, name: str, location: artifact_pb.ArtifactLocation, stopping: Stopping) -> str:
        entries = [_entry(entry, location) for entry in self._reader.list_entries(location, recursive=True)]
        entries.sort(key=lambda entry: entry.path.encode())
        with self._archive.lines(name) as write:
            for entry in entries:
                write(_line(entry))
        files = [entry for entry in entries if not entry.is_directory]
        self._progress.expect(sum(entry.size for entry in files), files=len(files))
        if files:
            self._add_contents(location, stopping)
        return tree_digest(entries).hex()

    def _add_contents(self, location: artifact_pb.ArtifactLocation, stopping: Stopping) -> None:
        large: list[artifact_pb.Entry] = []

        def take(entry: artifact_pb.Entry, data: bytes) -> bool:
            if entry.kind == artifact_pb.ENTRY_KIND_DIRECTORY:
                return True
            if entry.size > MAX_BATCHED:
                large.append(entry)
                return True
            if hashlib.sha256(data).digest() != entry.digest:
                raise damaged_file(entry.path)
            if self._archive.has_file(entry.digest):
                self._progress.save(entry.size)
                return True
            with self._archive.file(entry.digest) as write:
                write(data)
            self._progress.advance(entry.size)
            return True

        self._reader.read_files(location, take, stopping, max_data_size=MAX_BATCHED)
        for entry in large:
            self._add_large(location, entry, stopping)

    def _add_large(self, location: artifact_pb.ArtifactLocation, entry: artifact_pb.Entry, stopping: Stopping) -> None:
        if self._archive.has_file(entry.digest):
            self._progress.save(entry.size)
            return
        file = artifact_pb.ArtifactLocation(
            owner=location.owner, sequence=location.sequence, path=entry.path, kind=entry.kind
        )
        with self._archive.file(entry.digest) as write:

            def keep(_: int, parts: Parts) -> None:
                for part in parts:
                    write(part)
                    self._progress.advance(len(part))

            _, digests = self._reader.read(file, keep, stopping)
            check_whole(entry.path, entry.size, entry.digest, digests)


def read_entries(archive: Archive, name: str) -> list[TreeEntry]:
    """The entries of a tree in an archive, each checked.

    Raises:
        InvalidArgumentError: A path breaks a rule, or a line is none of an export.
        DataLossError: The content of a file is not in the archive.
    """
    entries: list[TreeEntry] = []
    files: set[str] = set()
    last = b""
    for line in archive.lines(name):
        entry = _parsed(name, line)
        path = check_artifact_path(entry.path).encode()
        if path <= last and entries:
            raise not_ours(f"{name} is not in order")
        last = path
        parent = entry.path.rpartition("/")[0]
        if parent in files:
            raise not_ours(f"{name} has {parent[:200]!a} both as a file and as a directory")
        if not entry.is_directory:
            files.add(entry.path)
            if archive.size_of(entry.digest) != entry.size:
                raise damaged(f"it lacks the content of {entry.path[:200]!a}")
        entries.append(entry)
    return entries


def digest_of(entries: Iterable[TreeEntry]) -> str:
    """The digest of the tree that has these entries, in order."""
    return tree_digest(entries).hex()


def import_tree(
    channel: Channel,
    archive: Archive,
    entries: list[TreeEntry],
    owner: artifact_pb.TreeOwner,
    progress: Progress | None = None,
) -> None:
    """Put entries into the tree of ``owner``, all of them at once.

    Raises:
        DataLossError: The tree does not have their digest afterwards.
    """
    sources = [
        Source(entry.path, is_directory=True)
        if entry.is_directory
        else archive.source(entry.path, entry.digest, executable=entry.executable)
        for entry in entries
    ]
    if sources:
        upload(channel, owner, sources, progress=progress)
    if newest_digest(channel, owner) != digest_of(entries):
        raise DataLossError(
            "What was imported does not have its digest: something else was written there at the same time.",
            reason="DATA_LOSS",
        )


def newest_digest(channel: Channel, owner: artifact_pb.TreeOwner) -> str:
    """The digest of the newest snapshot of a tree."""
    method = channel.stub(ArtifactServiceStub).GetTree
    return channel.call(method, pb.GetTreeRequest(owner=owner)).tree.digest.hex()


def _entry(entry: artifact_pb.Entry, location: artifact_pb.ArtifactLocation) -> TreeEntry:
    is_directory = entry.kind == artifact_pb.ENTRY_KIND_DIRECTORY
    return TreeEntry(below(entry.path, location), is_directory, entry.executable, entry.size, entry.digest)


def _line(entry: TreeEntry) -> bytes:
    fields: dict[str, Any] = {"path": entry.path}
    if entry.is_directory:
        fields["directory"] = True
    else:
        fields.update(size=entry.size, digest=entry.digest.hex())
        if entry.executable:
            fields["executable"] = True
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def _parsed(name: str, line: Any) -> TreeEntry:
    try:
        if line.get("directory") is True:
            return TreeEntry(str(line["path"]), is_directory=True)
        return TreeEntry(
            str(line["path"]),
            executable=line.get("executable") is True,
            size=int(line["size"]),
            digest=bytes.fromhex(line["digest"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise not_ours(f"{name} has a line that is none of an export") from None
