"""Calls a Python model, whichever of the forms that MLflow allows its methods have."""

from __future__ import annotations

import inspect
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models import _libraries
from holdfast.pyfunc._portable import FunctionModel, PythonModel

__all__ = ["as_model", "call_python_model"]


def as_model(python_model: Any) -> Any:
    """Return an object with ``predict`` and ``load_context`` for one, or for a function.

    Raises:
        InvalidArgumentError: It is neither, or a function of other than one argument.
    """
    if inspect.isclass(python_model):
        raise InvalidArgumentError(f"python_model is the class {python_model.__name__}; pass an instance of it.")
    # MLflow's own PythonModel has both, too.
    if callable(getattr(python_model, "predict", None)) and callable(getattr(python_model, "load_context", None)):
        if isinstance(python_model, PythonModel) and type(python_model).predict is PythonModel.predict:
            raise InvalidArgumentError(f"{type(python_model).__name__} has no method predict.")
        return python_model
    if not callable(python_model):
        raise InvalidArgumentError(
            "python_model must be an instance of a class that derives from holdfast.pyfunc.PythonModel, or a function, "
            f"not {type(python_model).__name__}."
        )
    count = len(inspect.signature(python_model).parameters)
    if count != 1:
        raise InvalidArgumentError(f"A function as python_model takes one argument, the data; this one takes {count}.")
    return FunctionModel(python_model)


def call_python_model(model: Any, method: str, context: Any, data: Any, params: dict[str, Any] | None) -> Any:
    """Call ``predict`` or ``predict_stream`` with the context and the parameters, where it takes them.

    A context is what is called so, or the first of two arguments.
    """
    function = getattr(model, method)
    names = list(inspect.signature(function).parameters)
    inputs = [name for name in names if name not in ("self", "params")]
    options = {"params": params} if "params" in names else {}
    data = _as_annotated(model, data)
    if "context" in names or len(inputs) == 2:
        return function(context, data, **options)
    return function(data, **options)


def _as_annotated(model: Any, data: Any) -> Any:
    """A table as the list that ``predict`` says it takes: of its first text column, or of its rows."""
    if not _libraries.is_dataframe(data):
        return data
    wanted = str(getattr(getattr(model, "predict_type_hints", None), "input", None)).replace("typing.List", "list")
    if wanted == "list[str]":
        for column in data.columns:
            if len(data) and isinstance(data[column].iloc[0], str):
                return data[column].tolist()
    elif wanted.replace("typing.Dict", "dict") == "list[dict[str, str]]":
        return data.to_dict(orient="records")
    return data
