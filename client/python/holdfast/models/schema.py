"""Schemas of a model's inputs and outputs: named or unnamed columns, or tensors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast.errors import InvalidArgumentError
from holdfast.models.data_types import ColumnType, as_column_type, column_type_from_dict

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ColSpec", "Schema", "TensorSpec"]


@dataclass(frozen=True, repr=False)
class ColSpec:
    """Name and type of one column."""

    type: ColumnType
    name: str | None
    required: bool

    def __init__(self, type: ColumnType | str, name: str | None = None, required: bool = True) -> None:  # noqa: A002 - MLflow's name
        object.__setattr__(self, "type", as_column_type(type))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "required", required)

    def __repr__(self) -> str:
        required = "required" if self.required else "optional"
        return f"{self.type!r} ({required})" if self.name is None else f"{self.name!r}: {self.type!r} ({required})"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        name = {} if self.name is None else {"name": self.name}
        return {**self.type.to_dict(), **name, "required": self.required}

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> ColSpec:
        """Read the JSON form; ``required`` is true when absent."""
        required = spec.get("required")
        return cls(column_type_from_dict(spec), spec.get("name"), required=required is None or bool(required))


@dataclass(frozen=True, repr=False)
class TensorSpec:
    """Name, dtype and shape of one tensor; ``-1`` in the shape is a dimension of any size."""

    dtype: str
    shape: tuple[int, ...]
    name: str | None

    def __init__(
        self,
        type: np.dtype[Any] | str,  # noqa: A002 - MLflow's own name
        shape: Sequence[int],
        name: str | None = None,
    ) -> None:
        # The name alone is kept, so that reading a signature needs no numpy.
        dtype = type if isinstance(type, str) else getattr(type, "name", None)
        if not isinstance(dtype, str):
            raise InvalidArgumentError(f"The dtype of a tensor must be a numpy dtype or its name, not {type!r}.")
        for flexible in ("str", "bytes"):
            if dtype.startswith(flexible) and dtype != flexible:
                raise InvalidArgumentError(f"A tensor of text has no item size: use dtype {flexible!r}, not {dtype!r}.")
        if isinstance(shape, str) or not isinstance(shape, Sequence):
            raise InvalidArgumentError(f"The shape of a tensor must be a tuple or list, not {shape!r}.")
        object.__setattr__(self, "dtype", dtype)
        object.__setattr__(self, "shape", tuple(shape))
        object.__setattr__(self, "name", name)

    @property
    def type(self) -> np.dtype[Any]:
        """The numpy dtype."""
        import numpy as np

        try:
            return np.dtype(self.dtype)
        except TypeError as error:
            raise InvalidArgumentError(f"numpy knows no dtype {self.dtype!r}, which the signature names.") from error

    @property
    def required(self) -> bool:
        """Tensors are always required."""
        return True

    def __repr__(self) -> str:
        tensor = f"Tensor({self.dtype!r}, {self.shape!r})"
        return tensor if self.name is None else f"{self.name!r}: {tensor}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        name = {} if self.name is None else {"name": self.name}
        return {**name, "type": "tensor", "tensor-spec": {"dtype": self.dtype, "shape": list(self.shape)}}

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> TensorSpec:
        """Read the JSON form."""
        tensor = spec.get("tensor-spec")
        if not isinstance(tensor, Mapping) or not {"dtype", "shape"} <= tensor.keys():
            raise InvalidArgumentError(f"The JSON of a tensor needs tensor-spec with dtype and shape, got {spec!r}.")
        return cls(tensor["dtype"], tensor["shape"], spec.get("name"))


Input = ColSpec | TensorSpec


class Schema:
    """What a model takes or gives: columns or tensors, either all named or all unnamed."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        if not isinstance(inputs, (list, tuple)) or not inputs:
            raise InvalidArgumentError(f"A schema needs a list of at least one ColSpec or TensorSpec, got {inputs!r}.")
        tensors = [isinstance(item, TensorSpec) for item in inputs]
        if not all(isinstance(item, (ColSpec, TensorSpec)) for item in inputs) or len(set(tensors)) > 1:
            raise InvalidArgumentError("A schema holds columns (ColSpec) or tensors (TensorSpec), never both.")
        names = [item.name for item in inputs]
        if any(name is None for name in names) and any(name is not None for name in names):
            raise InvalidArgumentError(f"Either all inputs of a schema have names or none has, got {names}.")
        if all(tensors) and len(inputs) > 1 and names[0] is None:
            raise InvalidArgumentError("Several tensors in one schema need names.")
        if names[0] is None and not all(item.required for item in inputs):
            raise InvalidArgumentError("An unnamed input cannot be optional; name it or make it required.")
        self.inputs: list[Input] = list(inputs)

    def __len__(self) -> int:
        return len(self.inputs)

    def __iter__(self) -> Iterator[Input]:
        return iter(self.inputs)

    def __eq__(self, other: object) -> bool:
        return self.inputs == other.inputs if isinstance(other, Schema) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal by value and mutable, as lists are

    def __repr__(self) -> str:
        return repr(self.inputs)

    def is_tensor_spec(self) -> bool:
        """Return whether the inputs are tensors."""
        return isinstance(self.inputs[0], TensorSpec)

    def has_input_names(self) -> bool:
        """Return whether the inputs have names."""
        return self.inputs[0].name is not None

    def input_names(self) -> list[str | int]:
        """Return the names, or positions where there are none."""
        return [position if item.name is None else item.name for position, item in enumerate(self.inputs)]

    def required_input_names(self) -> list[str | int]:
        """Return the names (or positions) of the inputs that must be given."""
        return [name for name, item in zip(self.input_names(), self.inputs, strict=True) if item.required]

    def optional_input_names(self) -> list[str | int]:
        """Return the names of the inputs that may be left out."""
        return [name for name, item in zip(self.input_names(), self.inputs, strict=True) if not item.required]

    def input_types(self) -> list[Any]:
        """Return the column types, or numpy dtypes of tensors."""
        return [item.type for item in self.inputs]

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the JSON form as Python values."""
        return [item.to_dict() for item in self.inputs]

    def to_json(self) -> str:
        """Return the JSON form as text, byte for byte what MLflow writes."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read what `to_json` wrote.

        Raises:
            InvalidArgumentError: The text is not the JSON of a schema.
        """
        return cls([_input_from_dict(item) for item in load_json_list(text, "schema")])


def _input_from_dict(spec: Any) -> Input:
    if not isinstance(spec, Mapping):
        raise InvalidArgumentError(f"Each input of a schema is a JSON object, got {spec!r}.")
    return TensorSpec.from_dict(spec) if spec.get("type") == "tensor" else ColSpec.from_dict(spec)


def load_json_list(text: str, what: str) -> list[Any]:
    """Parse ``text`` as a JSON list; ``what`` names it in the error."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"The {what} is not JSON: {error}.") from error
    if not isinstance(value, list):
        raise InvalidArgumentError(f"The JSON of a {what} is a list, got {type(value).__name__}.")
    return value
