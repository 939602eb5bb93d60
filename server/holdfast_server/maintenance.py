"""What a server does by itself every hour. A part of the composition root."""

from __future__ import annotations

import asyncio
import logging

from holdfast_server.errors import DomainError
from holdfast_server.services.live_artifacts import LiveArtifactService
from holdfast_server.storage.sql.sqlite import SqliteDatabase

logger = logging.getLogger(__name__)

MAINTENANCE_SECONDS = 3600


async def maintain_for_ever(database: SqliteDatabase, live: LiveArtifactService, *, alone_at_ms: int | None) -> None:
    """Clean up now and every hour; what fails is tried again the next time.

    ``alone_at_ms``: a time at which this was the only process, in milliseconds since 1970; None: others were there.
    """
    while True:
        try:
            await database.maintain(alone_at_ms=alone_at_ms)
            await live.close_abandoned()
        except DomainError as error:
            logger.warning("maintenance was put off: %s", error.message)
        except Exception:
            logger.exception("maintenance failed; it is tried again in an hour")
        await asyncio.sleep(MAINTENANCE_SECONDS)
