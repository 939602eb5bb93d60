"""Who makes the call that is being answered, wherever in the server one asks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from holdfast_server.domain.access import ANONYMOUS, Caller

_caller: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)


def current_caller() -> Caller:
    """The caller; nobody in particular, who may do everything, where the server asks nobody or works for itself.

    Transactions know it too: the database runs each in the context of whoever asked for it.
    """
    return _caller.get()


@contextlib.contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Within this block ``caller`` makes the call."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)
