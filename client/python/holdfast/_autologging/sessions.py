"""Tells the training that a user began from those that are part of another one.

A forest trains trees, a search trains candidates, a cross-validation trains folds: only what is outermost is logged.
Within a thread a context variable tells, and joblib's tasks take it along to other threads. In a cross-validation,
which is no training itself, the call stack tells. Threads in which a user trains, joblib's too, are no part of each
other.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FrameType
from typing import Any

# What trains folds and the like: cross_validate, cross_val_predict, learning_curve and so on.
_CROSS_VALIDATION = "sklearn.model_selection._validation"

_inside: ContextVar[bool] = ContextVar("holdfast_autologging", default=False)


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Whatever is trained or evaluated within this block is a part of what it is about."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def is_part() -> bool:
    """Whether what is called now is part of something that is logged, or not to be logged, as a whole."""
    if _inside.get():
        return True
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - Python's own way to look at the stack
    while frame is not None:
        if frame.f_globals.get("__name__") == _CROSS_VALIDATION:
            return True
        frame = frame.f_back
    return False


def dispatch(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``joblib.Parallel.__call__``: tasks of what is a part, or has parts, are parts in whichever thread."""
    if len(args) != 2 or kwargs or not is_part():
        return original(*args, **kwargs)
    parallel, tasks = args
    return original(parallel, ((_Part(function), *arguments) for function, *arguments in tasks))


class _Part:
    """A function of a task within a session; in another process, where nothing is logged, it is just the function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with session():
            return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return copy.copy, (self._function,)
