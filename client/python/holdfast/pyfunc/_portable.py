"""What a saved Python model derives from.

Packages carry these classes with their code, so that a model loads where only MLflow is installed, which calls
``load_context``, ``predict`` and ``predict_type_hints``, or only Holdfast. Hence nothing here may use the rest of
Holdfast: it would become part of every package.
"""

from __future__ import annotations

from typing import Any

__all__ = ["FunctionModel", "PythonModel", "PythonModelContext"]


class PythonModel:
    """A model in the user's own words: derive from it and write ``predict``.

    ``predict(self, context, model_input, params=None)``, or without ``context``; ``params`` may be left out. In
    packages, a copy of this class takes its place.
    """

    def load_context(self, context: Any) -> None:
        """Load what prediction needs from ``context.artifacts``; called once when the model is loaded."""

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Return predictions.

        Args:
            context: A `PythonModelContext`.
            model_input: What pyfunc was given, as the signature describes it.
            params: Parameters that the signature names.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method predict")

    def predict_stream(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Return an iterator over predictions."""
        raise NotImplementedError(f"{type(self).__name__} has no method predict_stream")

    @property
    def predict_type_hints(self) -> Any:
        """What ``predict`` is annotated with: an object with ``input`` and ``output``, each None when it is not."""
        import inspect
        import types
        import typing

        method = getattr(self, "func", None) or self.predict
        try:
            hints = typing.get_type_hints(method)
        except Exception:  # noqa: BLE001 - names that are not there any more
            hints = {}
        names = [name for name in inspect.signature(method).parameters if name not in ("self", "params")]
        return types.SimpleNamespace(input=hints.get(names[-1]) if names else None, output=hints.get("return"))


class FunctionModel(PythonModel):
    """A function of one argument as a model."""

    def __init__(self, func: Any) -> None:
        self.func = func

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:  # type: ignore[override]  # noqa: ARG002
        """Return what the function returns."""
        return self.func(model_input)


class PythonModelContext:
    """What a Python model finds when it is loaded and predicts.

    Attributes:
        artifacts: Absolute paths of the files and directories that were saved with the model, by name.
        model_config: The configuration that it was saved with, or None.
    """

    def __init__(self, artifacts: dict[str, str], model_config: dict[str, Any] | None) -> None:
        self.artifacts = artifacts
        self.model_config = model_config
