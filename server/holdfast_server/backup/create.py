"""Makes a backup while servers run: the database first, then the objects that it needs, under a pin."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from holdfast_server.backup.copying import Copied, Progress, copy_objects
from holdfast_server.backup.databases import copy_database, describe, identify, needed_objects, reading
from holdfast_server.backup.errors import BackupError
from holdfast_server.backup.files import sha256_of, write_durably
from holdfast_server.backup.pin import Pin, pinned
from holdfast_server.backup.repository import DATABASE, OBJECTS, Backup, Manifest, Repository, format_objects
from holdfast_server.backup.stores import open_store
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.storage.blocks.identity import confirm_identity
from holdfast_server.storage.host_lock import HostLock
from holdfast_server.storage.sql.connection import DatabaseError


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSettings:
    """What a caller asks for.

    Attributes:
        data_dir: Of the server, or of the embedded one.
        destination: Where the backups are.
        store: The store's URL, when it is another by now than the database remembers.
        credentials_file: AWS credentials of the store; None: the environment's.
        has_objects: Copy the objects, and not only their keys.
        keep: Backups to keep, this one included; None: all.
    """

    data_dir: Path
    destination: Path
    store: str = ""
    credentials_file: Path | None = None
    has_objects: bool = True
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made; what of it is new; what is damaged at the source; how many old ones were removed."""

    backup: Backup
    copied: Copied
    forgotten: int = 0


_NOT_MADE = (
    "No backup was made; earlier ones are whole. Run it again when that is mended: what was copied need not be again."
)


def make_backup(settings: BackupSettings, progress: Progress = lambda _: None) -> Made:
    """Make a backup. It is whole and durable when this returns; if it raises there is none.

    Raises:
        BackupError: It cannot be made; what was copied until then serves the next one.
        DomainError: The data directory or its store cannot be used.
    """
    database, destination = settings.data_dir / "holdfast.db", settings.destination
    if destination.resolve().is_relative_to(settings.data_dir.resolve()):
        raise BackupError(f"{destination} is within the data directory, and would be lost with it. Name another one.")
    source = identify(database)
    url = settings.store or source.store
    if not (url or settings.has_objects):
        raise BackupError("The blocks are in the data directory, so a backup without them could not be restored.")
    store = open_store(url, settings.data_dir, settings.credentials_file)
    host_lock = HostLock(settings.data_dir)  # SQLite's shared memory does not reach across machines
    try:
        confirm_identity(store, source.store_id)
        repository = Repository.open_for(destination, source.store_id)
        with repository.writing(), pinned(database) as pin:
            made = _make(settings, repository, pin, store, url=url, progress=progress)
            if settings.keep is not None:
                made = replace(made, forgotten=repository.forget_all_but(settings.keep))
        return made
    except (OSError, DatabaseError) as error:
        text = getattr(error, "strerror", None) or error
        raise BackupError(f"The backup cannot be written to {destination}: {text}. {_NOT_MADE}") from error
    finally:
        host_lock.close()


def _make(
    settings: BackupSettings, repository: Repository, pin: Pin, store: ObjectStore, *, url: str, progress: Progress
) -> Made:
    backup_id, folder = repository.begin(datetime.now(timezone.utc))
    try:
        copy = folder / DATABASE
        copy_database(settings.data_dir / "holdfast.db", copy)
        moment = datetime.now(timezone.utc)
        with reading(copy) as connection:
            source, objects = describe(connection), needed_objects(connection)
            copied = Copied()
            if settings.has_objects:
                copied = copy_objects(
                    objects,
                    sources=[store],
                    target=repository.objects,
                    database=connection,
                    target_name=f"The backups in {repository.directory}",
                    progress=progress,
                )
        _check_kept(pin, copied)
        listed = format_objects(objects)
        write_durably(folder / OBJECTS, listed)
        manifest = Manifest(
            id=backup_id,
            create_time=moment.isoformat(timespec="milliseconds"),
            holdfast_version=version("holdfast"),
            schema=source.schema,
            store_id=source.store_id,
            store=url,
            database_size=copy.stat().st_size,
            database_sha256=sha256_of(copy),
            objects_sha256=hashlib.sha256(listed).hexdigest(),
            object_count=len(objects),
            object_bytes=sum(objects.values()),
            has_objects=settings.has_objects,
            damaged=sorted(copied.damaged),
        )
        return Made(repository.finish(folder, manifest), copied)
    except BaseException:
        repository.give_up(folder)
        raise


def _check_kept(pin: Pin, copied: Copied) -> None:
    """Tell objects that were removed under a backup from those that were damaged before."""
    if copied.damaged and pin.was_lost:
        raise BackupError(
            "This process was stopped for more than a minute, and a collection of garbage removed what the backup "
            f"needs. {_NOT_MADE}"
        )
