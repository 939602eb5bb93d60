"""Which run is active, here and in this process."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast import _leases, _open_files, _system_metrics
from holdfast._context import PARENT_TAG
from holdfast._journal import processes as _processes  # noqa: F401 - its end of the program comes after this module's
from holdfast._termination import end_runs_on_sigterm
from holdfast._worker_end import at_worker_end
from holdfast.entities import Run
from holdfast.errors import FailedPreconditionError, HoldfastError, NotFoundError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

logger = logging.getLogger(__name__)

# Seconds for the server to be told that a run was interrupted; it is tried once more at exit.
KILLED_SECONDS = 2.0


class ActiveRun(Run):
    """A run that is going on: leaving its ``with`` block ends it.

    FINISHED as a rule, KILLED by Ctrl-C, FAILED by any other exception.
    """

    __hash__ = Run.__hash__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        item = _open.get(self.info.run_id)
        if item is not None and item.pid != os.getpid():
            return  # A forked process leaves the block as well; the run is its parent's.
        if kind is None:
            finish(self, "FINISHED")
        else:
            # What the user's code raised matters more than that its end could not be recorded.
            _end_quietly(self, status_after(kind))


def status_after(kind: type[BaseException] | None) -> str:
    """The status of a run whose block was left by an exception of ``kind``."""
    if kind is None:
        return "FINISHED"
    return "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"


@dataclass(slots=True)
class _Open:
    """A run that was begun and not ended.

    Attributes:
        run: The run.
        pid: The process that began it, which alone ends it at exit.
        adopted: Whether it was nested into a run that another context began.
        ending: The status that it should have by now: the server could not be told so. None before its end.
    """

    run: ActiveRun
    pid: int
    adopted: bool = False
    ending: str | None = None


# Innermost last. A context (thread, task) sees the runs that it began, and those begun before it was split off.
_stack: ContextVar[tuple[str, ...]] = ContextVar("holdfast_active_runs", default=())
_open: dict[str, _Open] = {}
_lock = threading.Lock()
_last_run: ActiveRun | None = None


def begin(run: ActiveRun) -> ActiveRun:
    """Make a run the active one of this context."""
    global _last_run  # noqa: PLW0603 - one process has one last run
    stack = _own_stack()
    with _lock:
        adopted = not stack and run.data.tags.get(PARENT_TAG) in _open
        _open[run.info.run_id] = _Open(run, os.getpid(), adopted)
        _last_run = run
    _stack.set((*(item.info.run_id for item in stack), run.info.run_id))
    at_worker_end(end_all, "FINISHED", priority=10)
    end_runs_on_sigterm()
    return run


def finish(run: ActiveRun, status: str) -> None:
    """End a run, after those that this context began inside it; one that has ended already stays as it is.

    What the server cannot be told now stays active, so that it can be told later: by this function, or at exit.
    """
    stack = _stack.get()
    position = stack.index(run.info.run_id) if run.info.run_id in stack else len(stack)
    # A run that is not on this context's stack was begun elsewhere, and so were those inside it.
    ending = stack[position:] or (run.info.run_id,)
    try:
        with contextlib.ExitStack() as ends:
            # In reverse. An exit stack goes on when one of them fails, and raises what failed in the end.
            for run_id in ending:
                ends.callback(_finish_one, run_id, status)
    finally:
        _stack.set(tuple(run_id for run_id in stack if run_id in _open))


def _finish_one(run_id: str, status: str) -> None:
    item = _open.get(run_id)
    if item is None:
        return
    # FINISHED is what a later attempt says that knows no better; a block left by an exception has FAILED for good.
    item.ending = status if item.ending is None or status != "FINISHED" else item.ending
    _system_metrics.stop(run_id)
    try:
        _open_files.close_of_run(run_id)
    finally:
        _record_end(run_id, item)


def _record_end(run_id: str, item: _Open) -> None:
    assert item.ending is not None
    try:
        item.run.end(item.ending)
    except (NotFoundError, FailedPreconditionError):
        # It was deleted meanwhile: no later attempt would do better, and it must not stay active for ever.
        _forget(run_id)
        raise
    _forget(run_id)


def _forget(run_id: str) -> None:
    global _last_run  # noqa: PLW0603 - one process has one last run
    with _lock:
        item = _open.pop(run_id, None)
        if item is not None:
            _last_run = item.run
    _leases.drop(run_id)


def active_run() -> ActiveRun | None:
    """The innermost run of this context; else the one run that is active in the process, if there is exactly one.

    With nested runs the innermost counts. Other threads and tasks thus log to a script's only run without more ado.
    """
    stack = _stack.get()
    item = _open.get(stack[-1]) if stack else None
    if item is not None:  # as a rule, and each metric asks for it
        return item.run
    own = _own_stack()
    if own:
        return own[-1]
    with _lock:
        parents = {item.run.data.tags.get(PARENT_TAG) for item in _open.values()}
        innermost = [item.run for run_id, item in _open.items() if run_id not in parents]
    return innermost[0] if len(innermost) == 1 else None


def parent_for_nested() -> ActiveRun | None:
    """The run that ``start_run(nested=True)`` begins a run in: the innermost of this context, else the process's one.

    A context without a run of its own, such as a worker thread, nests beside the runs of other workers, not in them.
    """
    stack = _own_stack()
    if stack:
        return stack[-1]
    with _lock:
        items = {run_id: item for run_id, item in _open.items() if not item.adopted}
    parents = {item.run.data.tags.get(PARENT_TAG) for item in items.values()}
    innermost = [item.run for run_id, item in items.items() if run_id not in parents]
    return innermost[0] if len(innermost) == 1 else None


def retry_ending(run: ActiveRun) -> bool:
    """End a run whose end could not be recorded before, and tell whether it was such a one.

    Raises:
        HoldfastError: It cannot be recorded now either.
    """
    item = _open.get(run.info.run_id)
    if item is None or item.ending is None:
        return False
    finish(run, item.ending)
    return True


def is_ending(run: ActiveRun) -> bool:
    """Whether a run is over, and only its server could not be told so yet."""
    item = _open.get(run.info.run_id)
    return item is not None and item.ending is not None


def active_here() -> ActiveRun | None:
    """The innermost run that this context itself began."""
    stack = _own_stack()
    return stack[-1] if stack else None


def last_run() -> ActiveRun | None:
    """The active run; without one that which ended last, or else was made active last."""
    return active_run() or _last_run


def _own_stack() -> list[ActiveRun]:
    # Another context may have ended what stands on this one's stack.
    return [item.run for item in (_open.get(run_id) for run_id in _stack.get()) if item is not None]


def end_all(status: str) -> None:
    """End every run that this process began, innermost first; failures are logged."""
    with _lock:
        runs = [item.run for item in _open.values() if item.pid == os.getpid()]
    for run in reversed(runs):
        _end_quietly(run, status)


def _end_quietly(run: ActiveRun, status: str) -> None:
    try:
        with _in_a_hurry() if status == "KILLED" else contextlib.nullcontext():
            finish(run, status)
    except HoldfastError as error:
        logger.warning("Run %s could not be ended: %s", run.info.run_id, error)


def _in_a_hurry() -> contextlib.AbstractContextManager[None]:
    """For a program that Ctrl-C ends: whoever pressed it waits, and a server that stands still must not keep them."""
    from holdfast._channel import leave_all
    from holdfast._patience import hurried

    # A deadline does not end a call whose first bytes wait behind those of an upload that stands still, as gRPC does
    # not let go of a write that it has begun; that takes TCP's own limit, of 20 s.
    leave_all()
    return hurried(KILLED_SECONDS)


@atexit.register
def _end_at_exit() -> None:
    if not _open:
        return
    # Python keeps the exception that ended a program here; in a session it is only the last one shown.
    kind = None if hasattr(sys, "ps1") else getattr(sys, "last_type", None)
    with contextlib.suppress(Exception):
        end_all(status_after(kind))


def _renew_lock() -> None:
    # Another thread may have held it when this process was forked.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
