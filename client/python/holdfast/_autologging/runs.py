"""The run that a training is logged to: the active one, or one of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from holdfast import _active_run
from holdfast._autologging.steps import Steps
from holdfast._start_run import start_run

if TYPE_CHECKING:
    from holdfast._active_run import ActiveRun

AUTOLOGGING_TAG = "mlflow.autologging"
FLAVOR = "sklearn"

# Runs that were begun for a training which goes on. Another thread that trains has nothing to do with them, even while
# such a run is the only one that is active in the process.
_own: set[str] = set()


def user_run() -> ActiveRun | None:
    """The run that the user has begun and that is active here."""
    run = _active_run.active_here()
    if run is None:
        run = _active_run.active_run()
        if run is not None and run.info.run_id in _own:
            return None
    return None if run is None or _active_run.is_ending(run) else run


@contextlib.contextmanager
def run_for_training(tags: Mapping[str, str], steps: Steps) -> Iterator[ActiveRun | None]:
    """The active run, or else a new one with ``tags`` that ends with this block; None when none could be begun.

    A run of its own is FINISHED, KILLED by Ctrl-C, or FAILED by any other exception of the block.
    """
    run, own = None, None
    with steps.step("The run of a training"):
        run = user_run()
        if run is None:
            run = own = start_run(tags={AUTOLOGGING_TAG: FLAVOR, **tags})
    if own is None:
        yield run
        return
    _own.add(own.info.run_id)
    try:
        yield own
    except BaseException as error:
        with steps.step("The end of the run"):
            own.__exit__(type(error), error, error.__traceback__)
        raise
    else:
        with steps.step("The end of the run"):
            own.__exit__(None, None, None)
    finally:
        _own.discard(own.info.run_id)
