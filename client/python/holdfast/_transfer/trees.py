"""One download: small files come together in one stream, large ones by themselves after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.large_files import LargeFile, LargeFileDownloader
from holdfast._transfer.names import check_local_names, check_received_path, is_folding
from holdfast._transfer.progress import Progress
from holdfast._transfer.small_files import SmallFile, SmallFileWriter
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.writing import holds, local_errors, make_directory, remove_stale
from holdfast.v1 import artifact_pb2 as artifact_pb

# Larger files are read one by one, in parallel, after the small ones came in one stream.
MAX_BATCHED = 1 << 20


class TreeDownload:
    """Fetches files and directories to ``target``.

    Attributes:
        has_begun: Something of a directory was handed over, which must not be mixed with that of another snapshot.
    """

    def __init__(self, reader: BlockReader, target: str, progress: Progress) -> None:
        self.has_begun = False
        self._reader = reader
        self._target = os.path.join(os.getcwd(), target)
        self._stopping = Stopping()
        self._progress = progress
        self._large = LargeFileDownloader(reader, self._stopping, self._progress)

    def fetch(self, locations: Sequence[artifact_pb.ArtifactLocation]) -> None:
        """Write a file to the target, or below it what the locations hold; leaves no thread and no call behind."""
        if len(locations) == 1 and locations[0].kind == artifact_pb.ENTRY_KIND_FILE:
            self._stopping.run(lambda: self._fetch_file(locations[0]))
        else:
            self._stopping.run(lambda: self._fetch_trees(locations))

    def _fetch_file(self, location: artifact_pb.ArtifactLocation) -> None:
        folder, name = os.path.split(self._target)
        check_local_names([name], folding=False)
        with local_errors(self._target):
            os.makedirs(folder, exist_ok=True)
        self._fetch(location, lambda _: self._target, {folder})

    def _fetch_trees(self, locations: Sequence[artifact_pb.ArtifactLocation]) -> None:
        with local_errors(self._target):
            os.makedirs(self._target, exist_ok=True)
            with os.scandir(self._target) as entries:
                was_empty = next(entries, None) is None
            if not was_empty:
                remove_stale(self._target)
        folding = is_folding(Path(self._target))
        made = {self._target}
        for location in locations:
            base = self._target
            if location.prefix:
                base = os.path.join(base, check_received_path(location.prefix))
                make_directory(base, made)
            if folding:
                self._check_names(location)
            place = _placer(base, location, folding=folding)
            start_after = "" if was_empty else self._pass_over(location, place, made)
            self._fetch(location, place, made, start_after)

    def _fetch(
        self,
        location: artifact_pb.ArtifactLocation,
        place: Callable[[artifact_pb.Entry], str],
        made: set[str],
        start_after: str = "",
    ) -> None:
        """Write what comes after ``start_after``, each entry at its ``place``."""
        large: list[LargeFile] = []
        with SmallFileWriter(self._stopping, self._progress) as writer:

            def take(entry: artifact_pb.Entry, data: bytes) -> bool:
                target = place(entry)
                if entry.kind == artifact_pb.ENTRY_KIND_DIRECTORY:
                    make_directory(target, made)
                    return True
                make_directory(os.path.dirname(target), made)
                if entry.size > MAX_BATCHED:
                    large.append(_large_file(location, entry, target))
                else:
                    writer.add(SmallFile(target, entry.path, entry.digest, data, entry.executable))
                self._progress.expect(entry.size, files=1)
                return True

            self._read(location, take, MAX_BATCHED, start_after)
            writer.finish()
        if large:
            self._large.fetch(large)

    def _pass_over(
        self, location: artifact_pb.ArtifactLocation, place: Callable[[artifact_pb.Entry], str], made: set[str]
    ) -> str:
        """The last path up to which all small files are there, as after an interruption: they come in order.

        Large files up to there are looked at, and fetched, at once.
        """
        large: list[LargeFile] = []

        def take(entry: artifact_pb.Entry, _: bytes) -> bool:
            target = place(entry)
            if entry.kind == artifact_pb.ENTRY_KIND_DIRECTORY:
                make_directory(target, made)
                return True
            make_directory(os.path.dirname(target), made)
            if entry.size > MAX_BATCHED:
                large.append(_large_file(location, entry, target))
            elif holds(target, entry.size, entry.digest, executable=entry.executable):
                self._progress.save(entry.size)
            else:
                return False
            self._progress.expect(entry.size, files=1)
            return True

        last = self._read(location, take, 0)
        if large:
            self._large.fetch(large)
        return last

    def _check_names(self, location: artifact_pb.ArtifactLocation) -> None:
        """Refuse a tree with names that would be one file, before anything of it is written."""
        paths: list[str] = []

        def take(entry: artifact_pb.Entry, _: bytes) -> bool:
            paths.append(entry.path)
            return True

        self._read(location, take, 0)
        check_local_names(paths, folding=True)

    def _read(
        self,
        location: artifact_pb.ArtifactLocation,
        take: Callable[[artifact_pb.Entry, bytes], bool],
        max_data_size: int,
        start_after: str = "",
    ) -> str:
        """Hand entries to ``take`` as long as it wants more; returns the path of the last one that it wanted."""

        def note(entry: artifact_pb.Entry, data: bytes) -> bool:
            self.has_begun = self.has_begun or location.kind == artifact_pb.ENTRY_KIND_DIRECTORY
            return take(entry, data)

        return self._reader.read_files(
            location, note, self._stopping, max_data_size=max_data_size, start_after=start_after
        )


def below(path: str, location: artifact_pb.ArtifactLocation) -> str:
    """The path relative to what the location names; empty for the file that it names."""
    if not location.path:
        return path
    return path[len(location.path) + 1 :]


def _placer(base: str, location: artifact_pb.ArtifactLocation, *, folding: bool) -> Callable[[artifact_pb.Entry], str]:
    """Where entries of a location go: checked paths below ``base``."""

    def place(entry: artifact_pb.Entry) -> str:
        name = check_received_path(below(entry.path, location))
        check_local_names([name], folding=folding)
        return f"{base}/{name}"

    return place


def _large_file(location: artifact_pb.ArtifactLocation, entry: artifact_pb.Entry, target: str) -> LargeFile:
    file = artifact_pb.ArtifactLocation(
        owner=location.owner, sequence=location.sequence, path=entry.path, kind=entry.kind
    )
    return LargeFile(file, entry.size, entry.digest, entry.executable, target)
