"""Calls what models predict with, whether or not it takes parameters."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["LoadedModel", "call_predict"]


def call_predict(method: Any, data: Any, params: dict[str, Any] | None) -> Any:
    """Call ``method`` with ``data``, and with ``params`` where it has an argument of that name."""
    try:
        argument = inspect.signature(method).parameters.get("params")
    except (TypeError, ValueError):  # a method written in C
        argument = None
    # A pipeline's **params go to its steps, which is something else.
    if argument is not None and argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY):
        return method(data, params=params)
    return method(data)


class LoadedModel:
    """A model as pyfunc calls it: any method of it, parameters only where it takes them."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def call(self, method: str, data: Any, params: dict[str, Any] | None) -> Any:
        """Call ``method`` of the model."""
        return call_predict(getattr(self._model, method), data, params)

    def get_raw_model(self) -> Any:
        """Return the model."""
        return self._model
