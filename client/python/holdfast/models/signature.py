"""The signature of a model: what it takes, what it gives, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._inference import infer_param_schema, infer_schema_or_any
from holdfast.models.params import ParamSchema
from holdfast.models.schema import Schema

__all__ = ["ModelSignature", "infer_signature"]


class ModelSignature:
    """Schemas of a model's inputs, outputs and parameters; at least one of the three is given."""

    def __init__(
        self, inputs: Schema | None = None, outputs: Schema | None = None, params: ParamSchema | None = None
    ) -> None:
        for what, value, kind in (
            ("inputs", inputs, Schema),
            ("outputs", outputs, Schema),
            ("params", params, ParamSchema),
        ):
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"{what} of a signature must be a {kind.__name__} or None, not {type(value).__name__}")
        if inputs is None and outputs is None and params is None:
            raise InvalidArgumentError("A signature needs inputs, outputs or params.")
        self.inputs = inputs
        self.outputs = outputs
        self.params = params

    def to_dict(self) -> dict[str, str | None]:
        """Return the form that MLmodel holds: each schema as JSON text, or None."""
        return {
            "inputs": self.inputs.to_json() if self.inputs else None,
            "outputs": self.outputs.to_json() if self.outputs else None,
            "params": self.params.to_json() if self.params else None,
        }

    @classmethod
    def from_dict(cls, signature_dict: Mapping[str, Any]) -> ModelSignature:
        """Read what `to_dict` wrote.

        Raises:
            InvalidArgumentError: A schema in it is not one.
        """
        inputs, outputs, params = (signature_dict.get(key) for key in ("inputs", "outputs", "params"))
        try:
            return cls(
                Schema.from_json(inputs) if inputs else None,
                Schema.from_json(outputs) if outputs else None,
                ParamSchema.from_json(params) if params else None,
            )
        except RecursionError:
            raise InvalidArgumentError("The signature is nested too deeply to be read.") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ModelSignature):
            return NotImplemented
        return (self.inputs, self.outputs, self.params) == (other.inputs, other.outputs, other.params)

    __hash__ = None  # type: ignore[assignment]  # equal by value and mutable

    def __repr__(self) -> str:
        return f"inputs: \n  {self.inputs!r}\noutputs: \n  {self.outputs!r}\nparams: \n  {self.params!r}\n"


def infer_signature(
    model_input: Any = None, model_output: Any = None, params: dict[str, Any] | None = None
) -> ModelSignature:
    """Infer a signature from data that a model takes, data that it gives, and default parameters.

    Arrays and sparse matrices become tensors whose first dimension is open; a dictionary of arrays becomes named
    tensors; DataFrames, Series, lists, dictionaries and scalars become columns. What has no type (mixed lists,
    unsigned 64-bit integers, time differences) becomes ``any``, with a warning.

    Raises:
        InvalidArgumentError: A parameter has no type, or nothing was given.
    """
    return ModelSignature(
        inputs=None if model_input is None else infer_schema_or_any(model_input, "inputs"),
        outputs=None if model_output is None else infer_schema_or_any(model_output, "outputs"),
        params=infer_param_schema(params) if params else None,
    )
