"""The database port over SQLite: one writer thread with group commit, readers on connections of their own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from holdfast_server.calls import request_id
from holdfast_server.errors import DataLoss, Unavailable
from holdfast_server.services.ports.database import Clock, Ids, RequestKey, Transaction
from holdfast_server.storage.sql.connection import Connection, DatabaseError, connect
from holdfast_server.storage.sql.failures import failure_of, failure_of_group, is_no_room
from holdfast_server.storage.sql.migrate import migrate
from holdfast_server.storage.sql.requests import SqlRequests
from holdfast_server.storage.sql.transaction import SqlTransaction
from holdfast_server.threads import CallThreads

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Jobs that one COMMIT may carry; bounds how long the first of them waits for the others.
MAX_GROUP = 128
# A stage that was not sealed for a day was given up by its client.
STAGE_KEPT_MS = 24 * 3600 * 1000


@dataclass(slots=True)
class _Job:
    run: Callable[[Transaction], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    result: Any = None
    error: BaseException | None = None


class SqliteDatabase:
    """Runs jobs in transactions off the event loop.

    Writes that wait at the same time share one COMMIT and so one fsync; each has a savepoint of its own, so that one
    job's error leaves the others alone. Jobs return rows or values, never cursors: a cursor that crosses threads breaks
    the connection's cached statements.
    """

    def __init__(self, path: Path, *, clock: Clock, ids: Ids, readers: int = 3) -> None:
        # Opened here, so that a database that cannot be written fails the start and not each write.
        connection = _open(path)
        self._path, self._clock, self._ids = path, clock, ids
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._tell: Callable[[], None] | None = None
        self._closing = threading.Lock()
        self._local = threading.local()
        self._reader_connections: list[Connection] = []
        self._readers = CallThreads(readers, name="sql-read")
        self._connection: Connection | None = connection
        self._writer = threading.Thread(target=self._write_loop, name="sql-write", daemon=True)
        self._writer.start()

    async def read(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` on a snapshot; it cannot write."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, job)

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` and return when its transaction is durable. If it raises, nothing it did is kept."""
        loop = asyncio.get_running_loop()
        entry = _Job(job, loop, loop.create_future())
        with self._closing:  # nothing may be queued behind the end, where nobody takes it
            if self._closed:
                raise Unavailable("The server is stopping; try again.")
            self._queue.put(entry)
        # Shielded: the transaction goes on when the caller is cancelled, and must find its future.
        result: T = await asyncio.shield(entry.future)
        return result

    async def write_once(self, key: RequestKey | None, job: Callable[[Transaction], bytes]) -> bytes:
        """Like ``write``; when ``key`` was seen before, return its answer and do nothing."""
        if key is None:
            return await self.write(job)

        def once(tx: Transaction) -> bytes:
            requests: SqlRequests = tx.requests  # type: ignore[attr-defined]  # not part of the services' port
            answer = requests.find(key)
            if answer is None:
                answer = job(tx)
                requests.add(key, answer)
            return answer

        return await self.write(once)

    async def probe(self) -> None:
        """Make sure that the database can be written: a row comes and goes in a transaction, which reaches the disk.

        Raises:
            Unavailable: It cannot; the message says why.
            DataLoss: It is damaged.
        """
        await self.write(lambda tx: tx.prove_writable())  # type: ignore[attr-defined]  # it is a SqlTransaction here

    @property
    def waiting_writes(self) -> int:
        """Transactions that wait for the writer."""
        return self._queue.qsize()

    @property
    def waiting_reads(self) -> int:
        """Transactions that wait for a reader."""
        return self._readers.waiting

    def on_events(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, from the writer's thread, after each commit that recorded events."""
        self._tell = callback

    def block_store(self) -> tuple[str, str]:
        """The id of the store of this database's blocks, and how it was configured (empty: not yet). Blocks."""
        connection = connect(self._path, read_only=True)
        try:
            return SqlTransaction(connection, self._clock.now_ms(), self._ids).block_store()
        finally:
            connection.close()

    def set_block_store(self, description: str) -> None:
        """Remember how the store was configured. Blocks; call it before the server starts."""
        connection = connect(self._path)
        try:
            connection.execute("UPDATE block_store SET description = ?", (description,))
        finally:
            connection.close()

    async def maintain(self, *, alone_at_ms: int | None = None) -> None:
        """Forget what expired and begin roll-ups, some at a time, and let SQLite refresh its statistics.

        Commits that were begun before ``alone_at_ms`` and not sealed are those of dead processes, and expired.
        """

        def tidy(tx: SqlTransaction) -> int:
            expired = tx.requests.delete_expired() + tx.events.delete_expired() + tx.access.delete_past_tokens()
            expired += tx.trees.delete_expired_stages(max(tx.now_ms - STAGE_KEPT_MS, alone_at_ms or 0))
            return expired + tx.runs.begin_metric_roll_up()

        while await self.write(tidy):  # type: ignore[arg-type]  # it is a SqlTransaction here
            pass
        await self.write(lambda tx: tx.optimize())  # type: ignore[attr-defined]

    def close(self) -> None:
        """Finish the writes that were accepted, then close all connections."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._writer.join()
        self._readers.shutdown(wait=True)
        for connection in self._reader_connections:
            connection.close()

    def _read(self, job: Callable[[Transaction], T]) -> T:
        try:
            connection = self._reader_connection()
            connection.execute("BEGIN")
            try:
                return job(SqlTransaction(connection, self._clock.now_ms(), self._ids))
            finally:
                if connection.in_transaction:  # not when SQLite itself rolled back, after an I/O error
                    connection.execute("ROLLBACK")
        except DatabaseError as error:
            self._give_up_reader_connection()
            failure = failure_of(error)
            if failure is None:
                raise
            logger.exception("a read failed")
            raise failure from error

    def _reader_connection(self) -> Connection:
        """The connection of this thread."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path, read_only=True)
            self._reader_connections.append(connection)
        return connection

    def _give_up_reader_connection(self) -> None:
        """Close the connection of this thread, whatever state it is in; the next read opens another."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            self._reader_connections.remove(connection)
            with contextlib.suppress(DatabaseError):
                connection.close()

    def _write_loop(self) -> None:
        """Run groups until the end; whatever fails, every job gets an answer and the next group a sound connection."""
        while (first := self._queue.get()) is not None:
            group = [first, *self._waiting()]
            try:
                if self._connection is None:
                    self._connection = connect(self._path)
                self._run_group(self._connection, group)
            except BaseException as error:  # this thread must outlive what ends others
                calls = ", ".join(dict.fromkeys(job.context.get(request_id) or "none" for job in group))
                text = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
                logger.exception(
                    "a group of %d transactions failed, of these calls: %s: %s", len(group), calls, text,
                    exc_info=not is_no_room(error),
                )  # fmt: skip
                self._give_up_connection()
                for job in group:
                    job.error = job.error or failure_of_group(error)
            _answer(group)
        if self._connection is not None:
            self._connection.close()

    def _give_up_connection(self) -> None:
        """Close the writer's connection, whatever state it is in; the next group opens another."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")  # closing alone would keep the lock while a statement is unfinished
        except DatabaseError:
            logger.exception("the writer's transaction could not be rolled back")
        with contextlib.suppress(DatabaseError):
            connection.close()

    def _waiting(self) -> Iterator[_Job]:
        """Jobs that are there already, as many as one COMMIT may carry."""
        for _ in range(min(self._queue.qsize(), MAX_GROUP - 1)):
            job = self._queue.get()
            if job is None:
                self._queue.put(None)  # stop after this group
                return
            yield job

    def _run_group(self, connection: Connection, group: list[_Job]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        transaction = SqlTransaction(connection, self._clock.now_ms(), self._ids)
        for job in group:
            self._run_job(connection, transaction, job)
        connection.execute("COMMIT")
        if transaction.events.appended and self._tell is not None:
            self._tell()

    @staticmethod
    def _run_job(connection: Connection, transaction: Transaction, job: _Job) -> None:
        connection.execute("SAVEPOINT job")
        try:
            job.result = job.context.run(job.run, transaction)
        except Exception as error:
            job.error = failure_of(error)
            if job.error is not None or not connection.in_transaction:
                # The whole group is lost: SQLite rolled back by itself (disk full, I/O error), or would fail whatever
                # comes after in this transaction (as it does once it met a damaged page).
                raise
            connection.execute("ROLLBACK TO job")
            job.error = error
        connection.execute("RELEASE job")


def _open(path: Path) -> Connection:
    """A connection for writing to a database that has this version's schema.

    Raises:
        DataLoss: What is there is damaged, or is no database.
        Unavailable: It cannot be opened.
    """
    try:
        migrate(path)
        return connect(path)
    except DatabaseError as error:
        failure = failure_of(error)
        if failure is None:
            raise
        if isinstance(failure, DataLoss):
            failure = DataLoss(
                "The database is damaged. Restore a backup by `holdfast restore`, and keep what is there until then."
            )
        raise failure from error


def _answer(group: list[_Job]) -> None:
    """Hand each job's result to the event loop that waits for it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in group:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, jobs)
        except RuntimeError:
            logger.warning("%d answers had no event loop to go to", len(jobs))


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.cancelled():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
            job.future.exception()  # retrieved here: a caller that was cancelled never will
        else:
            job.future.set_result(job.result)
