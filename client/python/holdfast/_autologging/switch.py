"""Turns autologging on and off: what is wrapped, and what the wrappers do.

Whatever logs is called within a step here, so that none of it can break what the user does.
"""

from __future__ import annotations

import importlib.metadata
import logging
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from holdfast._autologging.estimators import FITTING, PREDICTING, SCORING, Algorithms, definers
from holdfast._autologging.evaluations import Evaluations
from holdfast._autologging.imports import after_import
from holdfast._autologging.overrides import goes_on
from holdfast._autologging.patches import Patches, unwrapped
from holdfast._autologging.runs import run_for_training, user_run
from holdfast._autologging.sessions import dispatch, is_part, session
from holdfast._autologging.settings import Settings
from holdfast._autologging.steps import Steps

if TYPE_CHECKING:
    from holdfast._autologging.training import Training

logger = logging.getLogger("holdfast.sklearn")

PACKAGE = "sklearn"
# Through which scikit-learn hands work to threads.
_THREADS = "joblib.parallel"
FIRST_SUPPORTED = (1, 3)
# Of sklearn.metrics; they measure nothing.
_SCORER_MAKER = "make_scorer"
_NO_METRICS = {"check_scoring", "get_scorer", "get_scorer_names", _SCORER_MAKER}


class Switch:
    """Autologging of this process: off, or on with settings."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._settings: Settings | None = None
        # Whether the library was told by itself to be on or off, which counts more than what all were told.
        self._chosen_by_itself = False
        self._patches = Patches()
        self._algorithms = Algorithms()
        self._evaluations = Evaluations()
        self._end_imports: Callable[[], object] | None = None

    @property
    def settings(self) -> Settings | None:
        """What it was told; None while it is off."""
        return self._settings

    def turn_on(self, settings: Settings, *, for_all: bool = False) -> None:
        """Log trainings from now on.

        Args:
            settings: How.
            for_all: Whether they are meant for every library; what was chosen for this one counts more.
        """
        with self._lock:
            if for_all and self._chosen_by_itself:
                return
            self._settings, self._chosen_by_itself = settings, not for_all
            if self._end_imports is None:
                ends = [after_import(PACKAGE, self._attend), after_import(_THREADS, self._attend_threads)]
                self._end_imports = lambda: [end() for end in ends]

    def turn_off(self, *, for_all: bool = False) -> None:
        """Log no more, and put back what was replaced.

        Args:
            for_all: Whether every library is meant; what was chosen for this one counts more.
        """
        with self._lock:
            if for_all and self._chosen_by_itself:
                return
            self._settings, self._chosen_by_itself = None, not for_all
            if self._end_imports is not None:
                self._end_imports()
                self._end_imports = None
            self._patches.restore()
            self._evaluations.clear()

    def _attend(self, module: ModuleType) -> None:
        for kind in self._algorithms.add_from(module):
            for names, around in ((FITTING, self._fit), (PREDICTING, self._predict), ((SCORING,), self._score)):
                for name in names:
                    for owner in definers(kind, name):
                        self._patches.wrap_method(owner, name, around)
        if module.__name__ == "sklearn.metrics":
            for name in module.__all__:
                if name not in _NO_METRICS:
                    self._patches.wrap_function(module, name, self._measure)
            self._patches.wrap_function(module, _SCORER_MAKER, _make_scorer)

    def _attend_threads(self, module: ModuleType) -> None:
        self._patches.wrap_method(module.Parallel, "__call__", dispatch)

    def _fit(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        settings = self._settings
        if settings is None or not args or type(args[0]) not in self._algorithms or is_part():
            return original(*args, **kwargs)
        with session():
            if settings.exclusive and user_run() is not None:
                return original(*args, **kwargs)
            return self._train(settings, original, args, kwargs)

    def _train(
        self, settings: Settings, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        steps = Steps(silent=settings.silent)
        training: Training | None = None
        is_trained = True
        with run_for_training(settings.extra_tags, steps) as run:
            if run is None:
                return original(*args, **kwargs)
            with steps.step("What the training was given"):
                # Which takes protobuf, and a program that turns autologging on may not train anything.
                from holdfast._autologging.training import Training

                training = Training(run, args[0], settings, steps)
                training.begin(args[1:], kwargs)
                is_trained = not goes_on(type(args[0]))
            result = original(*args, **kwargs)
            with steps.step("What came of the training"):
                if training is not None and is_trained:
                    training.end()
                elif training is not None:
                    training.leave_out()
        if settings.log_post_training_metrics and training is not None:
            with steps.step("The model's evaluation"):
                self._evaluations.add(args[0], training)
        return result

    def _predict(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        settings = self._settings
        if settings is None or not args or not self._evaluations.knows(args[0]) or is_part():
            return original(*args, **kwargs)
        with session():
            result = original(*args, **kwargs)
            with Steps(silent=settings.silent).step("The data of a prediction"):
                data = next(iter([*args[1:], *kwargs.values()]), None)
                self._evaluations.note_prediction(args[0], data, result, log_datasets=settings.log_datasets)
        return result

    def _score(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        settings = self._settings
        if settings is None or not args or not self._evaluations.knows(args[0]) or is_part():
            return original(*args, **kwargs)
        with session():
            score = original(*args, **kwargs)
            with Steps(silent=settings.silent).step("A score"):
                self._evaluations.log_score(original, args, kwargs, score)
        return score

    def _measure(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        settings = self._settings
        if settings is None or not settings.log_post_training_metrics or is_part():
            return original(*args, **kwargs)
        with session():
            value = original(*args, **kwargs)
            with Steps(silent=settings.silent).step("A metric"):
                self._evaluations.log_metric(original, args, kwargs, value)
        return value


def _make_scorer(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # skops cannot store wrappers, and scorers are not logged.
    return original(*map(unwrapped, args), **{name: unwrapped(value) for name, value in kwargs.items()})


switch = Switch()


def is_supported() -> bool:
    """Whether the scikit-learn that is installed is one that autologging was made for."""
    try:
        found = importlib.metadata.version("scikit-learn")
    except importlib.metadata.PackageNotFoundError:
        return True  # there is nothing to log
    return tuple(int(part) for part in found.split(".")[:2]) >= FIRST_SUPPORTED


def autolog_sklearn(
    *, disable: bool, disable_for_unsupported_versions: bool, for_all: bool = False, **settings: Any
) -> None:
    """Turn autologging of scikit-learn on or off.

    Raises:
        InvalidArgumentError: A setting breaks a rule; nothing changes.
    """
    chosen = Settings(**settings)
    if disable or (disable_for_unsupported_versions and not is_supported()):
        if not disable and not chosen.silent:
            wanted = ".".join(map(str, FIRST_SUPPORTED))
            logger.warning("Autologging is off: it was made for scikit-learn %s and later.", wanted)
        switch.turn_off(for_all=for_all)
    else:
        switch.turn_on(chosen, for_all=for_all)
