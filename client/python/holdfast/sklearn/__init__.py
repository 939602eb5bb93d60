"""scikit-learn models: log, save and load them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from holdfast.models._environment import RequirementsArgument
from holdfast.models._info import ModelInfo
from holdfast.models._log import LogOptions, log_package, refuse_unknown
from holdfast.models._reader import open_package
from holdfast.models._writer import PackageOptions, save_package
from holdfast.models.signature import ModelSignature
from holdfast.sklearn._flavor import SklearnFlavor, load_estimator

__all__ = ["autolog", "load_model", "log_model", "save_model"]

_Path = str | os.PathLike[str]


def autolog(  # noqa: PLR0917 - MLflow's own signature
    log_input_examples: bool = False,
    log_model_signatures: bool = True,
    log_models: bool = True,
    log_datasets: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    max_tuning_runs: int | None = 5,
    log_post_training_metrics: bool = True,
    serialization_format: str = "cloudpickle",
    registered_model_name: str | None = None,
    pos_label: Any = None,
    extra_tags: Mapping[str, str] | None = None,
) -> None:
    """Log each training from now on: parameters, metrics, data and the model of ``fit``, by itself.

    ``fit``, ``fit_transform`` and ``fit_predict`` of scikit-learn's estimators, and of classes that inherit from them,
    log to the active run, or else to one of their own. Of nested estimators, searches and pipelines only the outermost
    is logged. What an estimator returns and raises stays what it is, and what cannot be logged is a warning.

    Args:
        log_input_examples: Save the first five samples with the model.
        log_model_signatures: Save with the model what it takes and gives.
        log_models: Log the model.
        log_datasets: Link the run to its data, described by digest, schema and size.
        disable: Log no more, and leave scikit-learn as it was.
        exclusive: Log only to runs of autologging's own; inside a run of the user's nothing is logged.
        disable_for_unsupported_versions: Stay off with a scikit-learn that this was not made for.
        silent: Tell of nothing, not even of what could not be logged.
        max_tuning_runs: How many of the best candidates of a search get a run; None for all.
        log_post_training_metrics: Log scores and ``sklearn.metrics`` of what a trained model predicts later.
        serialization_format: Of models: ``"cloudpickle"``, ``"pickle"`` or ``"skops"``.
        registered_model_name: Also register each model under this name.
        pos_label: The positive class of binary metrics; None for metrics of all classes, weighted.
        extra_tags: Of runs of autologging's own.

    Raises:
        InvalidArgumentError: An argument breaks a rule; nothing changes.
    """
    from holdfast._autologging.switch import autolog_sklearn

    autolog_sklearn(
        disable=disable,
        disable_for_unsupported_versions=disable_for_unsupported_versions,
        log_input_examples=log_input_examples,
        log_model_signatures=log_model_signatures,
        log_models=log_models,
        log_datasets=log_datasets,
        exclusive=exclusive,
        silent=silent,
        max_tuning_runs=max_tuning_runs,
        log_post_training_metrics=log_post_training_metrics,
        serialization_format=serialization_format,
        registered_model_name=registered_model_name,
        pos_label=pos_label,
        extra_tags=extra_tags or {},
    )


def log_model(  # noqa: PLR0917 - MLflow's own signature
    sk_model: Any,
    artifact_path: str | None = None,
    conda_env: Mapping[str, Any] | _Path | None = None,
    code_paths: Sequence[_Path] | None = None,
    serialization_format: str = "cloudpickle",
    registered_model_name: str | None = None,
    signature: ModelSignature | Literal[False] | None = None,
    input_example: Any = None,
    await_registration_for: float | None = 300,
    pip_requirements: RequirementsArgument = None,
    extra_pip_requirements: RequirementsArgument = None,
    pyfunc_predict_fn: str = "predict",
    metadata: dict[str, Any] | None = None,
    extra_files: Sequence[_Path] | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
    name: str | None = None,
    skops_trusted_types: Iterable[str] | None = None,
    **kwargs: Any,
) -> ModelInfo:
    """Log an estimator as a model of the active run, starting a run if there is none.

    Everything that can be checked without the server is checked before anything is sent. The model becomes visible
    with its whole package, verified and durable, or not at all; its status is FAILED then.

    Args:
        sk_model: The estimator.
        artifact_path: Deprecated spelling of ``name``.
        conda_env: A conda environment, as a mapping or the path of a YAML file.
        code_paths: Files and directories with Python code that the model needs; importable when it is loaded.
        serialization_format: ``"cloudpickle"``, ``"pickle"`` or ``"skops"``.
        registered_model_name: Also register the model under this name, which is created when absent.
        signature: What the model takes and gives; None infers it from ``input_example``, False leaves it out.
        input_example: Data to save with the model, or ``(data, params)``.
        await_registration_for: Seconds to wait for the registered version to be READY; 0 or None does not wait.
        pip_requirements: Requirement lines or a requirements file, instead of inferred ones.
        extra_pip_requirements: Requirement lines or a requirements file, besides inferred ones.
        pyfunc_predict_fn: Method that pyfunc serves.
        metadata: Plain data to keep in MLmodel.
        extra_files: Files, directories or artifact URIs to keep with the model.
        params: Parameters of the logged model.
        tags: Tags of the logged model.
        model_type: What kind of model this is, in the user's words.
        step: Step of the run that the model belongs to.
        model_id: Log into this model, created earlier and still PENDING, instead of a new one.
        name: Name of the model; without any of ``/ : . % " '``.
        skops_trusted_types: Names of types that skops may load.
        kwargs: Nothing; other keywords are refused.

    Raises:
        TypeError: There is a keyword that does not exist.
        InvalidArgumentError: An argument breaks a rule, or the estimator cannot be serialized.
        FileNotFoundError: A file that an argument names is missing.
        NotFoundError: ``model_id`` names no model.
        FailedPreconditionError: It names one that is finalized.
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
    flavor = SklearnFlavor(
        sk_model,
        serialization_format=serialization_format,
        pyfunc_predict_fn=pyfunc_predict_fn,
        skops_trusted_types=skops_trusted_types,
    )
    return log_package(flavor, package, options)


def save_model(  # noqa: PLR0917 - MLflow's own signature, without its mlflow_model
    sk_model: Any,
    path: _Path,
    conda_env: Mapping[str, Any] | _Path | None = None,
    code_paths: Sequence[_Path] | None = None,
    serialization_format: str = "cloudpickle",
    signature: ModelSignature | Literal[False] | None = None,
    input_example: Any = None,
    pip_requirements: RequirementsArgument = None,
    extra_pip_requirements: RequirementsArgument = None,
    pyfunc_predict_fn: str = "predict",
    metadata: dict[str, Any] | None = None,
    skops_trusted_types: Iterable[str] | None = None,
    extra_files: Sequence[_Path] | None = None,
) -> None:
    """Save an estimator as a model package in the local directory ``path``, which must be new or empty.

    The package appears as a whole or not at all. Arguments are those of `log_model`.

    Raises:
        AlreadyExistsError: ``path`` exists and is not an empty directory.
        InvalidArgumentError: An argument breaks a rule, or the estimator cannot be serialized.
        FileNotFoundError: A file that an argument names is missing.
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
    flavor = SklearnFlavor(
        sk_model,
        serialization_format=serialization_format,
        pyfunc_predict_fn=pyfunc_predict_fn,
        skops_trusted_types=skops_trusted_types,
    )
    save_package(path, flavor, package)


def load_model(
    model_uri: _Path,
    dst_path: _Path | None = None,
    *,
    allow_pickle: bool | None = None,
    skops_trusted_types: Iterable[str] | None = None,
) -> Any:
    """Load an estimator.

    The file's digest is checked before it is deserialized. Deserializing a pickle runs code that it chooses, so on a
    server with authentication only what you logged yourself is unpickled, unless you allow more.

    Args:
        model_uri: A local directory or any artifact URI: ``models:/<model_id>``, ``models:/<name>/<version>``,
            ``models:/<name>@<alias>``, ``runs:/<run_id>/<name>``.
        dst_path: An existing directory to download to and keep; by default what is needed is read into memory.
        allow_pickle: Whether pickles, code that the package brings, and the list of types recorded in it may be
            loaded; None for what ``HOLDFAST_ALLOW_PICKLE`` says, or else: where the server asks nobody who they are,
            from local directories, and what you logged yourself.
        skops_trusted_types: Names of types that skops may load besides those it trusts by itself.

    Raises:
        NotFoundError: There is no such model, or it has no scikit-learn flavor.
        DataLossError: The model's file is not the one that was saved.
        UntrustedModelError: Loading it would run code of somebody who is not trusted.
        InvalidArgumentError: The package is malformed, or skops met a type that nobody trusts.
    """
    with open_package(
        model_uri, dst_path, allow_pickle=allow_pickle, skops_trusted_types=skops_trusted_types
    ) as package:
        return load_estimator(package)
