"""Small calls come before bulk."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from holdfast_server.app import App
from holdfast_server.stores import BLOCKS_NICE


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a priority of its own")
async def test_threads_that_store_blocks_give_way_and_others_do_not(app: App):
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    own = niceness()
    assert await app.artifacts._in_thread(niceness) == min(own + BLOCKS_NICE, 19)
    assert await app.database.read(lambda _: niceness()) == own
    assert await app.database.write(lambda _: niceness()) == own
    assert await asyncio.to_thread(niceness) == own
