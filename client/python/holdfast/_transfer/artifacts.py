"""The artifact calls that the rest of the client uses."""

from __future__ import annotations

import dataclasses
import enum
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from holdfast._channel import Channel
from holdfast._transfer.checking import Check, StoredFiles, compare
from holdfast._transfer.committing import Expectation
from holdfast._transfer.downloading import Downloader
from holdfast._transfer.progress import Progress
from holdfast._transfer.reader import open_reader
from holdfast._transfer.snapshot_files import SnapshotFiles
from holdfast._transfer.sources import Source, check_artifact_path, find_contents, find_path, join_path
from holdfast._transfer.uploading import upload, upload_stream
from holdfast.entities import FileInfo
from holdfast.errors import InvalidArgumentError, NotFoundError
from holdfast.format.digests import bytes_digest
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as artifact_service_pb

_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")


class Anything(enum.Enum):
    """Says that whatever stands at a path may be replaced."""

    ANYTHING = enum.auto()


ANYTHING = Anything.ANYTHING


class Artifacts:
    """Uploads to and downloads from the trees of one server."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._downloader = Downloader(channel)

    def log_path(
        self,
        owner: artifact_pb.TreeOwner,
        local_path: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        symlinks: str = "inside",
        progress: Progress | None = None,
    ) -> artifact_pb.Tree:
        """Put a file at ``<artifact_path>/<basename>``, or a directory with its tree below that."""
        sources = find_path(local_path, _checked(artifact_path), symlinks=symlinks)
        return upload(self._channel, owner, sources, progress=progress)

    def log_paths(
        self,
        owner: artifact_pb.TreeOwner,
        local_paths: Sequence[Path],
        artifact_path: str | None = None,
        *,
        name: str | None = None,
        contents: bool = False,
        symlinks: str = "inside",
        progress: Progress | None = None,
    ) -> artifact_pb.Tree:
        """Put several files and directories below ``artifact_path``; all of them become visible at once.

        Args:
            owner: Whose tree.
            local_paths: Files and directories, each as ``log_path`` does it.
            artifact_path: Where; None for the root.
            name: Another name for the one that there is.
            contents: Put what is in the directories, as ``log_directory`` does.
            symlinks: ``"inside"`` or ``"follow"``.
            progress: Counts what is done.

        Raises:
            InvalidArgumentError: Two of them would stand at the same path.
        """
        folder = _checked(artifact_path)
        sources: dict[str, Source] = {}
        for local in local_paths:
            find = find_contents if contents and local.is_dir() else find_path
            for source in find(local, folder, symlinks=symlinks):
                placed = source if name is None else _renamed(source, folder, name)
                other = sources.setdefault(placed.path, placed)
                if other is not placed and not (other.is_directory and placed.is_directory):
                    raise InvalidArgumentError(
                        f"Two of the files would both be {placed.path!r}. Store them in different directories."
                    )
        return upload(self._channel, owner, list(sources.values()), progress=progress)

    def log_directory(
        self,
        owner: artifact_pb.TreeOwner,
        local_dir: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        symlinks: str = "inside",
    ) -> artifact_pb.Tree:
        """Put the contents of a directory below ``artifact_path``."""
        return upload(self._channel, owner, find_contents(local_dir, _checked(artifact_path), symlinks=symlinks))

    def log_bytes(
        self,
        owner: artifact_pb.TreeOwner,
        data: bytes,
        path: str,
        *,
        replacing: bytes | Anything | None = ANYTHING,
        progress: Progress | None = None,
    ) -> artifact_pb.Tree:
        """Put a file with this content at ``path``.

        Args:
            owner: Whose tree.
            data: The content.
            path: Where.
            replacing: The content that must be there now, None for nothing; ``ANYTHING`` by default.
            progress: Counts what is done.

        Raises:
            ConflictError: Something else is there.
        """
        source = Source(check_artifact_path(path), size=len(data), data=data)
        return upload(self._channel, owner, [source], expected=_expectation(replacing), progress=progress)

    def log_stream(
        self, owner: artifact_pb.TreeOwner, stream: BinaryIO, path: str, *, progress: Progress | None = None
    ) -> artifact_pb.Tree:
        """Put the bytes of a stream of unknown length at ``path``, in bounded memory."""
        return upload_stream(self._channel, owner, stream, check_artifact_path(path), progress=progress)

    def locate(self, uri: str) -> list[artifact_pb.ArtifactLocation]:
        """The trees that together are what ``uri`` names."""
        return self._downloader.resolve(uri)

    def snapshot(self, uri: str, origin: artifact_service_pb.ResolveArtifactResponse | None = None) -> SnapshotFiles:
        """The files of the one directory that ``uri`` names, to be read into memory.

        Args:
            uri: A directory of one run or logged model.
            origin: What ``resolve_origin`` answered, when that is known already.

        Raises:
            NotFoundError: It names a file, or several trees.
        """
        locations = (origin or self._downloader.resolve_origin(uri)).locations
        if len(locations) != 1 or locations[0].kind != artifact_pb.ENTRY_KIND_DIRECTORY:
            what = "a file" if len(locations) == 1 else "all artifacts of a run"
            raise NotFoundError(f"{uri} is {what}; name the directory that holds the model.", reason="FILE_NOT_FOUND")
        return SnapshotFiles(self._downloader.reader, locations[0])

    def resolve_origin(self, uri: str) -> artifact_service_pb.ResolveArtifactResponse:
        """What ``uri`` names, which version it goes through, and who logged the model there."""
        return self._downloader.resolve_origin(uri)

    def download_resolved(self, uri: str, origin: artifact_service_pb.ResolveArtifactResponse, dst: Path) -> Path:
        """Write what ``resolve_origin`` answered for ``uri`` below ``dst``, where ``download`` would."""
        target = dst / split_uri(uri)[1].rpartition("/")[2]
        self._downloader.download_locations(origin.locations, target)
        return target

    def list(
        self, uri: str, path: str | None = None, *, recursive: bool = False, itself: bool = False
    ) -> list[FileInfo]:
        """One level of a directory, or all below it; paths are those below the run or model that ``uri`` begins with.

        A file has nothing below it, so it gives an empty list, as MLflow's does; with ``itself`` it gives itself.
        """
        root, inner = split_uri(f"{uri.rstrip('/')}/{path}" if path else uri)
        entries = self._downloader.list(root, inner, recursive=recursive)
        return [
            FileInfo(
                path=entry.path,
                is_dir=is_dir,
                file_size=None if is_dir else entry.size,
                digest=None if is_dir else entry.digest.hex(),
            )
            for entry in entries
            if (is_dir := entry.kind == artifact_pb.ENTRY_KIND_DIRECTORY) or itself or entry.path != inner
        ]

    def verify(self, uri: str, progress: Progress) -> Iterator[Check]:
        """Read every byte of what ``uri`` names and check it, file by file, going on after damage."""
        for location in self._downloader.resolve(uri):
            yield from StoredFiles(self._downloader.reader, location, progress).check()

    def compare(self, uri: str, local: Path, progress: Progress, *, symlinks: str = "inside") -> Iterator[Check]:
        """Compare what ``uri`` names with a local copy of it, by digests and executable bits."""
        root, inner = split_uri(uri)
        return compare(self._downloader.list(root, inner, recursive=True), inner, local, progress, symlinks=symlinks)

    def download(
        self, uri: str, dst: Path | None, name: str | None = None, *, progress: Progress | None = None
    ) -> Path:
        """Write what ``uri`` names below ``dst`` and return where it is.

        Args:
            uri: A file or directory.
            dst: A directory, made when absent; None for a new temporary one.
            name: Path below ``dst``; None for the last component of the URI's path. The contents of a whole run or
                model go to ``dst`` itself.
            progress: Counts what is done.
        """
        folder = Path(tempfile.mkdtemp(prefix="holdfast-")) if dst is None else dst
        target = folder / (name if name is not None else split_uri(uri)[1].rpartition("/")[2])
        try:
            self._downloader.download(uri, target, progress=progress)
        except BaseException:
            if dst is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return target

    def read_bytes(self, uri: str) -> bytes:
        """The content of a file, verified."""
        return self._downloader.read_bytes(uri)

    def open(self, uri: str) -> io.BufferedReader:
        """A seekable reader that fetches only the blocks that are read; see ``ArtifactReader``."""
        return self._downloader.with_file(uri, partial(open_reader, self._downloader.reader))


def split_uri(uri: str) -> tuple[str, str]:
    """The run or model that a URI begins with, and the path below it: ``runs:/x/a/b`` gives ``runs:/x`` and ``a/b``."""
    scheme, separator, rest = uri.partition(":/")
    parts = rest.strip("/").split("/")
    heads = 1 if scheme == "runs" or "@" in parts[0] or _MODEL_ID.fullmatch(parts[0]) else 2
    return f"{scheme}{separator}{'/'.join(parts[:heads])}", "/".join(parts[heads:])


def _expectation(replacing: bytes | Anything | None) -> Expectation:
    if isinstance(replacing, Anything):
        return Expectation()
    if replacing is None:
        return Expectation(absent=True)
    return Expectation(digest=bytes_digest(replacing))


def _renamed(source: Source, folder: str | None, name: str) -> Source:
    """The same below another name: the first component after ``folder`` is replaced."""
    below = source.path[len(folder) + 1 :] if folder else source.path
    rest = below.partition("/")[2]
    return dataclasses.replace(source, path=check_artifact_path(join_path(folder, f"{name}/{rest}" if rest else name)))


def _checked(artifact_path: str | os.PathLike[str] | None) -> str | None:
    return check_artifact_path(os.fspath(artifact_path)) if artifact_path else None
