"""The directory that backups are kept in.

::

    holdfast-backups.json        whose backups these are
    objects/                     every object that some backup needs, once; they never change
    backups/<id>/holdfast.db     the database at one moment
                 objects         the keys and sizes of the objects that it needs, one a line
                 manifest.json   digests of both; written last
    backups/.partial-<id>/       one that is being made, or was given up

A backup gets its name when all of it is there and synced, so a partial one is never taken for a whole one. Objects that
a backup which was given up copied are whole, and serve the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from holdfast_server.backup.errors import BackupError
from holdfast_server.backup.files import sha256_of, sync_file, write_durably
from holdfast_server.storage.blocks.local import LocalObjectStore
from holdfast_server.storage.durability import sync_directory

FORMAT = 1
DATABASE, OBJECTS, MANIFEST = "holdfast.db", "objects", "manifest.json"
_MARKER, _PARTIAL = "holdfast-backups.json", ".partial-"
# Later than any file was written, in milliseconds since 1970.
_EVER = 1 << 62
_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds.

    Attributes:
        id: Its time in UTC, to the millisecond, and random digits; ids are in order of time.
        create_time: When the database was as it is in this backup, ISO 8601 in UTC.
        holdfast_version: Of the program that made it.
        schema: The newest migration of the database.
        store_id: Names the store that the database had.
        store: How that was configured; empty for blocks in the data directory.
        database_size: Bytes.
        database_sha256: In hex digits.
        objects_sha256: Of the list of objects, in hex digits.
        object_count: How many the database needs.
        object_bytes: Their bytes.
        has_objects: Whether they are in this repository; otherwise only their keys are.
        damaged: Keys of objects that were damaged or missing when the backup was made, and so are not in it.
    """

    id: str
    create_time: str
    holdfast_version: str
    schema: str
    store_id: str
    store: str
    database_size: int
    database_sha256: str
    objects_sha256: str
    object_count: int
    object_bytes: int
    has_objects: bool
    damaged: list[str] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """As it is stored, with a checksum."""
        body = asdict(self)
        return json.dumps({"format": FORMAT, "manifest": body, "sha256": _checksum(body)}, indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read what ``to_bytes`` wrote.

        Raises:
            ValueError: It is damaged, or of a newer format.
        """
        stored = json.loads(data)
        if stored.get("format") != FORMAT:
            raise ValueError(f"its format is {stored.get('format')!r}; a newer Holdfast made it")
        if _checksum(stored["manifest"]) != stored["sha256"]:
            raise ValueError("its checksum does not match")
        return cls(**stored["manifest"])


@dataclass(frozen=True, slots=True)
class Backup:
    """A whole backup in a repository."""

    directory: Path
    manifest: Manifest

    @property
    def database(self) -> Path:
        """The database."""
        return self.directory / DATABASE

    def objects(self) -> dict[str, int]:
        """The sizes of the objects that the database needs, by key.

        Raises:
            BackupError: The list is damaged.
        """
        try:
            data = (self.directory / OBJECTS).read_bytes()
        except OSError as error:
            raise BackupError(f"The list of objects of backup {self.manifest.id} is lost: {error.strerror}.") from error
        if hashlib.sha256(data).hexdigest() != self.manifest.objects_sha256:
            raise BackupError(f"The list of objects of backup {self.manifest.id} is damaged. Choose another backup.")
        return parse_objects(data)

    def check_database(self) -> None:
        """Make sure that the database is as it was stored.

        Raises:
            BackupError: It is not.
        """
        try:
            is_same = sha256_of(self.database) == self.manifest.database_sha256
        except OSError as error:
            raise BackupError(f"The database of backup {self.manifest.id} is lost: {error.strerror}.") from error
        if not is_same:
            raise BackupError(
                f"The database of backup {self.manifest.id} is damaged: it does not have the digest that the manifest "
                "tells. Choose another backup by --backup; --list shows them."
            )


class Repository:
    """A directory of backups of one store."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.objects = LocalObjectStore(directory / "objects")
        self._backups = directory / "backups"

    @classmethod
    def open(cls, directory: Path) -> Repository:
        """Open one that is there.

        Raises:
            BackupError: There is none.
        """
        if not (directory / _MARKER).is_file():
            raise BackupError(f"There are no backups in {directory}: it has no {_MARKER}.")
        return cls(directory)

    @classmethod
    def open_for(cls, directory: Path, store_id: str) -> Repository:
        """Open the one for a store, made when the directory is empty or absent.

        Raises:
            BackupError: The directory holds something else, or backups of another store.
        """
        marker = directory / _MARKER
        if not marker.exists():
            if directory.exists() and not _is_empty(directory):
                raise BackupError(
                    f"{directory} holds something else than backups. Name an empty directory or a new one."
                )
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = directory / (_MARKER + ".new")
            write_durably(temporary, json.dumps({"format": FORMAT, "store_id": store_id}).encode())
            temporary.rename(marker)
            sync_directory(directory)
        made = cls(directory)
        if made.store_id() != store_id:
            raise BackupError(
                f"{directory} holds backups of another store; a restored copy is a store of its own. Name another "
                "directory."
            )
        return made

    def store_id(self) -> str:
        """Whose backups these are.

        Raises:
            BackupError: It cannot be told.
        """
        try:
            marker = json.loads((self.directory / _MARKER).read_bytes())
            if marker["format"] != FORMAT:
                raise BackupError(f"A newer Holdfast made the backups in {self.directory}. Install that version.")
            return str(marker["store_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{self.directory / _MARKER} is damaged.") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who writes here. What earlier ones gave up is removed, except for the objects.

        Raises:
            BackupError: Somebody else writes here.
        """
        with (self.directory / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(f"Another backup into {self.directory} is running. Wait until it is done.") from None
            self._backups.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self.directory)
            for folder in self._backups.glob(f"{_PARTIAL}*"):
                shutil.rmtree(folder)
            self.objects.check()
            self.objects.remove_unfinished(_EVER)
            yield

    def begin(self, now: datetime) -> tuple[str, Path]:
        """The id of a new backup, and a directory to make it in."""
        moment = now.astimezone(timezone.utc)
        backup_id = f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03}Z-{secrets.token_hex(4)}"
        folder = self._backups / f"{_PARTIAL}{backup_id}"
        folder.mkdir(mode=0o700)
        return backup_id, folder

    def finish(self, folder: Path, manifest: Manifest) -> Backup:
        """Give a backup its name; from then on it is one."""
        sync_file(folder / DATABASE)
        write_durably(folder / MANIFEST, manifest.to_bytes())
        sync_directory(folder)
        final = self._backups / manifest.id
        folder.rename(final)
        sync_directory(self._backups)
        return Backup(final, manifest)

    def give_up(self, folder: Path) -> None:
        """Remove a backup that is not whole; the objects that it copied stay."""
        shutil.rmtree(folder, ignore_errors=True)

    def list_backups(self) -> list[Backup]:
        """All whole backups, oldest first.

        Raises:
            BackupError: A manifest is damaged.
        """
        return [self._read(name) for name in self._ids()]

    def find(self, backup_id: str = "") -> Backup:
        """A backup, or the newest.

        Raises:
            BackupError: There is none of this id, none at all, or its manifest is damaged.
        """
        ids = self._ids()
        if not ids:
            raise BackupError(f"There is no whole backup in {self.directory}.")
        if backup_id and backup_id not in ids:
            raise BackupError(f"There is no backup {backup_id} in {self.directory}; --list shows them.")
        return self._read(backup_id or ids[-1])

    def forget_all_but(self, count: int) -> int:
        """Remove all but the newest backups, and the objects that none of those needs; returns how many went."""
        backups = self.list_backups()
        gone, kept = backups[:-count], backups[-count:]
        for backup in gone:
            backup.directory.rename(self._backups / f"{_PARTIAL}{backup.manifest.id}")
        if gone:
            sync_directory(self._backups)
        for backup in gone:
            shutil.rmtree(self._backups / f"{_PARTIAL}{backup.manifest.id}")
        needed: set[str] = set()
        for backup in kept:
            needed.update(backup.objects())
        for item in self.objects.list_objects():
            if item.key not in needed:
                self.objects.delete(item.key)
        return len(gone)

    def _ids(self) -> list[str]:
        try:
            return sorted(path.name for path in self._backups.iterdir() if _ID.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def _read(self, backup_id: str) -> Backup:
        folder = self._backups / backup_id
        try:
            return Backup(folder, Manifest.from_bytes((folder / MANIFEST).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackupError(f"The manifest of backup {backup_id} cannot be read: {error}. Choose another.") from error


def format_objects(objects: dict[str, int]) -> bytes:
    """The list of objects as it is stored: a key, a space and a size on each line."""
    return "".join(f"{key} {size}\n" for key, size in sorted(objects.items())).encode()


def parse_objects(data: bytes) -> dict[str, int]:
    """Read what ``format_objects`` wrote."""
    rows = (line.rpartition(" ") for line in data.decode().splitlines())
    return {key: int(size) for key, _, size in rows}


def _is_empty(directory: Path) -> bool:
    """Whether nothing is in it but what a new file system has, and a killed first backup left."""
    return all(path.name in {"lost+found", f"{_MARKER}.new"} for path in directory.iterdir())


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
