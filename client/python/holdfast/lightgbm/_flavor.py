"""The LightGBM flavor: how a model is written into a package and loaded from one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._calling import LoadedModel
from holdfast.models._declared import BOOSTER, declared_object
from holdfast.models._reader import Package
from holdfast.models._serialized import check_format, check_types, write_object
from holdfast.models._writer import SavedModel

__all__ = ["LightgbmFlavor", "load_lightgbm", "load_pyfunc"]

FLAVOR_NAME = "lightgbm"
# As in MLflow: what every LightGBM estimator holds.
_OWN_TYPES = ("collections.OrderedDict", BOOSTER, "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor")


class LightgbmFlavor:
    """A LightGBM model, and how it is to be saved."""

    name = FLAVOR_NAME
    loader_module = "mlflow.lightgbm"

    def __init__(self, model: Any, serialization_format: str | None, skops_trusted_types: Iterable[str] | None) -> None:
        """Check the arguments.

        Raises:
            InvalidArgumentError: The format is not one of the three, trusted types are no list, or the model cannot
                predict.
        """
        if inspect.isclass(model) or not callable(getattr(model, "predict", None)):
            given = f"the class {model.__name__}" if inspect.isclass(model) else type(model).__name__
            raise InvalidArgumentError(
                f"lgb_model must be a lightgbm.Booster or an estimator of lightgbm, not {given}."
            )
        self._model = model
        self._format = check_format(serialization_format or "skops")
        self._trusted = check_types(skops_trusted_types, self._format)
        if self._format == "skops":
            self._trusted = sorted({*_OWN_TYPES, *(self._trusted or ())})

    def write(self, directory: Path) -> SavedModel:
        """Write the model.

        Raises:
            InvalidArgumentError: It cannot be serialized in this format, or holds types that skops does not trust.
        """
        import lightgbm

        modules = {"lightgbm"}
        distributions: tuple[str, ...] = ("lightgbm",)
        if isinstance(self._model, lightgbm.Booster):
            path = "model.lgb"
            self._model.save_model(directory / path)
        else:
            path, modules, others = write_object(self._model, directory, self._format, self._trusted)
            distributions += others
        config = {
            "data": path,
            "lgb_version": lightgbm.__version__,
            "model_class": f"{type(self._model).__module__}.{type(self._model).__qualname__}",
            "serialization_format": self._format,
            "skops_trusted_types": self._trusted,
        }
        return SavedModel(config=config, pyfunc={"data": path}, modules=modules, distributions=distributions)

    def predict(self, data: Any, params: dict[str, Any] | None) -> Any:
        """Return what pyfunc would."""
        return LoadedModel(self._model).call("predict", data, params)


def load_lightgbm(package: Package) -> Any:
    """Load the model of ``package``.

    Raises:
        NotFoundError: The package has no LightGBM flavor.
        DataLossError: The model's file is not the one that was saved.
        UntrustedModelError: It would run code of somebody who is not trusted.
        InvalidArgumentError: The package is malformed, or the model holds a type that nobody trusts.
    """
    config = package.mlmodel.flavor(FLAVOR_NAME)
    if (declared := declared_object(FLAVOR_NAME, config)) is not None:
        return package.load_object(*declared, code=config.get("code"), recorded_types=config.get("skops_trusted_types"))
    import lightgbm

    try:
        return lightgbm.Booster(model_str=package.read(config.get("data")).decode())
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{config['data']} is no LightGBM model: {error}.") from error


def load_pyfunc(package: Package) -> LoadedModel:
    """Load the model of ``package`` for `holdfast.pyfunc`."""
    return LoadedModel(load_lightgbm(package))
