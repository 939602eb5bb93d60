"""``python -m holdfast_server.backup`` that kills itself: ``python killed_program.py STEP ARGUMENTS…``.

The step is that many syncs, renames, links and removals of trees, counted from 1; it dies before the last of them.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast_server.backup.__main__ import main

left, lock = int(sys.argv[1]), threading.Lock()


def killing(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def passed(*arguments: Any, **named: Any) -> Any:
        global left  # noqa: PLW0603 - threads share it
        with lock:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    return passed


for owner, name in ((os, "fsync"), (os, "link"), (Path, "rename"), (Path, "unlink"), (shutil, "rmtree")):
    setattr(owner, name, killing(getattr(owner, name)))
sys.exit(main(sys.argv[2:]))
