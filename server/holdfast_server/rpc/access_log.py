"""A line of the log for each call."""

from __future__ import annotations

import logging
import time

from holdfast_server.calls import Call, End

logger = logging.getLogger("holdfast_server.access")

# What is the server's fault is worth a line whatever the level is.
_FAULTS = {"INTERNAL", "DATA_LOSS", "UNKNOWN"}


class AccessLog:
    """Writes who called what, how it ended and how long it took; never what was said.

    Args:
        level: Of ``logging``; lines of calls that failed by the server's fault are warnings at least.
    """

    def __init__(self, level: int) -> None:
        self._level = level

    def begin(self, call: Call) -> End:
        """Note when a call begins."""
        began = time.perf_counter()

        def end(code: str) -> None:
            level = max(self._level, logging.WARNING) if code in _FAULTS else self._level
            if logger.isEnabledFor(level):
                seconds = time.perf_counter() - began
                logger.log(
                    level,
                    "%s %s in %.1f ms from %s",
                    call.method,
                    code,
                    seconds * 1000,
                    call.peer,
                    extra={"call": {"method": call.method, "code": code, "seconds": seconds, "peer": call.peer}},
                )

        return end
