"""The writer thread outlives whatever fails under it, and every write gets an answer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast_server.errors import DataLoss, DomainError, Unavailable
from holdfast_server.services.ports.database import Transaction
from holdfast_server.storage.sql import sqlite
from holdfast_server.storage.sql.connection import DatabaseError, OperationalError, connect
from holdfast_server.storage.sql.sqlite import SqliteDatabase

TIMEOUT_S = 120


class FixedClock:
    def now_ms(self) -> int:
        return 1_000


class NoIds:
    def new_id(self) -> str:
        raise AssertionError("no id is needed here")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "holdfast.db", clock=FixedClock(), ids=NoIds())
    yield database
    await asyncio.to_thread(database.close)


def add(name: str) -> Any:
    def job(tx: Any) -> str:
        tx._connection.execute("INSERT INTO experiments (name, create_time, update_time) VALUES (?, 0, 0)", (name,))
        return name

    return job


def names(tx: Any) -> set[str]:
    return {row["name"] for row in tx._connection.execute("SELECT name FROM experiments")} - {"Default"}


async def write(database: SqliteDatabase, job: Any) -> Any:
    """A write that must be answered."""
    return await asyncio.wait_for(database.write(job), TIMEOUT_S)


class Ends(BaseException):
    """What no ``except Exception`` sees, like SystemExit."""


def break_connection(tx: Any) -> None:
    """What a connection is like that can neither commit nor roll back."""
    tx._connection.close()


def interrupt(tx: Any) -> None:
    """SQLite rolled back by itself, as it does when the disk is full."""
    tx._connection.execute("ROLLBACK")
    raise sqlite3.OperationalError("database or disk is full")


def end_thread(tx: Any) -> None:
    raise Ends


def leave_no_savepoint(tx: Any) -> None:
    tx._connection.execute("COMMIT")
    tx._connection.execute("BEGIN")


@pytest.mark.parametrize("failing", [break_connection, interrupt, end_thread, leave_no_savepoint])
async def test_a_group_that_fails_is_refused_and_the_next_write_succeeds(database: SqliteDatabase, failing: Any):
    answers = await asyncio.gather(
        *(write(database, job) for job in (add("before"), failing, add("after"))), return_exceptions=True
    )
    assert isinstance(answers[1], Unavailable)
    assert await write(database, add("later")) == "later"
    kept = await database.read(names)
    # Whoever was told of success finds it kept, and whoever was not told so does not.
    if failing is not leave_no_savepoint:
        assert kept == {"later", *(answer for answer in answers if isinstance(answer, str))}
    assert all(isinstance(answer, str | Unavailable) for answer in answers)


def read_damaged(tx: Any) -> None:
    tx._connection.execute("SELECT * FROM experiment_tags").fetchall()


def read_no_text(tx: Any) -> None:
    tx._connection.execute("SELECT CAST(x'ff' AS TEXT)").fetchall()


def write_read_only(tx: Any) -> None:
    tx._connection.execute("PRAGMA query_only=ON")
    try:
        add("never")(tx)
    finally:
        tx._connection.execute("PRAGMA query_only=OFF")


def fill(tx: Any) -> None:
    """No page is left, as on a full disk."""
    pages = tx._connection.execute("PRAGMA max_page_count=1").fetchone()[0]
    try:
        tx._connection.execute("UPDATE experiments SET name = name || hex(zeroblob(1000000))")
    finally:
        tx._connection.execute("PRAGMA max_page_count=1000000")
    raise AssertionError(f"{pages} pages were enough")


def misspell(tx: Any) -> None:
    tx._connection.execute("SELECT name FROM nowhere")


def damage(path: Path, table: str) -> None:
    """Overwrite the first page of a table, as a disk may; nobody has the database open."""
    connection = connect(path)
    try:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


@pytest.fixture
async def damaged(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """A database of which one table cannot be read."""
    path = tmp_path / "damaged.db"
    SqliteDatabase(path, clock=FixedClock(), ids=NoIds()).close()
    damage(path, "experiment_tags")
    database = SqliteDatabase(path, clock=FixedClock(), ids=NoIds())
    yield database
    await asyncio.to_thread(database.close)


@pytest.mark.parametrize(
    ("failing", "error", "text"),
    [
        pytest.param(read_damaged, DataLoss, "database is damaged", id="damaged"),
        pytest.param(read_no_text, DataLoss, "database is damaged", id="no text"),
        pytest.param(write_read_only, Unavailable, "is read-only", id="read-only"),
        pytest.param(fill, Unavailable, "disk is full", id="full"),
    ],
)
async def test_what_fails_in_sqlite_is_told_without_its_text_and_the_next_write_succeeds(
    damaged: SqliteDatabase, caplog: pytest.LogCaptureFixture, failing: Any, error: type[DomainError], text: str
):
    with pytest.raises(error, match=text) as caught:
        await write(damaged, failing)
    for hidden in ("damaged.db", "experiment", "malformed", "readonly", "disk or"):
        assert hidden not in caught.value.message
    assert "sqlite3" in caplog.text  # which says why
    assert ("Traceback" in caplog.text) == (error is DataLoss)  # a full disk fails each write; a line says all
    assert await write(damaged, add("later")) == "later"
    assert await damaged.read(names) == {"later"}


async def test_those_who_share_a_transaction_with_a_failure_in_sqlite_may_try_again(damaged: SqliteDatabase):
    jobs = [add("one"), read_damaged, add("two")]
    answers = await asyncio.gather(*(write(damaged, job) for job in jobs), return_exceptions=True)
    assert isinstance(answers[1], DataLoss)
    kept = {answer for answer in answers if isinstance(answer, str)}
    assert await damaged.read(names) == kept
    for job, answer in zip(jobs, answers, strict=True):
        if isinstance(answer, Unavailable):
            assert "try again" in answer.message
            kept.add(await write(damaged, job))
    assert kept == await damaged.read(names) == {"one", "two"}


async def test_reads_go_on_after_one_that_failed(damaged: SqliteDatabase):
    for _ in range(5):  # more than there are readers
        with pytest.raises(DataLoss, match="database is damaged"):
            await damaged.read(read_damaged)
        with pytest.raises(DatabaseError, match="closed"):
            await damaged.read(break_connection)
    assert await damaged.read(names) == set()


async def test_a_database_that_another_process_holds_says_so(database: SqliteDatabase, tmp_path: Path):
    await write(database, lambda tx: tx._connection.execute("PRAGMA busy_timeout=0").close())
    other = connect(tmp_path / "holdfast.db")
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="in use by another process"):
            await write(database, add("one"))
    finally:
        other.close()
    assert await write(database, add("two")) == "two"


async def test_a_defect_of_a_statement_is_no_failure_of_the_disk(database: SqliteDatabase):
    for call in (database.write(misspell), database.read(misspell)):
        with pytest.raises(OperationalError, match="nowhere"):
            await call
    assert await write(database, add("later")) == "later"


async def test_an_error_of_a_job_is_its_callers_alone(database: SqliteDatabase):
    def refused(tx: Transaction) -> None:
        add("gone")(tx)
        raise ValueError("no")

    answers = await asyncio.gather(
        write(database, add("one")), write(database, refused), write(database, add("two")), return_exceptions=True
    )
    assert (answers[0], answers[2]) == ("one", "two")
    assert isinstance(answers[1], ValueError)
    assert await database.read(names) == {"one", "two"}


async def test_writes_are_refused_while_no_connection_can_be_opened(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
):
    def cannot(*_: Any, **__: Any) -> Any:
        raise DatabaseError("unable to open database file")

    monkeypatch.setattr(sqlite, "connect", cannot)
    with pytest.raises(Unavailable):
        await write(database, break_connection)
    answers = await asyncio.gather(*(write(database, add(str(n))) for n in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 5
    monkeypatch.setattr(sqlite, "connect", connect)
    assert await write(database, add("again")) == "again"


async def test_a_read_without_a_connection_is_unavailable(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch):
    def cannot(*_: Any, **__: Any) -> Any:
        raise DatabaseError("unable to open database file")

    monkeypatch.setattr(sqlite, "connect", cannot)
    with pytest.raises(Unavailable):
        await database.read(names)


def test_a_database_that_cannot_be_opened_fails_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def cannot(*_: Any, **__: Any) -> Any:
        raise DatabaseError("unable to open database file")

    monkeypatch.setattr(sqlite, "connect", cannot)
    with pytest.raises(Unavailable, match="cannot be used"):
        SqliteDatabase(tmp_path / "holdfast.db", clock=FixedClock(), ids=NoIds())


async def test_a_closed_database_finishes_what_it_took_and_refuses_the_rest(tmp_path: Path):
    database = SqliteDatabase(tmp_path / "holdfast.db", clock=FixedClock(), ids=NoIds())
    taken = [asyncio.create_task(database.write(add(str(n)))) for n in range(300)]  # more than one group
    await asyncio.sleep(0)  # each task runs until it waits for its answer
    await asyncio.to_thread(database.close)
    assert [await task for task in taken] == [str(n) for n in range(300)]
    with pytest.raises(Unavailable):
        await write(database, add("late"))
