"""Logs a trained estimator as a model of its run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from holdfast._autologging.settings import Settings
from holdfast._autologging.steps import Steps
from holdfast.models._log import LogOptions, log_package
from holdfast.models._writer import PackageOptions
from holdfast.models.signature import ModelSignature, infer_signature
from holdfast.sklearn._flavor import SklearnFlavor

if TYPE_CHECKING:
    from holdfast._active_run import ActiveRun

REGISTRATION_SECONDS = 300


def log_estimator(
    run: ActiveRun,
    estimator: Any,
    name: str,
    *,
    example: Any,
    signature: ModelSignature | Literal[False],
    params: Mapping[str, str],
    settings: Settings,
    registered_model_name: str | None = None,
) -> str:
    """Log a model and return its id; one that cannot predict is for ``holdfast.sklearn.load_model`` alone.

    Raises:
        HoldfastError: It cannot be serialized, stored or registered.
    """
    options = LogOptions.check(
        name=name,
        artifact_path=None,
        registered_model_name=registered_model_name,
        await_registration_for=REGISTRATION_SECONDS,
        params=params,
        tags=None,
        model_type=None,
        step=0,
        model_id=None,
    )
    package = PackageOptions.check(
        conda_env=None,
        code_paths=None,
        extra_files=None,
        signature=signature,
        input_example=example if settings.log_input_examples else None,
        pip_requirements=None,
        extra_pip_requirements=None,
        metadata=None,
    )
    flavor = SklearnFlavor(
        estimator,
        serialization_format=settings.serialization_format,
        pyfunc_predict_fn="predict" if hasattr(estimator, "predict") else None,
        skops_trusted_types=None,
    )
    model_id = log_package(flavor, package, options, run=run).model_id
    assert model_id is not None
    return model_id


def signature_of(estimator: Any, example: Any, steps: Steps) -> ModelSignature | Literal[False]:
    """What a trained estimator takes and gives; False when that cannot be said, which is told."""
    with steps.step("The signature"):
        if example is None:
            steps.warn("The model has no signature, since its data is of a kind that is not looked at.")
        elif hasattr(estimator, "predict"):
            return infer_signature(example, estimator.predict(copy.deepcopy(example)))
        elif hasattr(estimator, "transform"):
            return infer_signature(example, estimator.transform(copy.deepcopy(example)))
    return False
