"""Models of any flavor behind one method, ``predict``, with their signature enforced; and models in one's own words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from holdfast.models._environment import RequirementsArgument
from holdfast.models._info import ModelInfo
from holdfast.models._log import LogOptions, log_package
from holdfast.models._reader import open_package
from holdfast.models._writer import PackageOptions, save_package
from holdfast.models._yaml import read_mapping
from holdfast.models.signature import ModelSignature
from holdfast.pyfunc._model import PyFuncModel
from holdfast.pyfunc._opening import load_package
from holdfast.pyfunc._portable import PythonModel, PythonModelContext

__all__ = ["PyFuncModel", "PythonModel", "PythonModelContext", "load_model", "log_model", "save_model"]

_Path = str | os.PathLike[str]


def log_model(
    artifact_path: str | None = None,
    loader_module: str | None = None,
    data_path: _Path | None = None,
    code_paths: Sequence[_Path] | None = None,
    *,
    conda_env: Mapping[str, Any] | _Path | None = None,
    python_model: PythonModel | Callable[[Any], Any] | Any = None,
    artifacts: Mapping[str, _Path] | None = None,
    registered_model_name: str | None = None,
    signature: ModelSignature | Literal[False] | None = None,
    input_example: Any = None,
    await_registration_for: float | None = 300,
    pip_requirements: RequirementsArgument = None,
    extra_pip_requirements: RequirementsArgument = None,
    metadata: dict[str, Any] | None = None,
    model_config: Mapping[str, Any] | _Path | None = None,
    streamable: bool | None = None,
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
) -> ModelInfo:
    """Log a model in one's own words: an object or function with its files, or data with a module that loads them.

    Arguments that are not listed are those of `holdfast.sklearn.log_model`. An object is stored by cloudpickle: what
    the main program defines goes into the package with its code, and so does `PythonModel`; what modules define is
    stored by name, and such modules have to be in ``code_paths`` or installed where the model is loaded.

    Args:
        artifact_path: Deprecated spelling of ``name``.
        loader_module: Name of a module, installed or in ``code_paths``, with a function ``_load_pyfunc(data_path)``
            whose result has ``predict``; instead of ``python_model``.
        data_path: A file or directory to save for that function.
        code_paths: Files and directories with Python code that the model needs; importable when it is loaded.
        conda_env: As there.
        python_model: An instance of a class that derives from `PythonModel`, or a function of one argument; or the
            path of a Python file that sets one by `holdfast.models.set_model` when it is run. Then nothing is pickled:
            the file is run now, and again when the model is loaded.
        artifacts: Files, directories or artifact URIs to save with the model, by the names under which
            ``context.artifacts`` has their paths later.
        registered_model_name: As there.
        signature: As there; not taken from annotations.
        input_example: As there; the signature is inferred from it after ``load_context`` was called.
        await_registration_for: As there.
        pip_requirements: As there.
        extra_pip_requirements: As there.
        metadata: As there.
        model_config: Plain data, or the path of a YAML file with them, which ``context.model_config`` has later.
        streamable: Whether the model has ``predict_stream``; None to look.
        name: As there.
        params: As there.
        tags: As there.
        model_type: As there.
        step: As there.
        model_id: As there.

    Raises:
        InvalidArgumentError: An argument breaks a rule, or the object cannot be serialized.
        FileNotFoundError: A file that an argument names is missing.
        NotFoundError: ``model_id`` names no model, or an artifact URI nothing.
        FailedPreconditionError: It names one that is finalized.
    """
    from holdfast.pyfunc._flavor import choose_flavor

    options = LogOptions.check(
        name=name,
        artifact_path=artifact_path,
        registered_model_name=registered_model_name,
        await_registration_for=await_registration_for,
        params=params,
        tags=tags,
        model_type=model_type,
        step=step,
        model_id=model_id,
    )
    package = PackageOptions.check(
        conda_env=conda_env,
        code_paths=code_paths,
        extra_files=None,
        signature=signature,
        input_example=input_example,
        pip_requirements=pip_requirements,
        extra_pip_requirements=extra_pip_requirements,
        metadata=metadata,
    )
    flavor = choose_flavor(
        python_model=python_model,
        artifacts=artifacts,
        loader_module=loader_module,
        data_path=data_path,
        model_config=model_config,
        streamable=streamable,
    )
    return log_package(flavor, package, options)


def save_model(
    path: _Path,
    loader_module: str | None = None,
    data_path: _Path | None = None,
    code_paths: Sequence[_Path] | None = None,
    *,
    conda_env: Mapping[str, Any] | _Path | None = None,
    python_model: PythonModel | Callable[[Any], Any] | Any = None,
    artifacts: Mapping[str, _Path] | None = None,
    signature: ModelSignature | Literal[False] | None = None,
    input_example: Any = None,
    pip_requirements: RequirementsArgument = None,
    extra_pip_requirements: RequirementsArgument = None,
    metadata: dict[str, Any] | None = None,
    model_config: Mapping[str, Any] | _Path | None = None,
    streamable: bool | None = None,
) -> None:
    """Save a model as a package in the local directory ``path``, which must be new or empty.

    The package appears as a whole or not at all. Arguments are those of `log_model`.

    Raises:
        AlreadyExistsError: ``path`` exists and is not an empty directory.
        InvalidArgumentError: An argument breaks a rule, or the object cannot be serialized.
        FileNotFoundError: A file that an argument names is missing.
    """
    from holdfast.pyfunc._flavor import choose_flavor

    package = PackageOptions.check(
        conda_env=conda_env,
        code_paths=code_paths,
        extra_files=None,
        signature=signature,
        input_example=input_example,
        pip_requirements=pip_requirements,
        extra_pip_requirements=extra_pip_requirements,
        metadata=metadata,
    )
    flavor = choose_flavor(
        python_model=python_model,
        artifacts=artifacts,
        loader_module=loader_module,
        data_path=data_path,
        model_config=model_config,
        streamable=streamable,
    )
    save_package(path, flavor, package)


def load_model(
    model_uri: _Path,
    suppress_warnings: bool = False,
    dst_path: _Path | None = None,
    model_config: Mapping[str, Any] | _Path | None = None,
    *,
    allow_pickle: bool | None = None,
    skops_trusted_types: Iterable[str] | None = None,
) -> PyFuncModel:
    """Load a model for prediction.

    Args:
        model_uri: A local directory or any artifact URI, as in `holdfast.sklearn.load_model`.
        suppress_warnings: Do not warn when the model was saved with another version of Python.
        dst_path: An existing directory to download to and keep; by default what is needed is read into memory.
        model_config: Plain data, or the path of a YAML file, that go before those that the model was saved with.
        allow_pickle: As in `holdfast.sklearn.load_model`; also whether a module that the package names may load it.
        skops_trusted_types: The same.

    Raises:
        NotFoundError: There is no such model, or it has no python_function flavor.
        InvalidArgumentError: Its loader cannot be imported, or the package is malformed.
        UntrustedModelError: Loading it would run code of somebody who is not trusted.
        DataLossError: A file is not the one that was saved.
    """
    config = read_mapping(model_config, "model_config")
    with open_package(
        model_uri, dst_path, allow_pickle=allow_pickle, skops_trusted_types=skops_trusted_types
    ) as package:
        return load_package(package, model_config=config, suppress_warnings=suppress_warnings)
