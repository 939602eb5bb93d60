"""The scikit-learn flavor: how an estimator is written into a package and loaded from one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._pickle_modules import modules_in_pickle, modules_in_skops
from holdfast.models._pickling import dump_object
from holdfast.models._reader import Package
from holdfast.models._unpickle import SERIALIZATION_FORMATS, check_loadable
from holdfast.models._warn import warn
from holdfast.models._writer import SavedModel

__all__ = ["SklearnFlavor", "load_estimator", "load_pyfunc"]

FLAVOR_NAME = "sklearn"


class SklearnFlavor:
    """An estimator, and how it is to be saved."""

    name = FLAVOR_NAME
    loader_module = "mlflow.sklearn"

    def __init__(
        self,
        estimator: Any,
        *,
        serialization_format: str,
        pyfunc_predict_fn: str | None,
        skops_trusted_types: Iterable[str] | None,
    ) -> None:
        """Check the arguments; the estimator is neither copied nor changed. None to predict with leaves pyfunc out.

        Raises:
            InvalidArgumentError: The serialization format is not one of the three, trusted types are no list, or the
                method is no name.
        """
        if serialization_format not in SERIALIZATION_FORMATS:
            raise InvalidArgumentError(
                f"Unknown serialization_format {serialization_format!r}; use one of {', '.join(SERIALIZATION_FORMATS)}."
            )
        if isinstance(skops_trusted_types, str):
            raise InvalidArgumentError("skops_trusted_types must be a list of names of types, not a string.")
        if pyfunc_predict_fn is not None and (not isinstance(pyfunc_predict_fn, str) or not pyfunc_predict_fn):
            raise InvalidArgumentError(
                f"pyfunc_predict_fn must be the name of a method, not {pyfunc_predict_fn!r:.80}."
            )
        self._estimator = estimator
        self._format = serialization_format
        self._trusted = None if skops_trusted_types is None else list(skops_trusted_types)
        self.predict_fn = pyfunc_predict_fn
        if pyfunc_predict_fn is not None and not hasattr(estimator, pyfunc_predict_fn):
            warn(
                f"{type(estimator).__name__} has no method {pyfunc_predict_fn!r}, so the model is saved without the "
                "python_function flavor: holdfast.sklearn.load_model loads it, holdfast.pyfunc does not."
            )
            self.predict_fn = None

    def predict(self, data: Any, params: dict[str, Any] | None) -> Any:
        """Return what pyfunc would."""
        if self.predict_fn is None:
            raise InvalidArgumentError(f"{type(self._estimator).__name__} has no method to predict with")
        return call_predict(getattr(self._estimator, self.predict_fn), data, params)

    def write(self, directory: Path) -> SavedModel:
        """Serialize the estimator into ``directory``.

        Raises:
            InvalidArgumentError: It cannot be serialized in this format, or holds types that skops does not trust.
        """
        import sklearn

        path = "model.skops" if self._format == "skops" else "model.pkl"
        file = directory / path
        distributions = ["scikit-learn"]
        if self._format == "skops":
            self._write_skops(file)
            modules = modules_in_skops(file)
            distributions.append("skops")
        else:
            with file.open("wb") as stream:
                imported = dump_object(self._estimator, stream, self._format)
            modules = modules_in_pickle(file) | imported
            if self._format == "cloudpickle":
                distributions.append("cloudpickle")
            elif "__main__" in modules:
                warn(
                    "The model uses classes or functions of the main program, which pickle stores by name only: other "
                    "programs cannot load it. Use serialization_format='cloudpickle', or move them to a module."
                )
        config = {
            "pickled_model": path,
            "serialization_format": self._format,
            "sklearn_version": sklearn.__version__,
            "skops_trusted_types": self._trusted,
        }
        return SavedModel(path, config, modules, tuple(distributions))

    def _write_skops(self, file: Path) -> None:
        import skops.io

        try:
            data = skops.io.dumps(self._estimator)
        except Exception as error:
            raise InvalidArgumentError(
                f"{type(self._estimator).__name__} cannot be serialized with skops, which takes no functions or "
                f"classes defined inside others: {error}. serialization_format='cloudpickle' takes them."
            ) from error
        check_loadable(data, self._trusted or ())
        file.write_bytes(data)


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


def load_estimator(package: Package) -> Any:
    """Load the estimator of ``package``.

    Raises:
        NotFoundError: The package has no scikit-learn flavor.
        DataLossError: The model's file is not the one that was saved.
        UntrustedModelError: It would run code of somebody who is not trusted.
        InvalidArgumentError: The format is unknown, or the model holds a type that nobody trusts.
    """
    config = package.mlmodel.flavor(FLAVOR_NAME)
    _warn_of_other_sklearn(config.get("sklearn_version"))
    recorded = config.get("skops_trusted_types") or ()
    if not isinstance(recorded, (list, tuple)):
        raise InvalidArgumentError(f"skops_trusted_types in MLmodel must be a list, not {type(recorded).__name__}.")
    return package.load_object(
        config.get("pickled_model"),
        config.get("serialization_format", "pickle"),  # MLflow wrote none while pickle was the only one
        code=config.get("code"),
        recorded_types=recorded,
    )


def _warn_of_other_sklearn(saved: Any) -> None:
    import sklearn

    if isinstance(saved, str) and saved != sklearn.__version__:
        warn(
            f"The model was saved with scikit-learn {saved}, and this is scikit-learn {sklearn.__version__}; it may "
            "not load or predict as it did."
        )


class _Served:
    """An estimator as pyfunc calls it: any method of it, parameters only where it takes them."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    def call(self, method: str, data: Any, params: dict[str, Any] | None) -> Any:
        """Call ``method`` of the estimator."""
        return call_predict(getattr(self._estimator, method), data, params)

    def get_raw_model(self) -> Any:
        """Return the estimator."""
        return self._estimator


def load_pyfunc(package: Package) -> _Served:
    """Load the model of ``package`` for `holdfast.pyfunc`."""
    return _Served(load_estimator(package))
