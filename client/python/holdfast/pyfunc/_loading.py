"""Loads Python models, and models that a module loads which the package names."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._calling import LoadedModel
from holdfast.models._code_files import run_code_file
from holdfast.models._declared import declared_object
from holdfast.models._placing import PlacedFiles
from holdfast.models._reader import Package
from holdfast.models._warn import warn
from holdfast.pyfunc._calls import as_model, call_python_model
from holdfast.pyfunc._mlflow_names import find_stand_in
from holdfast.pyfunc._portable import PythonModelContext

__all__ = ["load_by_module", "load_python_model"]


class LoadedPythonModel:
    """A Python model with its context, and the files that it leads to."""

    def __init__(self, model: Any, context: PythonModelContext, files: PlacedFiles) -> None:
        self._model, self._context, self._files = model, context, files

    def call(self, method: str, data: Any, params: dict[str, Any] | None) -> Any:
        """Call ``method`` of the model."""
        return call_python_model(self._model, method, self._context, data, params)

    def get_raw_model(self) -> Any:
        """Return the model."""
        return self._model


def load_python_model(package: Package, model_config: dict[str, Any] | None) -> LoadedPythonModel:
    """Load a model that was saved by ``python_model=``, here or by MLflow, and let it load its context.

    It is an object that was pickled, or what a file of code sets.

    Raises:
        InvalidArgumentError: The package is malformed, or the model does not load.
        UntrustedModelError: It would run code of somebody who is not trusted.
        DataLossError: A file is not the one that was saved.
    """
    config = package.mlmodel.flavor("python_function")
    if config.get("python_model_compression"):
        raise InvalidArgumentError(
            f"The model is compressed by {config['python_model_compression']!r}, which is not supported: save it "
            "without MLFLOW_LOG_MODEL_COMPRESSION, or load it by mlflow.pyfunc.load_model."
        )
    artifacts = config.get("artifacts") or {}
    if not isinstance(artifacts, dict) or not all(isinstance(item, dict) for item in artifacts.values()):
        raise InvalidArgumentError("artifacts in MLmodel must be a mapping of names to mappings with a path.")
    declared = declared_object("python_function", config)
    if declared is None:
        model = as_model(_run_code_file(package, config, model_config))
    else:
        _warn_of_other_cloudpickle(config.get("cloudpickle_version"))
        model = _as_python_model(
            package.load_object(*declared, code=config.get("code"), stand_in=find_stand_in), declared.path
        )
    files = PlacedFiles(package, [item.get("path") for item in artifacts.values()])
    paths = {str(name): str(files.path(item["path"])) for name, item in artifacts.items()}
    context = PythonModelContext(paths, model_config)
    model.load_context(context)
    return LoadedPythonModel(model, context, files)


def _as_python_model(found: Any, path: Any) -> Any:
    """Return ``found``, if it can be called as a Python model.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if inspect.isclass(found) or not all(callable(getattr(found, name, None)) for name in ("predict", "load_context")):
        kind = f"the class {found.__name__}" if inspect.isclass(found) else f"an object of {type(found).__name__}"
        raise InvalidArgumentError(
            f"{path} holds {kind} and no Python model, which has the methods predict and load_context. The package is "
            "broken; save the model again by holdfast.pyfunc.save_model."
        )
    return found


def _run_code_file(package: Package, config: Mapping[str, Any], model_config: dict[str, Any] | None) -> Any:
    # MLflow writes where the file was when the model was saved.
    name = re.split(r"[/\\]", str(config["model_code_path"]))[-1]
    package.trust.require(f"Running {name} of the package")
    beside = package.code_files(config["code"]) if config.get("code") else {}
    return run_code_file(name, {**beside, name: bytes(package.read(name))}, model_config)


class _LoadedFromFiles(LoadedModel):
    """A model that may read its files whenever it likes."""

    def __init__(self, model: Any, files: PlacedFiles) -> None:
        super().__init__(model)
        self._files = files


def load_by_module(package: Package, name: str, model_config: dict[str, Any] | None) -> LoadedModel:
    """Load a model by ``_load_pyfunc`` of the module ``name``, which the package brings or which is installed.

    Raises:
        UntrustedModelError: It would run code of somebody who is not trusted.
        InvalidArgumentError: There is no such module, or it has no such function.
        DataLossError: A file is not the one that was saved.
    """
    config = package.mlmodel.flavor("python_function")
    package.trust.require(f"Loading the model by {name}, as the package asks,")
    code = package.code(config["code"]) if config.get("code") else None
    try:
        module = code.import_module(name) if code is not None and code.owns(name) else importlib.import_module(name)
        load = module._load_pyfunc  # noqa: SLF001 - MLflow's name for what a loader has
    except ModuleNotFoundError as error:
        raise InvalidArgumentError(
            f"The model is loaded by {name!r}, which takes the module {error.name!r}, and that is not installed. "
            "Holdfast itself loads what mlflow.sklearn, mlflow.lightgbm and mlflow.pyfunc.model do."
        ) from error
    except AttributeError:
        raise InvalidArgumentError(f"The model is loaded by {name!r}, which has no function _load_pyfunc.") from None
    data = config.get("data")
    files = PlacedFiles(package, [data] if data else None)
    path = str(files.path(data) if data else files.root)
    with contextlib.nullcontext() if code is None else code.visible():  # what it loads may refer to the package's code
        model = load(path, model_config) if model_config else load(path)
    return _LoadedFromFiles(model, files)


def _warn_of_other_cloudpickle(saved: Any) -> None:
    import cloudpickle

    if isinstance(saved, str) and saved != cloudpickle.__version__:
        warn(
            f"The model was saved with cloudpickle {saved}, and this is cloudpickle {cloudpickle.__version__}; it may "
            "not load or predict as it did."
        )
