"""The end of processes that multiprocessing begins, which Python's own exit handlers do not see."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_registered: set[tuple[int, Callable[..., object]]] = set()


def at_worker_end(function: Callable[..., object], *arguments: Any, priority: int) -> None:
    """Call a function at the end of this process if multiprocessing began it; once, however often this is asked.

    Args:
        function: What to call.
        arguments: With what.
        priority: Higher ones are called first.
    """
    multiprocessing, key = sys.modules.get("multiprocessing"), (os.getpid(), function)
    if multiprocessing is None or multiprocessing.parent_process() is None or key in _registered:
        return
    from multiprocessing.util import Finalize

    _registered.add(key)
    Finalize(None, function, args=arguments, exitpriority=priority)
