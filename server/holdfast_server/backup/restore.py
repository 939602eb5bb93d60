"""Brings a backup back into an empty data directory, and verifies it there.

Everything is made in ``.restoring`` within the directory; the database gets its name last. A restore that was
interrupted goes on when it is run again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast_server.backup.copying import Copied, Progress, copy_objects
from holdfast_server.backup.databases import needed_objects, reading
from holdfast_server.backup.errors import BackupError
from holdfast_server.backup.files import sync_file, write_durably
from holdfast_server.backup.repository import Backup, Repository
from holdfast_server.backup.stores import open_store
from holdfast_server.backup.verify import Verified, verify
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.storage.blocks.identity import adopt, check_identity, confirm_identity
from holdfast_server.storage.durability import sync_directory
from holdfast_server.storage.host_lock import RESTORING
from holdfast_server.storage.sql.connection import DatabaseError, connect

_IN_DATA_DIR = "its data directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreSettings:
    """What a caller asks for.

    Attributes:
        source: Where the backups are.
        target: The data directory to be; empty or absent.
        backup_id: Which backup; empty: the newest.
        store: Where to put the blocks; empty: below the target, or where they are when that is adopted.
        adopts_store: Leave them in the store that the backup's database had, which from then on is the restored copy's;
            ``store`` then tells how it is reached now.
        credentials_file: AWS credentials of the store; None: the environment's.
        verify: Read everything back at the end.
    """

    source: Path
    target: Path
    backup_id: str = ""
    store: str = ""
    adopts_store: bool = False
    credentials_file: Path | None = None
    verify: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was brought back; what was copied; what the verification found, when there was one."""

    backup: Backup
    copied: Copied
    verified: Verified | None = None

    @property
    def problems(self) -> list[str]:
        """What is damaged or missing in the copy, a sentence each."""
        if self.verified is not None:
            return self.verified.problems
        return [f"Object {key}: {problem}." for key, problem in sorted(self.copied.damaged.items())]


def restore(settings: RestoreSettings, progress: Progress = lambda _: None) -> Restored:
    """Bring a backup back. A server can be started on the directory when this returns, and not before.

    Damaged or missing objects are told and do not stop it; a damaged database does.

    Raises:
        BackupError: It cannot be done; what to do is said.
        DomainError: A store cannot be used.
    """
    backup = Repository.open(settings.source).find(settings.backup_id)
    url = settings.store or (backup.manifest.store if settings.adopts_store else "")
    if settings.adopts_store and not backup.manifest.store:
        raise BackupError("The backup's store was in its data directory, so there is none to adopt.")
    if url == backup.manifest.store and url and not settings.adopts_store:
        raise BackupError(
            f"{url} is the store of the database that was backed up. Two databases cannot share a store: name another, "
            "or have the copy take it over by --adopt-store."
        )
    backup.check_database()
    try:
        with _restoring(settings.target, backup, url) as (work, new_id):
            return _Restore(settings, backup, url=url, work=work, new_id=new_id, progress=progress).run()
    except (OSError, DatabaseError) as error:
        text = getattr(error, "strerror", None) or error
        raise BackupError(f"{settings.target} cannot be written: {text}. {_AGAIN}") from error


_AGAIN = "Run the same command again when that is mended: it goes on where it was."


@contextlib.contextmanager
def _restoring(target: Path, backup: Backup, store: str) -> Iterator[tuple[Path, str]]:
    """A place to work in, and the id of the new store, the same each time that a restore goes on."""
    work, state = target / RESTORING, {"backup": backup.manifest.id, "store": store}
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not work.exists() and any(path.name != "lost+found" for path in target.iterdir()):
        raise BackupError(
            f"{target} is not empty, and nothing in it is overwritten. Name an empty directory or a new one."
        )
    work.mkdir(mode=0o700, exist_ok=True)
    with (work / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"Another restore into {target} is running. Wait until it is done.") from None
        file = work / "state.json"
        if file.exists():
            known = json.loads(file.read_bytes())
            if {name: known[name] for name in state} != state:
                raise BackupError(
                    f"A restore of backup {known['backup']} into {target} was interrupted. Finish that one, or remove "
                    "the directory and begin anew."
                )
        else:
            known = {**state, "new_id": secrets.token_hex(16)}
            temporary = work / "state.new"
            write_durably(temporary, json.dumps(known).encode())
            temporary.rename(file)
            sync_directory(work)
        yield work, known["new_id"]


class _Restore:
    """One restore: its steps in order."""

    def __init__(
        self, settings: RestoreSettings, backup: Backup, *, url: str, work: Path, new_id: str, progress: Progress
    ) -> None:
        self._settings, self._backup, self._url = settings, backup, url
        self._work, self._new_id, self._progress = work, new_id, progress

    def run(self) -> Restored:
        """All steps."""
        if self._is_in_place():
            self._tidy()
            return Restored(self._backup, Copied())
        # Blocks go to their final place at once: without a database nobody takes them for a store.
        store = open_store(self._url, self._settings.target, self._settings.credentials_file)
        store.check()
        old_id = self._backup.manifest.store_id
        if self._settings.adopts_store:
            confirm_identity(store, old_id, or_else=self._new_id)
        else:
            check_identity(store, self._new_id, self._url or str(self._settings.target), known_as="")
        with reading(self._backup.database) as connection:
            copied = copy_objects(
                needed_objects(connection),
                sources=self._sources(),
                target=store,
                database=connection,
                target_name="The restored store",
                progress=self._progress,
            )
        database = self._copy_database()
        verified = None
        if self._settings.verify:
            with reading(database) as connection:
                verified = verify(connection, store, self._progress)
            if verified.rows:
                raise BackupError(
                    f"The restored database is not sound, and was not put in place: {verified.rows[0]} Choose another "
                    "backup, and another directory."
                )
        if self._settings.adopts_store:
            adopt(store, self._new_id)
        self._put_in_place(database)
        return Restored(self._backup, copied, verified)

    def _sources(self) -> list[ObjectStore]:
        """Where the objects may be: in the backup, and for one without objects in the store that it names."""
        manifest = self._backup.manifest
        sources: list[ObjectStore] = [Repository.open(self._settings.source).objects]
        if not manifest.has_objects and not self._settings.adopts_store:
            if not manifest.store:
                raise BackupError(f"Backup {manifest.id} was made without objects, so it cannot be restored by itself.")
            sources.append(open_store(manifest.store, self._settings.target, self._settings.credentials_file))
        return sources

    def _copy_database(self) -> Path:
        """The database as it will be: the same rows, the store's new id, and no leases of processes of then."""
        database = self._work / "holdfast.db"
        for path in self._work.glob("holdfast.db*"):
            path.unlink()
        shutil.copyfile(self._backup.database, database)
        connection = connect(database)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "UPDATE block_store SET store_id = ?, description = ?", (self._new_id, self._url or _IN_DATA_DIR)
            )
            connection.execute("DELETE FROM leases")
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
        database.chmod(0o600)
        sync_file(database)
        return database

    def _is_in_place(self) -> bool:
        """Whether a restore that was killed had come to its end but for tidying up."""
        final, made = self._settings.target / "holdfast.db", self._work / "holdfast.db"
        return final.exists() and made.exists() and final.samefile(made)

    def _put_in_place(self, database: Path) -> None:
        target = self._settings.target
        try:
            os.link(database, target / "holdfast.db")  # unlike a rename it does not replace what is there
        except FileExistsError:
            raise BackupError(
                f"A server made a database in {target} meanwhile. Stop it, and restore into another directory."
            ) from None
        sync_directory(target)
        self._tidy()

    def _tidy(self) -> None:
        """Let servers start here."""
        done = self._work.with_name(RESTORING + "-done")
        self._work.rename(done)
        sync_directory(done.parent)
        shutil.rmtree(done)
