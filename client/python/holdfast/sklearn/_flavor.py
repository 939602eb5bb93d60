"""The scikit-learn flavor: how an estimator is written into a package and loaded from one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._calling import LoadedModel, call_predict
from holdfast.models._declared import declared_object
from holdfast.models._reader import Package
from holdfast.models._serialized import check_format, check_types, write_object
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
                method is no name; or there is no estimator, but its class or nothing.
        """
        if pyfunc_predict_fn is not None and (not isinstance(pyfunc_predict_fn, str) or not pyfunc_predict_fn):
            raise InvalidArgumentError(
                f"pyfunc_predict_fn must be the name of a method, not {pyfunc_predict_fn!r:.80}."
            )
        if estimator is None or inspect.isclass(estimator):
            given = "None" if estimator is None else f"the class {estimator.__name__}; pass an instance of it"
            raise InvalidArgumentError(f"sk_model must be an estimator, not {given}.")
        self._estimator = estimator
        self._format = check_format(serialization_format)
        self._trusted = check_types(skops_trusted_types, self._format)
        self.predict_fn = pyfunc_predict_fn
        if pyfunc_predict_fn is not None and not callable(getattr(estimator, pyfunc_predict_fn, None)):
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

        written = write_object(self._estimator, directory, self._format, self._trusted)
        config = {
            "pickled_model": written.path,
            "serialization_format": self._format,
            "sklearn_version": sklearn.__version__,
            "skops_trusted_types": self._trusted,
        }
        served = None if self.predict_fn is None else {"model_path": written.path, "predict_fn": self.predict_fn}
        return SavedModel(
            config=config,
            pyfunc=served,
            modules=written.modules,
            distributions=("scikit-learn", *written.distributions),
        )


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
    declared = declared_object(FLAVOR_NAME, config)
    assert declared is not None
    return package.load_object(*declared, code=config.get("code"), recorded_types=recorded)


def _warn_of_other_sklearn(saved: Any) -> None:
    import sklearn

    if isinstance(saved, str) and saved != sklearn.__version__:
        warn(
            f"The model was saved with scikit-learn {saved}, and this is scikit-learn {sklearn.__version__}; it may "
            "not load or predict as it did."
        )


def load_pyfunc(package: Package) -> LoadedModel:
    """Load the model of ``package`` for `holdfast.pyfunc`."""
    return LoadedModel(load_estimator(package))
