"""What stands for the names of MLflow in packages that it wrote, where MLflow is not installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from holdfast.errors import InvalidArgumentError
from holdfast.pyfunc._portable import FunctionModel, PythonModel, PythonModelContext

__all__ = ["find_stand_in"]


def find_stand_in(module: str, name: str) -> Any:
    """Return what stands for ``name`` of MLflow's ``module``; None where nothing does."""
    if (module, name) in _STAND_INS:
        return _STAND_INS[module, name]
    # The signature that a function was saved with is stored beside it, and never looked at.
    return _Ignored if module == "mlflow.models.signature" or module.startswith("mlflow.types.") else None


class _FuncInfo(NamedTuple):
    input_type_hint: Any
    input_param_name: str


class _Ignored:
    """A value that nobody asks for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Forget what it is made of."""

    def __setstate__(self, state: Any) -> None:
        """Forget the rest."""


def _validate_nothing(args: Any, kwargs: Any, *_: Any) -> tuple[Any, Any]:
    """Take data as they are: the signature, if there is one, was enforced before."""
    return args, kwargs


_STAND_INS: Mapping[tuple[str, str], Any] = {
    ("mlflow.pyfunc.model", "PythonModel"): PythonModel,
    ("mlflow.pyfunc.model", "_FunctionPythonModel"): FunctionModel,
    ("mlflow.pyfunc.model", "PythonModelContext"): PythonModelContext,
    ("mlflow.pyfunc.utils.data_validation", "_validate_model_input"): _validate_nothing,
    ("mlflow.pyfunc.utils.data_validation", "FuncInfo"): _FuncInfo,
    ("mlflow.exceptions", "MlflowException"): InvalidArgumentError,
}
