"""Models as pyfunc serves them: any flavor behind ``predict``, with the signature enforced."""

from __future__ import annotations

from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._enforcement import enforce_input, enforce_params
from holdfast.models._mlmodel import MLmodel
from holdfast.models.signature import ModelSignature

__all__ = ["PyFuncModel"]


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

    def predict_stream(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Return an iterator over predictions, of a model that has ``predict_stream``.

        Raises:
            InvalidArgumentError: It has not, or data or parameters do not have the types or shapes of the signature.
        """
        if not self.metadata.flavor("python_function").get("streamable"):
            raise InvalidArgumentError("The model has no predict_stream; use predict.")
        return self._implementation.call("predict_stream", self.check_input(data), self.check_params(params))

    def check_input(self, data: Any) -> Any:
        """Return ``data`` as the signature describes it; as it is without one.

        Raises:
            InvalidArgumentError: It does not have the types or shapes of the signature.
        """
        signature = self.signature
        # One that MLflow took from annotations describes single items, which the model checks by itself.
        if signature is None or signature.inputs is None or self.metadata.unknown.get("is_signature_from_type_hint"):
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
