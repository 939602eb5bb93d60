"""Blocks of uploads that take longer than a day."""

from __future__ import annotations

import hashlib
import secrets

from holdfast._transfer.keeping import KEEP_SECONDS, BlockKeeper
from holdfast_server.storage.sql.connection import connect


def test_blocks_are_kept_for_another_day_once_an_hour(server, client, run_id):
    data = secrets.token_bytes(70_000)
    client.log_bytes(run_id, data, "f")
    digest = hashlib.sha256(data).digest()
    database = connect(server.app.config.data_dir / "holdfast.db")

    def touched() -> int:
        return database.execute("SELECT touch_time FROM blocks WHERE digest = ?", (digest,)).fetchone()[0]

    now = 0.0
    keeper = BlockKeeper(client.channel, clock=lambda: now)
    database.execute("UPDATE blocks SET touch_time = touch_time - 120000 WHERE digest = ?", (digest,))
    before = touched()
    now = KEEP_SECONDS - 1
    keeper.keep([[digest], [digest]])
    assert touched() == before
    now += 2
    keeper.keep([[digest], [digest]])
    kept = touched()
    assert kept > before
    keeper.keep([[digest]])
    assert touched() == kept
    database.close()
