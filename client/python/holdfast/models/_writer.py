"""Writes packages: everything that is the same for every flavor."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from holdfast.errors import AlreadyExistsError, InvalidArgumentError
from holdfast.models import _libraries
from holdfast.models._digest import file_digest, files_below
from holdfast.models._distributions import find_distributions, pinned
from holdfast.models._enforcement import enforce_input, enforce_params
from holdfast.models._environment import (
    CONDA_FILE,
    PYTHON_ENV_FILE,
    EnvironmentChoice,
    RequirementsArgument,
    read_environment,
)
from holdfast.models._example import InputExample
from holdfast.models._files import CODE_DIRECTORY, EXTRA_DIRECTORY, check_paths, copy_into
from holdfast.models._inference import infer_param_schema, infer_schema, infer_schema_or_any
from holdfast.models._mlmodel import FILE_NAME, FileDigest, MLmodel
from holdfast.models._pickling import imports_of_code
from holdfast.models._warn import warn
from holdfast.models._yaml import dump_yaml
from holdfast.models.signature import ModelSignature

__all__ = ["Flavor", "PackageOptions", "SavedModel", "save_package", "write_package"]


@dataclass(frozen=True)
class SavedModel:
    """What a flavor wrote.

    Attributes:
        config: The flavor's own entry in MLmodel, without ``code`` and ``extra_files``; None when it has none.
        pyfunc: What its entry for pyfunc holds besides what all have; None when pyfunc cannot serve it.
        modules: Dotted names of the modules that loading it imports.
        distributions: Names of distributions that loading it needs whatever it holds.
    """

    config: dict[str, Any] | None
    pyfunc: dict[str, Any] | None
    modules: set[str] = field(default_factory=set)
    distributions: tuple[str, ...] = ()


class Flavor(Protocol):
    """A model together with the way it is saved; one small class for each library."""

    name: str
    """Key of the flavor in MLmodel."""

    loader_module: str
    """What MLflow's pyfunc imports to load it."""

    def write(self, directory: Path) -> SavedModel:
        """Write the model into ``directory``."""

    def predict(self, data: Any, params: dict[str, Any] | None) -> Any:
        """Return what pyfunc would; called after `write`, so that what predicting changes is not saved."""


@dataclass(frozen=True)
class PackageOptions:
    """Options that all flavors share, read and checked by `check`."""

    environment: EnvironmentChoice
    code_paths: tuple[str, ...]
    extra_files: tuple[str, ...]
    signature: ModelSignature | None
    infer_signature: bool
    example: InputExample | None
    metadata: dict[str, Any] | None

    @classmethod
    def check(
        cls,
        *,
        conda_env: Mapping[str, Any] | str | os.PathLike[str] | None,
        code_paths: Sequence[str | os.PathLike[str]] | None,
        extra_files: Sequence[str | os.PathLike[str]] | None,
        signature: Any,
        input_example: Any,
        pip_requirements: RequirementsArgument,
        extra_pip_requirements: RequirementsArgument,
        metadata: Any,
    ) -> PackageOptions:
        """Check the arguments of ``save_model`` and ``log_model``; nothing is written or sent.

        Raises:
            InvalidArgumentError: One of them breaks a rule.
            FileNotFoundError: One names a file that is not there.
        """
        if signature is not None and signature is not False and not isinstance(signature, ModelSignature):
            raise InvalidArgumentError(
                "signature must be a ModelSignature (see holdfast.models.infer_signature), None to infer it from the "
                f"input example, or False for none; not {type(signature).__name__}."
            )
        if metadata is not None:
            if not isinstance(metadata, dict):
                raise InvalidArgumentError(f"metadata must be a dictionary, not {type(metadata).__name__}.")
            dump_yaml(metadata)
        return cls(
            environment=read_environment(conda_env, pip_requirements, extra_pip_requirements),
            code_paths=check_paths(code_paths, "code_paths"),
            extra_files=check_paths(extra_files, "extra_files", remote=True),
            signature=signature or None,
            infer_signature=signature is None,
            example=None if input_example is None else InputExample(input_example),
            metadata=deepcopy(metadata),
        )


def write_package(
    directory: Path,
    flavor: Flavor,
    options: PackageOptions,
    *,
    artifact_path: str | None = None,
    run_id: str | None = None,
    model_id: str | None = None,
) -> MLmodel:
    """Write the package of one model into the empty ``directory`` and return its MLmodel.

    MLmodel is written last, with the digests of all other files.
    """
    mlmodel = MLmodel(artifact_path=artifact_path, run_id=run_id, model_id=model_id, metadata=options.metadata)
    if model_id is not None:
        mlmodel.model_uuid = model_id
    code = CODE_DIRECTORY if copy_into(options.code_paths, directory / CODE_DIRECTORY) else None
    mlmodel.signature = options.signature
    saved = flavor.write(directory)
    if options.example is not None:
        options.example.save(directory)
        mlmodel.saved_input_example_info = options.example.info
        if options.infer_signature:
            mlmodel.signature = _signature_from_example(flavor, options.example)
    extra = copy_into(options.extra_files, directory / EXTRA_DIRECTORY)
    if saved.pyfunc is not None:
        mlmodel.flavors["python_function"] = _pyfunc_config(flavor.loader_module, code) | saved.pyfunc
    if saved.config is not None:
        files = [{"path": f"{EXTRA_DIRECTORY}/{name}"} for name in extra]
        mlmodel.flavors[flavor.name] = {**saved.config, "code": code, **({"extra_files": files} if extra else {})}
    mlmodel.model_size_bytes = sum((directory / name).stat().st_size for name in files_below(directory))
    options.environment.write(directory, lambda: _infer_requirements(saved, mlmodel, options))
    mlmodel.digests = {
        name: FileDigest((directory / name).stat().st_size, file_digest(directory / name).hex())
        for name in files_below(directory)
        if name != FILE_NAME
    }
    mlmodel.save(directory)
    return mlmodel


def _pyfunc_config(loader_module: str, code: str | None) -> dict[str, Any]:
    import platform

    config: dict[str, Any] = {
        "env": {"conda": CONDA_FILE, "virtualenv": PYTHON_ENV_FILE},
        "loader_module": loader_module,
        "python_version": platform.python_version(),
    }
    return config | ({"code": code} if code else {})


def _infer_requirements(saved: SavedModel, mlmodel: MLmodel, options: PackageOptions) -> list[str]:
    carried = {Path(path).resolve().name.partition(".")[0] for path in options.code_paths}
    modules = saved.modules | imports_of_code(options.code_paths)
    found = find_distributions(name for name in modules if name.partition(".")[0] not in carried)
    # Columns are enforced on DataFrames, so serving such a model takes pandas even if the model itself does not.
    schema = mlmodel.get_input_schema()
    always = [*saved.distributions, *(["pandas"] if schema is not None and not schema.is_tensor_spec() else [])]
    if found.unowned:
        warn(
            f"The model refers to the modules {found.unowned}, which belong to no installed distribution. Where they "
            "are missing it cannot be loaded; add their files to code_paths."
        )
    return sorted({*found.requirements, *filter(None, map(pinned, always))}, key=str.lower)


def _signature_from_example(flavor: Flavor, example: InputExample) -> ModelSignature | None:
    """Predict on the example as pyfunc would; None and a warning where that fails."""
    try:
        inputs = infer_schema(example.data)
        params = infer_param_schema(example.params) if example.params else None
        # The example is copied because a model may change what it is given.
        prediction = flavor.predict(
            enforce_input(deepcopy(example.data), inputs), enforce_params(example.params, params)
        )
    except Exception as error:  # noqa: BLE001 - whatever the model raises, it can be saved without a signature
        warn(
            "The signature could not be inferred, because predicting on the input example failed: "
            f"{type(error).__name__}: {error}. The model is saved without one."
        )
        return None
    if not inputs.is_tensor_spec() and _libraries.is_ndarray(prediction) and prediction.ndim == 1:
        # One value for each row of a table is a column, not a tensor.
        import pandas as pd

        prediction = pd.Series(prediction)
    return ModelSignature(inputs, infer_schema_or_any(prediction, "outputs"), params)


def save_package(path: str | os.PathLike[str], flavor: Flavor, options: PackageOptions) -> None:
    """Write the package of one model to ``path``, as a whole or not at all.

    Raises:
        AlreadyExistsError: ``path`` exists and is not an empty directory.
    """
    with _new_package_directory(path) as directory:
        write_package(directory, flavor, options)


@contextlib.contextmanager
def _new_package_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a directory that takes the place of ``path`` when the ``with`` block ends well, and vanishes otherwise.

    Raises:
        AlreadyExistsError: ``path`` exists and is not an empty directory.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AlreadyExistsError(f"{target} exists already; a model is saved to a new or empty directory.")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    try:
        package = staging / "model"  # mkdtemp's own directory is private; a saved model is as any other directory
        package.mkdir()
        yield package
        if target.exists():
            target.rmdir()
        package.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
