"""Whether the machine is watched while a run goes on, and how often: settings, as MLflow has them.

They live in the environment, so that processes begun by this one have them too.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import numbers
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast._checks import check_text
from holdfast._config import parse_flag
from holdfast.errors import FailedPreconditionError, InvalidArgumentError

if TYPE_CHECKING:
    from holdfast._active_run import ActiveRun
    from holdfast._system_sampling import Sampler

logger = logging.getLogger(__name__)

ENABLE_VARIABLE = "HOLDFAST_ENABLE_SYSTEM_METRICS_LOGGING"
INTERVAL_VARIABLE = "HOLDFAST_SYSTEM_METRICS_SAMPLING_INTERVAL"
SAMPLES_VARIABLE = "HOLDFAST_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING"
NODE_VARIABLE = "HOLDFAST_SYSTEM_METRICS_NODE_ID"
PREFIX = "system/"

_MISSING = (
    "System metrics are measured by psutil, which is not installed: pip install 'holdfast[system-metrics]'. "
    "Or begin runs with log_system_metrics=False."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the machine is watched.

    Attributes:
        interval: Seconds between samples.
        samples: How many samples make one point, which is their mean.
        node_id: Tells machines of one run apart; empty for none.
    """

    interval: float = 10.0
    samples: int = 1
    node_id: str = ""

    @property
    def prefix(self) -> str:
        """What the keys of the metrics begin with."""
        return f"{PREFIX}{self.node_id}/" if self.node_id else PREFIX


def enable_system_metrics_logging() -> None:
    """Watch the machine during each run that begins from now on, unless ``start_run`` is told otherwise."""
    os.environ[ENABLE_VARIABLE] = "true"


def disable_system_metrics_logging() -> None:
    """Watch the machine during no run that begins from now on, unless ``start_run`` is told otherwise."""
    os.environ[ENABLE_VARIABLE] = "false"


def set_system_metrics_sampling_interval(interval: float | None) -> None:
    """Choose the seconds between samples for runs that begin from now on; None for 10.

    Raises:
        InvalidArgumentError: It is no positive number.
    """
    _set(INTERVAL_VARIABLE, interval, _check_interval)


def set_system_metrics_samples_before_logging(samples: int | None) -> None:
    """Choose how many samples make one point, their mean, for runs that begin from now on; None for 1.

    Raises:
        InvalidArgumentError: It is no positive whole number.
    """
    _set(SAMPLES_VARIABLE, samples, _check_samples)


def set_system_metrics_node_id(node_id: str | None) -> None:
    """Name this machine where several log to one run: metrics are ``system/<node_id>/…``; None for ``system/…``.

    Raises:
        InvalidArgumentError: It cannot be a part of a metric's key.
    """
    _set(NODE_VARIABLE, node_id, _check_node_id)


def sampling_wanted(asked: bool | None) -> Sampling | None:
    """How the machine is to be watched during a run that begins now; None for not at all.

    Args:
        asked: What ``start_run`` was told; None for what the environment says.

    Raises:
        InvalidArgumentError: A setting is malformed.
        FailedPreconditionError: It was asked for, and psutil is not installed.
    """
    if asked is None:
        asked, insisted = parse_flag(os.environ.get(ENABLE_VARIABLE, "").strip(), ENABLE_VARIABLE), False
    else:
        insisted = True
    if not asked:
        return None
    if importlib.util.find_spec("psutil") is None:
        if insisted:
            raise FailedPreconditionError(_MISSING)
        logger.warning("%s", _MISSING)
        return None
    environ = {name: os.environ.get(name, "").strip() for name in (INTERVAL_VARIABLE, SAMPLES_VARIABLE, NODE_VARIABLE)}
    return Sampling(
        interval=_check_interval(environ[INTERVAL_VARIABLE] or 10.0, INTERVAL_VARIABLE),
        samples=_check_samples(environ[SAMPLES_VARIABLE] or 1, SAMPLES_VARIABLE),
        node_id=_check_node_id(environ[NODE_VARIABLE], NODE_VARIABLE) if environ[NODE_VARIABLE] else "",
    )


def _set(variable: str, value: Any, check: Any) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = str(check(value, variable))


def _check_interval(value: Any, what: str) -> float:
    number = _number(value)
    if not 0 < number < math.inf:
        raise InvalidArgumentError(f"{what} is a number of seconds above 0, not {value!r:.80}.")
    return number


def _check_samples(value: Any, what: str) -> int:
    number = _number(value)
    if not number >= 1 or number != int(number):
        raise InvalidArgumentError(f"{what} is a whole number from 1, not {value!r:.80}.")
    return int(number)


def _number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, (str, numbers.Real)) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    return number if math.isfinite(number) else math.nan


def _check_node_id(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidArgumentError(f"{what} is a name of this machine, not {value!r:.80}.")
    check_text(f"{PREFIX}{value}/system_memory_usage_percentage", "metric")
    return value


# Those of runs that this process began; a forked one has no threads of its parent's.
_samplers: dict[str, Sampler] = {}


def start(run: ActiveRun, sampling: Sampling, *, resumed: bool) -> None:
    """Watch the machine until ``stop``.

    Args:
        run: Where the metrics go.
        sampling: How.
        resumed: Whether it may have such metrics, whose steps then go on.
    """
    from holdfast._system_sampling import Sampler

    sampler = Sampler(run, sampling, resumed=resumed)
    if sampler.start():
        _samplers[run.info.run_id] = sampler


def stop(run_id: str) -> None:
    """Watch no more for a run that ends; what was sampled is logged."""
    sampler = _samplers.pop(run_id, None)
    if sampler is not None:
        sampler.stop()


def is_watched(run_id: str) -> bool:
    """Whether the machine is watched for a run."""
    return run_id in _samplers


def drop(run_id: str) -> None:
    """Watch no more for a run that something else ended; what was sampled since the last point belongs to no run."""
    sampler = _samplers.pop(run_id, None)
    if sampler is not None:
        sampler.drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_samplers.clear)
