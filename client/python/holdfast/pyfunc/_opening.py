"""Chooses how the model of a package is loaded."""

from __future__ import annotations

import importlib
import platform
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._declared import CODE_FILE, FLAVOR_LOADERS, PYTHON_MODEL
from holdfast.models._reader import Package
from holdfast.models._warn import warn
from holdfast.pyfunc._model import PyFuncModel

__all__ = ["load_package"]


def load_package(
    package: Package, *, model_config: dict[str, Any] | None = None, suppress_warnings: bool = False
) -> PyFuncModel:
    """Load the model of an open package.

    Args:
        package: The package.
        model_config: Goes before what the package has under the same names.
        suppress_warnings: Do not warn when the model was saved with another version of Python.

    Raises:
        NotFoundError: It has no python_function flavor.
        InvalidArgumentError: Its loader cannot be imported, or it is malformed.
        UntrustedModelError: Loading it would run code of somebody who is not trusted.
        DataLossError: A file is not the one that was saved.
    """
    config = package.mlmodel.flavor("python_function")
    loader = config.get("loader_module")
    if not isinstance(loader, str) or not loader:
        raise InvalidArgumentError(f"loader_module in MLmodel must be the name of a module, not {loader!r:.80}.")
    if not suppress_warnings:
        _warn_of_other_python(config.get("python_version"))
    recorded = config.get("config") or {}
    if not isinstance(recorded, dict):
        raise InvalidArgumentError("config of python_function in MLmodel must be a mapping.")
    # As in MLflow, what the model was not saved with has no effect.
    known = {name: value for name, value in (model_config or {}).items() if name in recorded}
    if unknown := sorted((model_config or {}).keys() - known.keys()):
        warn(f"The model has no configuration named {unknown}; it has {sorted(recorded)}. They are ignored.")
    merged = {**recorded, **known} or None
    if loader in FLAVOR_LOADERS:
        implementation = importlib.import_module(FLAVOR_LOADERS[loader]).load_pyfunc(package)
    else:
        from holdfast.pyfunc import _loading

        implementation = (
            _loading.load_python_model(package, merged)
            if loader in (PYTHON_MODEL, CODE_FILE)
            else _loading.load_by_module(package, loader, merged)
        )
    return PyFuncModel(package.mlmodel, implementation, str(config.get("predict_fn") or "predict"))


def _warn_of_other_python(saved: Any) -> None:
    current = platform.python_version()
    if isinstance(saved, str) and saved.split(".")[:2] != current.split(".")[:2]:
        warn(
            f"The model was saved with Python {saved}, and this is Python {current}; it may not load or predict as "
            "it did."
        )
