"""Logs what is measured of a trained model later: its scores, and metrics of what it predicted.

A metric is named ``<function>_<variable>``, after the variable that holds the data; a second call of the function is
``<function>-2_<variable>``. What each was called with is in the run's ``metric_info.json``. Of the user's data only ids
are held here, and of models and predictions no longer than they live.
"""

from __future__ import annotations

import inspect
import numbers
import os
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from holdfast.entities import DatasetInput, InputTag

if TYPE_CHECKING:
    from holdfast._autologging.training import Training
    from holdfast._client import Client

FILE = "metric_info.json"
CONTEXT_TAG = "mlflow.data.context"
UNKNOWN = "unknown_dataset"
# Of one run; a program that predicts for each request must not fill the run with datasets of one row.
MAX_DATASETS = 50
_MAX_TEXT = 32


class _Ids:
    """Values by objects, which are held by their ids as long as they live; by equality an array has no key."""

    def __init__(self) -> None:
        self._values: dict[int, Any] = {}

    def get(self, item: Any) -> Any:
        return self._values.get(id(item))

    def put(self, item: Any, value: Any) -> None:
        """Nothing happens with what cannot be referred to weakly, such as a list: its id might be another's later."""
        try:
            weakref.finalize(item, self._values.pop, id(item), None).atexit = False
        except TypeError:
            return
        self._values[id(item)] = value


@dataclass  # without slots, which Python 3.10 cannot refer to weakly
class _Evaluated:
    """A run that a model was trained in, and what was measured since.

    Attributes:
        client: To log to it.
        run_id: It.
        names: How many objects each variable's name has stood for, and which number an object is.
        calls: How often each function was called.
        commands: The calls, by metric.
        datasets: Names and digests of what was linked to it.
    """

    client: Client
    run_id: str
    names: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    numbers: dict[str, _Ids] = field(default_factory=lambda: defaultdict(_Ids))
    calls: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    commands: dict[str, str] = field(default_factory=dict)
    datasets: set[str] = field(default_factory=set)

    def name_of(self, data: Any, variable: str) -> str:
        """The name of data that ``variable`` holds, with a number if that has held other data before."""
        number = self.numbers[variable].get(data)
        if number is None:
            self.names[variable] += 1
            number = self.names[variable]
            self.numbers[variable].put(data, number)
        return _numbered(variable, number)

    def key_of(self, function: str, dataset: str, command: str) -> str:
        """The metric of one more call of ``function``."""
        self.calls[function] += 1
        key = f"{_numbered(function, self.calls[function])}_{dataset}"
        self.commands[key] = command
        return key


@dataclass(frozen=True, slots=True)
class _Model:
    run: _Evaluated
    model_id: str | None


@dataclass(frozen=True, slots=True)
class _Prediction:
    model: _Model
    dataset: str


class Evaluations:
    """Models that were trained with autologging, and what they predicted."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # Kept by the models that were trained in them, and by predictions of these.
        self._runs: weakref.WeakValueDictionary[str, _Evaluated] = weakref.WeakValueDictionary()
        self._models, self._predictions = _Ids(), _Ids()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._runs.clear()
            self._models, self._predictions = _Ids(), _Ids()

    def add(self, estimator: Any, training: Training) -> None:
        """Attend to a model from now on."""
        run = training.run
        with self._lock:
            evaluated = self._runs.setdefault(run.info.run_id, _Evaluated(run.client, run.info.run_id))
            self._models.put(estimator, _Model(evaluated, training.model_id))

    def knows(self, estimator: Any) -> bool:
        """Whether a model is attended to."""
        return self._models.get(estimator) is not None

    def note_prediction(self, estimator: Any, data: Any, result: Any, *, log_datasets: bool) -> None:
        """Remember what a model predicted, and link its run to the data."""
        from holdfast._autologging.datasets import describe

        model: _Model = self._models.get(estimator)
        variable = _variable_of(data)
        with self._lock:
            self._predictions.put(result, _Prediction(model, model.run.name_of(data, variable)))
        dataset = describe(data) if log_datasets and len(model.run.datasets) < MAX_DATASETS else None
        if dataset is not None and dataset.digest not in model.run.datasets:
            model.run.datasets.add(dataset.digest)
            inputs = [DatasetInput(dataset, [InputTag(CONTEXT_TAG, "eval")])]
            model.run.client.log_inputs(model.run.run_id, inputs)

    def log_score(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], score: Any
    ) -> None:
        """Log what a model's ``score`` said."""
        if not _is_number(score):
            return
        estimator, *_ = args
        model: _Model = self._models.get(estimator)
        data = next(iter([*args[1:], *kwargs.values()]), None)
        name = f"{type(estimator).__name__}_score"
        command = _command(f"{type(estimator).__name__}.{original.__name__}", original, args, kwargs, skipped=1)
        self._log(model, name, model.run.name_of(data, _variable_of(data)), command, score)

    def log_metric(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], value: Any
    ) -> None:
        """Log what a function of ``sklearn.metrics`` said of a prediction; of anything else nothing."""
        if not _is_number(value):
            return
        found = (self._predictions.get(argument) for argument in (*args, *kwargs.values()))
        prediction: _Prediction | None = next((item for item in found if item is not None), None)
        if prediction is not None:
            command = _command(original.__name__, original, args, kwargs)
            self._log(prediction.model, original.__name__, prediction.dataset, command, value)

    def _log(self, model: _Model, function: str, dataset: str, command: str, value: Any) -> None:
        run = model.run
        with self._lock:
            key = run.key_of(function, dataset, command)
            commands = dict(sorted(run.commands.items()))
        run.client.log_metric(run.run_id, key, float(value), model_id=model.model_id)
        run.client.log_dict(run.run_id, commands, FILE)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _command(
    name: str, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, skipped: int = 0
) -> str:
    """A call as it may have been written."""
    names = list(inspect.signature(original).parameters)
    named = {**dict(zip(names[skipped:], args[skipped:], strict=False)), **kwargs}
    return f"{name}({', '.join(f'{key}={_text_of(value)}' for key, value in named.items())})"


def _text_of(value: Any) -> str:
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        return repr(value[:_MAX_TEXT] + "...")
    if value is None or isinstance(value, (str, bytes, numbers.Number)):
        return repr(value)
    return _variable_of(value, f"<{type(value).__name__}>")


def _variable_of(value: Any, otherwise: str = UNKNOWN) -> str:
    """The variable that holds a value where it came from: in the nearest caller that was not itself given it."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        if not str(frame.f_globals.get("__name__", "")).startswith("holdfast._autologging"):
            given, name = _held_by(frame, value)
            if not given:
                return name or otherwise
        frame = frame.f_back
    return otherwise


def _held_by(frame: FrameType, value: Any) -> tuple[bool, str]:
    """Whether the function of a frame was given a value, and else the variable of it that holds the value."""
    code, names = frame.f_code, frame.f_locals
    count = code.co_argcount + code.co_kwonlyargcount
    rest = code.co_varnames[count : count + _count_of_rests(code)]
    arguments = [names.get(name) for name in code.co_varnames[:count]]
    for name in rest:
        held = names.get(name, ())
        arguments += held.values() if isinstance(held, dict) else held
    found = next((name for name, held in list(names.items()) if held is value), "")
    given = any(argument is value for argument in arguments)
    del arguments
    _let_go(frame, names)
    return given, found


def _count_of_rests(code: CodeType) -> int:
    return bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)


def _let_go(frame: FrameType, names: Any) -> None:
    """Undo that looking at the variables of a function made a copy of them, which lives as long as the call.

    The user's data and models would live on with it. Python 3.13 makes none. A copy that somebody else has too, by
    ``locals()`` or a debugger, is theirs.
    """
    references = 3  # the frame's, this function's caller's, and this function's
    is_copy = type(names) is dict and frame.f_code.co_flags & inspect.CO_OPTIMIZED
    if is_copy and sys.gettrace() is None and frame.f_trace is None and sys.getrefcount(names) <= references + 1:
        names.clear()
