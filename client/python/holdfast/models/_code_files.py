"""Models from a file of code, which is run when the model is saved and when it is loaded, and sets the model.

Nothing is unpickled then, but code is run, so it falls under the same rule of trust. Such files are often written for
MLflow. Where that is installed they use it; elsewhere ``import mlflow`` inside of them means Holdfast.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from holdfast.errors import HoldfastError, InvalidArgumentError
from holdfast.models._code import PackagedCode
from holdfast.models._yaml import read_mapping

__all__ = ["ModelConfig", "run_code_file", "set_model"]


@dataclass(slots=True)
class _Run:
    """One run of a file: the configuration of its model, and the model when it was set."""

    config: dict[str, Any] | None
    model: Any = None


_current: ContextVar[_Run | None] = ContextVar("holdfast_code_file", default=None)
# MLflow keeps what its own functions are told in variables of its modules.
_running = threading.RLock()


def set_model(model: Any) -> None:
    """Say which object or function is the model, in a file of code that is saved by ``python_model="file.py"``.

    Where the file is run by itself, this does nothing.

    Args:
        model: An instance of a class that derives from ``PythonModel``, or a function of one argument.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if not callable(model) and not callable(getattr(model, "predict", None)):
        raise InvalidArgumentError(
            f"set_model takes an instance of a class that derives from PythonModel, or a function, not {model!r:.80}."
        )
    if (run := _current.get()) is not None:
        run.model = model
    elif (theirs := _mlflow_models()) is not None:  # which may be the one that runs the file
        theirs.__mlflow_model__ = model


class ModelConfig:
    """The configuration of a model, in a file of code: what it was saved or loaded with by ``model_config=``."""

    def __init__(self, *, development_config: Mapping[str, Any] | str | os.PathLike[str] | None = None) -> None:
        """Read it.

        Args:
            development_config: What it is where the file is run by itself: plain data, or the path of a YAML file.

        Raises:
            InvalidArgumentError: There is none.
            FileNotFoundError: ``development_config`` names no file.
        """
        run = _current.get()
        config = read_mapping(development_config, "development_config") if run is None else run.config
        if config is None:
            raise InvalidArgumentError("The code asks for a configuration; save the model with model_config=.")
        self._config = config

    def get(self, key: str) -> Any:
        """Return the value of ``key``.

        Raises:
            KeyError: There is none.
        """
        return self._config[key]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it."""
        return dict(self._config)


def run_code_file(name: str, files: Mapping[str, bytes], config: dict[str, Any] | None) -> Any:
    """Run one file of code, and return what it set as the model.

    Args:
        name: Which of ``files`` it is.
        files: Contents, checked by the caller, by path: the file, and modules that it may import.
        config: What `ModelConfig` says meanwhile.

    Raises:
        InvalidArgumentError: It fails, or sets no model.
        ModuleNotFoundError: A module that it needs is not installed.
    """
    run = _Run(config)
    with _running:
        token = _current.set(run)
        try:
            with _mlflow_state():
                code = PackagedCode(files, import_other=_import_for(run))
                code.import_module(PurePosixPath(name).stem)
                if run.model is None and (theirs := _mlflow_models()) is not None:
                    run.model = theirs.__mlflow_model__
        except (HoldfastError, MemoryError, ModuleNotFoundError):
            raise
        except Exception as error:
            raise InvalidArgumentError(f"{name} does not run: {type(error).__name__}: {error}") from error
        finally:
            _current.reset(token)
    if run.model is None:
        raise InvalidArgumentError(f"{name} sets no model: it has to call holdfast.models.set_model(…).")
    return run.model


def _import_for(run: _Run) -> Callable[..., Any]:
    """What imports for the file whatever does not come along."""
    installed = importlib.util.find_spec("mlflow") is not None

    def import_(name: str, scope: Any, local: Any, fromlist: Sequence[str], level: int) -> Any:
        if level or name.partition(".")[0] != "mlflow":
            return builtins.__import__(name, scope, local, fromlist, level)
        if not installed:
            return builtins.__import__(f"holdfast{name.removeprefix('mlflow')}", scope, local, fromlist, 0)
        imported = builtins.__import__(name, scope, local, fromlist, level)
        # An empty text is how MLflow says that a model is saved without a configuration.
        vars(importlib.import_module("mlflow.models.model_config"))["__mlflow_model_config__"] = run.config or ""
        return imported

    return import_


@contextlib.contextmanager
def _mlflow_state() -> Iterator[None]:
    """Let MLflow's own functions find nothing of other models, and leave nothing of this one."""
    before = None
    if (models := _mlflow_models()) is not None:
        before, models.__mlflow_model__ = models.__mlflow_model__, None
    try:
        yield
    finally:
        if (models := _mlflow_models()) is not None:
            models.__mlflow_model__ = before
        if (config := sys.modules.get("mlflow.models.model_config")) is not None:
            vars(config)["__mlflow_model_config__"] = None


def _mlflow_models() -> Any:
    """Where MLflow keeps the model that was set; None as long as it is not imported."""
    return sys.modules.get("mlflow.models.model")
