"""Models of any flavor behind one method, ``predict``, with their signature enforced."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Iterable
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._enforcement import enforce_input, enforce_params
from holdfast.models._mlmodel import MLmodel
from holdfast.models._reader import open_package
from holdfast.models._warn import warn
from holdfast.models.signature import ModelSignature

__all__ = ["PyFuncModel", "load_model"]

# Loaders that packages name, and the module of ours that does the same without importing MLflow.
_LOADERS = {"mlflow.sklearn": "holdfast.sklearn._flavor"}


class PyFuncModel:
    """A loaded model that checks its input against its signature; `load_model` makes them.

    Attributes:
        metadata: The content of the package's MLmodel file.
    """

    def __init__(self, metadata: MLmodel, implementation: Any, predict_fn: str) -> None:
        self.metadata = metadata
        self._implementation = implementation
        self._predict_fn = predict_fn

    def __repr__(self) -> str:
        flavor = self.metadata.flavor("python_function")["loader_module"]
        return f"PyFuncModel(model_id={self.model_id!r}, loader_module={flavor!r}, predict_fn={self._predict_fn!r})"

    @property
    def model_id(self) -> str | None:
        """Id of the logged model, or None when it was only saved."""
        return self.metadata.model_id

    @property
    def signature(self) -> ModelSignature | None:
        """What the model takes and gives."""
        return self.metadata.signature

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Return the model's predictions.

        Args:
            data: A DataFrame, Series, array, sparse matrix, list or dictionary, as the signature describes it. A
                column-based signature puts columns in its order and drops those that it does not name.
            params: Parameters that the signature names; its defaults are used for the others.

        Raises:
            InvalidArgumentError: Data or parameters do not have the types or shapes of the signature.
        """
        return self.predict_checked(self.check_input(data), self.check_params(params))

    def check_input(self, data: Any) -> Any:
        """Return ``data`` as the signature describes it; as it is without one.

        Raises:
            InvalidArgumentError: It does not have the types or shapes of the signature.
        """
        signature = self.signature
        if signature is None or signature.inputs is None:
            return data
        return enforce_input(data, signature.inputs)

    def check_params(self, params: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the parameters that the signature names, with its defaults for others.

        Raises:
            InvalidArgumentError: One does not have its type.
        """
        schema = self.signature.params if self.signature else None
        checked = enforce_params(params, schema)
        # As in MLflow: a model whose signature names no parameters gets None, not an empty dictionary.
        return checked if schema else None

    def predict_checked(self, data: Any, params: dict[str, Any] | None) -> Any:
        """Return the predictions for what `check_input` and `check_params` gave; nothing is checked again."""
        return self._implementation.call(self._predict_fn, data, params)

    def get_raw_model(self) -> Any:
        """Return the underlying model, such as a scikit-learn estimator."""
        return self._implementation.get_raw_model()

    def unwrap_python_model(self) -> Any:
        """Return the underlying model."""
        return self.get_raw_model()


def load_model(
    model_uri: str | os.PathLike[str],
    suppress_warnings: bool = False,
    dst_path: str | os.PathLike[str] | None = None,
    *,
    allow_pickle: bool | None = None,
    skops_trusted_types: Iterable[str] | None = None,
) -> PyFuncModel:
    """Load a model for prediction.

    Args:
        model_uri: A local directory or any artifact URI, as in `holdfast.sklearn.load_model`.
        suppress_warnings: Do not warn when the model was saved with another version of Python.
        dst_path: An existing directory to download to and keep; by default what is needed is read into memory.
        allow_pickle: As in `holdfast.sklearn.load_model`.
        skops_trusted_types: The same.

    Raises:
        NotFoundError: There is no such model, or it has no python_function flavor.
        InvalidArgumentError: Its loader is none that Holdfast has, or the package is malformed.
        UntrustedModelError: Loading it would run code of somebody who is not trusted.
        DataLossError: A file is not the one that was saved.
    """
    with open_package(
        model_uri, dst_path, allow_pickle=allow_pickle, skops_trusted_types=skops_trusted_types
    ) as package:
        config = package.mlmodel.flavor("python_function")
        loader = config.get("loader_module")
        if loader not in _LOADERS:
            raise InvalidArgumentError(
                f"The model is loaded by {loader!r}; Holdfast has loaders for {', '.join(_LOADERS)}. "
                "mlflow.pyfunc.load_model loads it from a downloaded copy."
            )
        if not suppress_warnings:
            _warn_of_other_python(config.get("python_version"))
        implementation = importlib.import_module(_LOADERS[loader]).load_pyfunc(package)
        return PyFuncModel(package.mlmodel, implementation, str(config.get("predict_fn") or "predict"))


def _warn_of_other_python(saved: Any) -> None:
    current = platform.python_version()
    if isinstance(saved, str) and saved.split(".")[:2] != current.split(".")[:2]:
        warn(
            f"The model was saved with Python {saved}, and this is Python {current}; it may not load or predict as "
            "it did."
        )
