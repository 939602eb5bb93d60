"""Named points on both sides of each step of a commit, at which a process may kill itself.

Nothing here is part of the server: ``failpoint_server`` puts the steps around the server's own parts before it starts.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

VARIABLE = "FAILPOINT"
TRACE_VARIABLE = "FAILPOINT_TRACE"
ARM = signal.SIGUSR1

# What stands around every step: a kill before it leaves nothing of it, a kill after it leaves it unanswered.
COMMON_STEPS = (
    "block.put",  # a block as an object of its own
    "pack.put",  # small blocks that arrived together, stored and not recorded
    "rows.blocks",  # statements within a transaction …
    "rows.stage",
    "rows.seal",
    "rows.remove",
    "rows.request",
    "commit",  # … and its COMMIT
    "answer.blocks",
    "answer.commit",
    "answer.delete",
)
LOCAL_STEPS = (
    "object.write",  # into a temporary name
    "object.sync",
    "object.rename",
    "directory.make",
    "directory.sync",
)
SIDES = ("before", "after")


def points(backend: str) -> list[str]:
    """The names of all points that a server on ``backend`` passes."""
    steps = COMMON_STEPS + (LOCAL_STEPS if backend == "local" else ())
    return [f"{step}:{side}" for step in steps for side in SIDES]


class Failpoints:
    """Kills the process at the n-th passing of one point, counted from the arming signal on.

    Args:
        wanted: ``commit:before@3``; empty for none.
        trace: A file that gets the name of each point when it is passed first; empty for none.
    """

    def __init__(self, wanted: str, trace: str) -> None:
        self._wanted, _, number = wanted.partition("@")
        self._left = int(number or 1)
        self._trace = trace
        self._seen: set[str] = set()
        self._lock = threading.RLock()
        self._armed = False

    def arm(self, *_: object) -> None:
        """Begin to count; a signal handler."""
        self._armed = True

    def passing(self, point: str) -> None:
        """The process is at ``point``."""
        if not self._armed:
            return
        with self._lock:
            if self._trace and point not in self._seen:
                self._seen.add(point)
                with open(self._trace, "a", encoding="utf-8") as file:
                    file.write(f"{point}\n")
            if point == self._wanted:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, step: str | Callable[..., str | None]) -> None:
        """Put a step around a function of a module or class; ``step`` may name it by the arguments, or decline."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def passed(*args: Any, **kwargs: Any) -> Any:
            named = step if isinstance(step, str) else step(*args, **kwargs)
            if named is None:
                return original(*args, **kwargs)
            self.passing(f"{named}:before")
            result = original(*args, **kwargs)
            self.passing(f"{named}:after")
            return result

        setattr(owner, name, passed)
