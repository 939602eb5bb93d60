"""Streams a resource as it is, then its events, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.message import Message

from holdfast.v1 import event_pb2
from holdfast_server.domain.event import Event
from holdfast_server.rpc.convert.events import event_to_proto
from holdfast_server.services.cursors import WatchStart
from holdfast_server.services.event_hub import EventHub
from holdfast_server.services.ports.database import Database, Transaction

# Below the 20 s that the protocol promises.
HEARTBEAT = 15.0
_HEARTBEAT = event_pb2.WatchHeartbeat()

# Where a watch begins, and the part of its response that holds what is watched; a watch that goes on has none.
Begun = tuple[WatchStart, dict[str, Message]]


class WatchSender:
    """Sends what a watch tells; the kinds of watch differ only in their messages and in what they begin with."""

    def __init__(self, database: Database, hub: EventHub) -> None:
        self._database, self._hub = database, hub

    async def send(
        self, begin: Callable[[Transaction], Begun], response: Callable[..., Any], wanted: Callable[[Event], bool]
    ) -> AsyncIterator[Any]:
        """Responses: what is watched, or a heartbeat when the watch goes on; then events, and heartbeats after them.

        Args:
            begin: Reads what is watched and the place in the events at one moment.
            response: Makes a response of a cursor and a part.
            wanted: Which events are sent; one that ends the watch always is.

        Raises:
            OutOfRange: CURSOR_EXPIRED.
            Unavailable: The server is stopping.
        """
        start, state = await self._database.read(begin)
        if start.ended:
            return
        # Who goes on gets a second heartbeat when there is nothing more of what happened meanwhile.
        is_catching_up = not state
        yield response(cursor=start.cursor(start.after), **(state or {"heartbeat": _HEARTBEAT}))
        state.clear()  # which would otherwise be kept for hours
        watch = self._hub.watch(start)
        try:
            due = time.monotonic() + (0.0 if is_catching_up else HEARTBEAT)
            while True:
                events = await watch.next(max(0.0, due - time.monotonic()))
                for event in events:
                    is_last = start.scope.ends_with(event)
                    if not is_last and not wanted(event):
                        continue
                    cursor = start.cursor(event.sequence, ended=is_last)
                    yield response(cursor=cursor, event=event_to_proto(event))
                    if is_last:
                        return
                    if not is_catching_up:
                        due = time.monotonic() + HEARTBEAT
                if time.monotonic() >= due and not (is_catching_up and events):
                    is_catching_up = False
                    yield response(cursor=start.cursor(watch.position), heartbeat=_HEARTBEAT)
                    due = time.monotonic() + HEARTBEAT
        finally:
            watch.close()
