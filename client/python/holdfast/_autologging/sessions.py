"""Tells the training that a user began from those that are part of another one.

A forest trains trees, a search trains candidates, a cross-validation trains folds: only what is outermost is logged.
Within a thread a context variable tells. scikit-learn also trains in threads of its own, which do not have it; there,
and in a cross-validation, the call stack tells. Two threads in which a user trains are no part of each other.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType

# Modules through which scikit-learn hands work to threads.
_WORKERS = frozenset({"joblib.parallel", "sklearn.utils.parallel"})
# What trains folds and the like: cross_validate, cross_val_predict, learning_curve and so on.
_CROSS_VALIDATION = "sklearn.model_selection._validation"

_inside: ContextVar[bool] = ContextVar("holdfast_autologging", default=False)
_lock = threading.Lock()
_open = 0


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Whatever is trained or evaluated within this block is a part of what it is about."""
    global _open  # noqa: PLW0603 - a count of the process's
    token = _inside.set(True)
    with _lock:
        _open += 1
    try:
        yield
    finally:
        with _lock:
            _open -= 1
        _inside.reset(token)


def is_part() -> bool:
    """Whether what is called now is part of something that is logged, or not to be logged, as a whole."""
    if _inside.get():
        return True
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - Python's own way to look at the stack
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == _CROSS_VALIDATION or (_open and module in _WORKERS):
            return True
        frame = frame.f_back
    return False


def _renew() -> None:
    # Sessions of other threads do not exist in a process that was forked, nor does whoever held the lock.
    global _lock, _open  # noqa: PLW0603
    _lock = threading.Lock()
    _open = 1 if _inside.get() else 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
