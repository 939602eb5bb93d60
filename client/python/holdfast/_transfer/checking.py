"""Checks what a server stores, and what a local directory holds, against the digests of a tree."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.progress import Progress
from holdfast._transfer.receiving import Parts, check_whole
from holdfast._transfer.sources import Source, find_as
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.trees import MAX_BATCHED
from holdfast.errors import DataLossError
from holdfast.format.digests import BLOCK_SIZE, file_digest
from holdfast.v1 import artifact_pb2 as artifact_pb

# Small files after which their checks are told; the stream is begun again behind them.
TOLD_AT_ONCE = 5_000
_OTHER_BYTES = "The bytes that came do not have its digest."


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a check found out about a file or directory.

    Attributes:
        path: Below the run or model.
        problem: Empty when it is sound; ``damaged``, ``missing``, ``extra`` or ``different``.
        message: More about the problem, for people; may be empty.
    """

    path: str
    problem: str = ""
    message: str = ""


class StoredFiles:
    """Reads every byte of a location from the server; what is damaged is told, and the rest read all the same."""

    def __init__(self, reader: BlockReader, location: artifact_pb.ArtifactLocation, progress: Progress) -> None:
        self._reader, self._location, self._progress = reader, location, progress
        self._stopping = Stopping()
        self._large: list[artifact_pb.Entry] = []
        self._checks: list[Check] = []
        self._after = ""  # the path of the last entry of the stream of small files

    def check(self) -> Iterator[Check]:
        """One check a file, in no promised order.

        Raises:
            HoldfastError: The server cannot be reached, or what the location names is not there.
        """
        return self._stopping.follow(self._check_all)

    def _check_all(self) -> Iterator[Check]:
        listed = self._reader.list_entries(self._location, recursive=True)
        is_more = True
        while is_more:
            try:
                is_more = self._read_small()
            except DataLossError:
                self._pass_damage(listed)
            yield from self._checks
            self._checks = []
        for entry in self._large:
            yield self._check_one(entry)

    def _read_small(self) -> bool:
        """Read on in the stream of small files, and note the large ones; False at its end."""
        self._reader.read_files(
            self._location, self._take, self._stopping, max_data_size=MAX_BATCHED, start_after=self._after
        )
        return len(self._checks) >= TOLD_AT_ONCE

    def _pass_damage(self, listed: Iterator[artifact_pb.Entry]) -> None:
        """Read one by one until the damaged file is found, which the error did not name; the stream goes on there."""
        for entry in listed:
            if entry.kind == artifact_pb.ENTRY_KIND_FILE and entry.path.encode() > self._after.encode():
                self._after = entry.path
                self._progress.expect(entry.size, files=1)
                self._checks.append(self._check_one(entry))
                if self._checks[-1].problem:
                    return

    def _take(self, entry: artifact_pb.Entry, data: bytes) -> bool:
        self._after = entry.path
        if entry.kind == artifact_pb.ENTRY_KIND_FILE:
            self._progress.expect(entry.size, files=1)
            if entry.size > MAX_BATCHED:
                self._large.append(artifact_pb.Entry(path=entry.path, size=entry.size, digest=entry.digest))
            else:
                self._progress.advance(entry.size)
                sound = hashlib.sha256(data).digest() == entry.digest
                self._checks.append(Check(path=self._path(entry)) if sound else self._damaged(entry, _OTHER_BYTES))
        return len(self._checks) < TOLD_AT_ONCE

    def _check_one(self, entry: artifact_pb.Entry) -> Check:
        def count(_: int, parts: Parts) -> None:
            self._progress.advance(sum(map(len, parts)))

        file = artifact_pb.ArtifactLocation(
            owner=self._location.owner, sequence=self._location.sequence, path=entry.path
        )
        try:
            digests = self._reader.read(file, count, self._stopping)[1]
            check_whole(entry.path, entry.size, entry.digest, digests)
        except DataLossError as error:
            return self._damaged(entry, error.message)
        return Check(path=self._path(entry))

    def _damaged(self, entry: artifact_pb.Entry, message: str) -> Check:
        return Check(path=self._path(entry), problem="damaged", message=message)

    def _path(self, entry: artifact_pb.Entry) -> str:
        return f"{self._location.prefix}/{entry.path}" if self._location.prefix else entry.path


def compare(
    entries: Iterable[artifact_pb.Entry], base: str, local: Path, progress: Progress, *, symlinks: str = "inside"
) -> Iterator[Check]:
    """Compare a listing with a local copy of it, by kind, digest and executable bit; links count as in uploads.

    Args:
        entries: Of a whole file or directory.
        base: Its path; those of the entries begin with it.
        local: The file or directory that shall be equal.
        progress: Counts the bytes that are read.
        symlinks: ``"inside"`` or ``"follow"``.

    Raises:
        FileNotFoundError: There is nothing at ``local``.
        LocalFileError: There is something in it that cannot be logged, such as a broken link.
        OSError: Something in it cannot be read.
    """
    found = {source.path: source for source in find_as(local, base, symlinks=symlinks)}
    for entry in entries:
        source = found.pop(entry.path, None)
        is_directory = entry.kind == artifact_pb.ENTRY_KIND_DIRECTORY
        if source is None:
            yield Check(path=entry.path, problem="missing")
        elif is_directory != source.is_directory:
            kind = "a directory" if source.is_directory else "a file"
            yield Check(path=entry.path, problem="different", message=f"It is {kind} in the local copy.")
        elif not is_directory:
            yield _compare_file(entry, source, progress)
    for name, source in sorted(found.items(), key=lambda item: item[0].encode()):
        if not (name == base and source.is_directory):
            yield Check(path=name or ".", problem="extra")


def _compare_file(entry: artifact_pb.Entry, source: Source, progress: Progress) -> Check:
    differences = []
    if source.size != entry.size:
        progress.expect(0, files=1)
        differences.append(f"The local copy has {source.size} bytes and not {entry.size}.")
    else:
        progress.expect(source.size, files=1)
        if _digest_of(source, progress) != entry.digest:
            differences.append("It has the same size and other bytes.")
    if source.executable != entry.executable and os.name != "nt":  # where files have no such bit
        differences.append(f"The local copy is {'' if source.executable else 'not '}executable.")
    return Check(path=entry.path, problem="different" if differences else "", message=" ".join(differences))


def _digest_of(source: Source, progress: Progress) -> bytes:
    blocks = []
    with Path(source.local or "").open("rb") as file:
        while data := file.read(BLOCK_SIZE):
            blocks.append(hashlib.sha256(data).digest())
            progress.advance(len(data))
    return file_digest(blocks)
