"""How Python models are written into packages: as objects, or as data with a module that loads them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.errors import InvalidArgumentError
from holdfast.models._code_files import run_code_file
from holdfast.models._files import local_path
from holdfast.models._pickle_modules import modules_in_pickle
from holdfast.models._pickling import dump_object, imports_of_code
from holdfast.models._writer import Flavor, SavedModel
from holdfast.models._yaml import read_mapping
from holdfast.pyfunc import _portable
from holdfast.pyfunc._artifacts import check_artifacts, copy_artifacts
from holdfast.pyfunc._calls import as_model, call_python_model
from holdfast.pyfunc._portable import PythonModelContext

__all__ = ["choose_flavor"]

MODEL_FILE = "python_model.pkl"
# The name that it has in MLmodel.
MODEL_CONFIG = "config"


def choose_flavor(
    *,
    python_model: Any,
    artifacts: Any,
    loader_module: Any,
    data_path: str | os.PathLike[str] | None,
    model_config: Any,
    streamable: bool | None,
) -> Flavor:
    """Return the way that the arguments of ``log_model`` ask for.

    Raises:
        InvalidArgumentError: They ask for none or both, or one breaks a rule.
        FileNotFoundError: One names a file that is missing.
    """
    config = read_mapping(model_config, "model_config")
    if loader_module is not None or data_path is not None:
        if python_model is not None or artifacts is not None:
            raise InvalidArgumentError("Give python_model and artifacts, or loader_module and data_path, not both.")
        return LoaderFlavor(loader_module, data_path, config, streamable)
    if python_model is None:
        raise InvalidArgumentError("Give a python_model, or a loader_module with its data_path.")
    if isinstance(python_model, (str, os.PathLike)):
        return CodeFileFlavor(python_model, artifacts, config, streamable)
    return PythonModelFlavor(as_model(python_model), artifacts, config, streamable)


class _Written(NamedTuple):
    """How a model was written: what MLmodel says of it, modules that it imports, distributions that it takes."""

    config: dict[str, Any]
    modules: set[str]
    distributions: tuple[str, ...]


class PythonModelFlavor:
    """A `PythonModel` or a function, stored by cloudpickle with its code."""

    name = "python_function"
    loader_module = "mlflow.pyfunc.model"

    def __init__(
        self, model: Any, artifacts: Any, model_config: dict[str, Any] | None, streamable: bool | None
    ) -> None:
        """Check the arguments.

        Args:
            model: What `as_model` gives.
            artifacts: Paths and URIs by name.
            model_config: Plain data.
            streamable: None to look.

        Raises:
            InvalidArgumentError: ``artifacts`` are no such mapping.
            FileNotFoundError: An artifact is missing.
        """
        self._model = model
        self._artifacts = check_artifacts(artifacts)
        self._config = model_config
        self._streamable = streamable
        self._context: PythonModelContext | None = None

    def write(self, directory: Path) -> SavedModel:
        """Write the model and its artifacts.

        Raises:
            InvalidArgumentError: It cannot be serialized, or its code fails.
        """
        written = self._write_model(directory)
        copied = copy_artifacts(self._artifacts, directory)
        self._context = PythonModelContext(
            {name: str(directory / item["path"]) for name, item in copied.items()}, self._config
        )
        own = getattr(type(self._model), "predict_stream", None)
        config = {
            **written.config,
            "streamable": _has_own_stream(own) if self._streamable is None else bool(self._streamable),
            **({"artifacts": copied} if copied else {}),
            **({MODEL_CONFIG: self._config} if self._config else {}),
        }
        return SavedModel(config=None, pyfunc=config, modules=written.modules, distributions=written.distributions)

    def predict(self, data: Any, params: dict[str, Any] | None) -> Any:
        """Return what pyfunc would."""
        assert self._context is not None
        self._model.load_context(self._context)
        return call_python_model(self._model, "predict", self._context, data, params)

    def _write_model(self, directory: Path) -> _Written:
        import cloudpickle

        # For good: taking it back would be a race with another thread that saves a model.
        cloudpickle.register_pickle_by_value(_portable)
        file = directory / MODEL_FILE
        with file.open("wb") as stream:
            imported = dump_object(self._model, stream, "cloudpickle")
        return _Written(
            {"cloudpickle_version": cloudpickle.__version__, "python_model": MODEL_FILE},
            modules_in_pickle(file) | imported,
            ("cloudpickle",),
        )


class CodeFileFlavor(PythonModelFlavor):
    """A file of code that sets the model when it is run; nothing is pickled."""

    loader_module = "mlflow.pyfunc.loaders.code_model"

    def __init__(
        self,
        file: str | os.PathLike[str],
        artifacts: Any,
        model_config: dict[str, Any] | None,
        streamable: bool | None,
    ) -> None:
        """Check the arguments; the file is not run yet.

        Raises:
            InvalidArgumentError: It is no Python file.
            FileNotFoundError: It, or an artifact, is missing.
        """
        super().__init__(None, artifacts, model_config, streamable)
        self._file = local_path(file)
        if not self._file.exists():
            raise FileNotFoundError(f"python_model names {os.fspath(file)!r}, which does not exist.")
        if self._file.suffix != ".py" or "." in self._file.stem or not self._file.is_file():
            raise InvalidArgumentError(
                f"python_model names {os.fspath(file)!r}; a file of code has a name such as model.py."
            )

    def _write_model(self, directory: Path) -> _Written:
        data = self._file.read_bytes()
        (directory / self._file.name).write_bytes(data)
        self._model = as_model(run_code_file(self._file.name, {self._file.name: data}, self._config))
        return _Written({"model_code_path": self._file.name}, imports_of_code([str(self._file)]), ())


class LoaderFlavor:
    """Data, and the name of a module whose ``_load_pyfunc`` makes a model of it."""

    name = "python_function"

    def __init__(
        self,
        loader_module: Any,
        data_path: str | os.PathLike[str] | None,
        model_config: dict[str, Any] | None,
        streamable: bool | None,
    ) -> None:
        """Check the arguments; the module is not imported.

        Raises:
            InvalidArgumentError: It is no name of a module.
            FileNotFoundError: The data are missing.
        """
        if not isinstance(loader_module, str) or not all(map(str.isidentifier, loader_module.split("."))):
            raise InvalidArgumentError(
                f"loader_module must be the name of a module with a function _load_pyfunc, not {loader_module!r:.80}."
            )
        if data_path is not None and not local_path(data_path).exists():
            raise FileNotFoundError(f"data_path names {os.fspath(data_path)!r}, which does not exist.")
        self.loader_module = loader_module
        self._data = None if data_path is None else local_path(data_path).resolve()
        self._config = model_config
        self._streamable = bool(streamable)

    def write(self, directory: Path) -> SavedModel:
        """Copy the data."""
        config: dict[str, Any] = {"streamable": self._streamable}
        if self._data is not None:
            target = directory / "data" / self._data.name
            target.parent.mkdir()
            if self._data.is_dir():
                shutil.copytree(self._data, target)
            else:
                shutil.copy(self._data, target)
            config["data"] = f"data/{self._data.name}"
        if self._config:
            config[MODEL_CONFIG] = self._config
        return SavedModel(config=None, pyfunc=config, modules={self.loader_module})

    def predict(self, data: Any, params: dict[str, Any] | None) -> Any:  # noqa: ARG002 - what all flavors have
        """Refuse to."""
        raise InvalidArgumentError(f"{self.loader_module} is not imported while the model is saved; pass a signature")


def _has_own_stream(method: Any) -> bool:
    inherited = getattr(method, "__module__", "") in (_portable.__name__, "mlflow.pyfunc.model")
    return method is not None and not inherited
