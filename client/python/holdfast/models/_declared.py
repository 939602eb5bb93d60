"""What a package says that is to be loaded, and how: the one answer for what loads it and for what only looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = [
    "BOOSTER",
    "CODE_FILE",
    "FLAVOR_LOADERS",
    "PYTHON_MODEL",
    "DeclaredObject",
    "declared_object",
    "foreign_loader",
    "is_archive",
    "looks_like_pickle",
]

BOOSTER = "lightgbm.basic.Booster"
PYTHON_MODEL = "mlflow.pyfunc.model"
CODE_FILE = "mlflow.pyfunc.loaders.code_model"
FLAVOR_LOADERS = {"mlflow.lightgbm": "holdfast.lightgbm._flavor", "mlflow.sklearn": "holdfast.sklearn._flavor"}
"""Loaders that packages name, and the module of ours that does the same without importing MLflow."""

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


class DeclaredObject(NamedTuple):
    """A serialized object as MLmodel has it, unchecked: its path in the package, and its format."""

    path: Any
    format: Any


def declared_object(flavor: str, config: Mapping[str, Any]) -> DeclaredObject | None:
    """Return what loading ``flavor`` deserializes; None when that is nothing, or when the flavor is not ours to load.

    Args:
        flavor: Its key in MLmodel.
        config: What MLmodel has below it.
    """
    # MLflow wrote no format while a flavor had only one.
    if flavor == "sklearn":
        return DeclaredObject(config.get("pickled_model"), config.get("serialization_format", "pickle"))
    if flavor == "lightgbm":
        if config.get("model_class", BOOSTER) == BOOSTER:
            return None  # text, which LightGBM itself reads
        return DeclaredObject(config.get("data"), config.get("serialization_format", "cloudpickle"))
    is_python_model = flavor == "python_function" and config.get("loader_module") in (PYTHON_MODEL, CODE_FILE)
    if is_python_model and not config.get("model_code_path"):
        return DeclaredObject(config.get("python_model"), "cloudpickle")
    return None


def foreign_loader(flavors: Mapping[str, Any]) -> str | None:
    """Return the module that pyfunc would import to load the model, if that is none of those that are known here."""
    loader = (flavors.get("python_function") or {}).get("loader_module")
    if not isinstance(loader, str) or not loader or loader in (PYTHON_MODEL, CODE_FILE, *FLAVOR_LOADERS):
        return None
    return loader


def is_archive(data: bytes | bytearray) -> bool:
    """Whether what begins with ``data`` is loaded as a zip archive, never as a pickle.

    Only the beginning counts, because a pickle is read from there: an archive may follow it, and zip is found from the
    end.
    """
    return data[:4] == _ZIP


def looks_like_pickle(data: bytes | bytearray) -> bool:
    """Whether what begins with ``data`` is most likely a pickle; those of protocols 0 and 1 begin with anything."""
    return data[:1] == _PICKLE
