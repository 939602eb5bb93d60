"""Audit logs on disk, made by the parts that servers make them of, with seals where a test wants them."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from holdfast_server.domain.access import Caller, Role
from holdfast_server.host import RandomIds, SystemClock
from holdfast_server.services.audit_sealing import head_of, seal_some
from holdfast_server.services.auditing import auditing, note_change
from holdfast_server.services.callers import calling
from holdfast_server.storage.privacy import make_data_directory
from holdfast_server.storage.sql.sqlite import SqliteDatabase

ADA = Caller("ada", Role.ADMIN, token_id="0123456789abcdef")
# The triggers that keep the server itself from changing what is sealed.
TRIGGERS = (
    "audit_records_stay_as_sealed",
    "audit_records_stay",
    "audit_segments_stay_as_sealed",
    "audit_segments_stay",
)


def write_log(data_dir: Path, *segments: int, unsealed: int = 0) -> list[str]:
    """Write segments of so many records, and some records that are not sealed; returns the segments' heads."""
    make_data_directory(data_dir)
    database = SqliteDatabase(data_dir / "holdfast.db", clock=SystemClock(), ids=RandomIds())

    async def write() -> list[str]:
        heads = []
        for count in segments:
            await note(count)
            segment = await database.write(seal_some)
            assert segment is not None
            heads.append(head_of(segment))
        await note(unsealed)
        return heads

    async def note(count: int) -> None:
        with calling(ADA), auditing("holdfast.v1.RunService/UpdateRun"):
            for number in range(count):
                await database.write(lambda tx, n=number: note_change(tx, [f"run/{n}", "experiment/0"], {"n": n}))

    try:
        return asyncio.run(write())
    finally:
        database.close()


def tamper(data_dir: Path, *statements: str) -> None:
    """Change the file as somebody with a shell would."""
    connection = sqlite3.connect(data_dir / "holdfast.db")
    try:
        for trigger in TRIGGERS:
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            assert connection.execute(statement).rowcount != 0
        connection.commit()
    finally:
        connection.close()
