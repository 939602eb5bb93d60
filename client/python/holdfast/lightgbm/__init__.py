"""LightGBM models: log, save and load them, boosters and estimators alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from holdfast.lightgbm._flavor import LightgbmFlavor, load_lightgbm
from holdfast.models._environment import RequirementsArgument
from holdfast.models._info import ModelInfo
from holdfast.models._log import LogOptions, log_package, refuse_unknown
from holdfast.models._reader import open_package
from holdfast.models._writer import PackageOptions, save_package
from holdfast.models.signature import ModelSignature

__all__ = ["load_model", "log_model", "save_model"]

_Path = str | os.PathLike[str]


def log_model(  # noqa: PLR0917 - MLflow's own signature
    lgb_model: Any,
    artifact_path: str | None = None,
    conda_env: Mapping[str, Any] | _Path | None = None,
    code_paths: Sequence[_Path] | None = None,
    registered_model_name: str | None = None,
    signature: ModelSignature | Literal[False] | None = None,
    input_example: Any = None,
    await_registration_for: float | None = 300,
    pip_requirements: RequirementsArgument = None,
    extra_pip_requirements: RequirementsArgument = None,
    metadata: dict[str, Any] | None = None,
    extra_files: Sequence[_Path] | None = None,
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
    serialization_format: str | None = None,
    skops_trusted_types: Iterable[str] | None = None,
    **kwargs: Any,
) -> ModelInfo:
    """Log a LightGBM model as a model of the active run, starting a run if there is none.

    A ``Booster`` is written in LightGBM's own text format, which runs nothing when it is loaded; its
    ``serialization_format`` has no effect. Estimators such as ``LGBMClassifier`` are written in
    ``serialization_format``, by skops without it, as MLflow does; LightGBM's own types are trusted then. Other
    arguments, and what is raised, are those of `holdfast.sklearn.log_model`.
    """
    refuse_unknown("log_model", kwargs)
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
        extra_files=extra_files,
        signature=signature,
        input_example=input_example,
        pip_requirements=pip_requirements,
        extra_pip_requirements=extra_pip_requirements,
        metadata=metadata,
    )
    return log_package(LightgbmFlavor(lgb_model, serialization_format, skops_trusted_types), package, options)


def save_model(  # noqa: PLR0917 - MLflow's own signature, without its mlflow_model
    lgb_model: Any,
    path: _Path,
    conda_env: Mapping[str, Any] | _Path | None = None,
    code_paths: Sequence[_Path] | None = None,
    signature: ModelSignature | Literal[False] | None = None,
    input_example: Any = None,
    pip_requirements: RequirementsArgument = None,
    extra_pip_requirements: RequirementsArgument = None,
    metadata: dict[str, Any] | None = None,
    serialization_format: str | None = None,
    skops_trusted_types: Iterable[str] | None = None,
    extra_files: Sequence[_Path] | None = None,
) -> None:
    """Save a LightGBM model as a package in the local directory ``path``, which must be new or empty.

    Arguments are those of `log_model`, and errors those of `holdfast.sklearn.save_model`.
    """
    package = PackageOptions.check(
        conda_env=conda_env,
        code_paths=code_paths,
        extra_files=extra_files,
        signature=signature,
        input_example=input_example,
        pip_requirements=pip_requirements,
        extra_pip_requirements=extra_pip_requirements,
        metadata=metadata,
    )
    flavor = LightgbmFlavor(lgb_model, serialization_format, skops_trusted_types)
    save_package(path, flavor, package)


def load_model(
    model_uri: _Path,
    dst_path: _Path | None = None,
    *,
    allow_pickle: bool | None = None,
    skops_trusted_types: Iterable[str] | None = None,
) -> Any:
    """Load a ``Booster``, or the estimator that was logged.

    Arguments and errors are those of `holdfast.sklearn.load_model`. A booster needs no trust.
    """
    with open_package(
        model_uri, dst_path, allow_pickle=allow_pickle, skops_trusted_types=skops_trusted_types
    ) as package:
        return load_lightgbm(package)
