"""Writes one object into a package in one of the three formats: what flavors of Python objects share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.errors import InvalidArgumentError
from holdfast.models._pickle_modules import modules_in_pickle, modules_in_skops
from holdfast.models._pickling import dump_object
from holdfast.models._trust import check_type_names
from holdfast.models._unpickle import SERIALIZATION_FORMATS, check_loadable
from holdfast.models._warn import warn

__all__ = ["SerializedFile", "check_format", "check_types", "write_object"]


class SerializedFile(NamedTuple):
    """What was written: its path in the package, modules that loading it imports, distributions that it takes."""

    path: str
    modules: set[str]
    distributions: tuple[str, ...]


def check_format(serialization_format: Any) -> str:
    """Return it.

    Raises:
        InvalidArgumentError: It is not one of the three.
    """
    if serialization_format not in SERIALIZATION_FORMATS:
        raise InvalidArgumentError(
            f"Unknown serialization_format {serialization_format!r}; use one of {', '.join(SERIALIZATION_FORMATS)}."
        )
    return str(serialization_format)


def check_types(skops_trusted_types: Iterable[str] | None, serialization_format: str) -> list[str] | None:
    """Return names of types as a list; warn where the format has no use for them.

    Raises:
        InvalidArgumentError: It is no list of names.
    """
    types = check_type_names(skops_trusted_types)
    if types and serialization_format != "skops":
        warn(
            f"skops_trusted_types has no effect on a model that is saved by {serialization_format}; it is for "
            "serialization_format='skops'."
        )
    return types


def write_object(
    model: Any, directory: Path, serialization_format: str, trusted_types: Iterable[str] | None = None
) -> SerializedFile:
    """Write ``model`` to ``model.pkl`` or ``model.skops`` in ``directory``.

    Raises:
        InvalidArgumentError: It cannot be serialized in this format, or holds types that skops does not trust.
    """
    if serialization_format == "skops":
        file = directory / "model.skops"
        _write_skops(model, file, trusted_types or ())
        return SerializedFile(file.name, modules_in_skops(file), ("skops",))
    file = directory / "model.pkl"
    with file.open("wb") as stream:
        imported = dump_object(model, stream, serialization_format)
    modules = modules_in_pickle(file) | imported
    if serialization_format == "cloudpickle":
        return SerializedFile(file.name, modules, ("cloudpickle",))
    if "__main__" in modules:
        warn(
            "The model uses classes or functions of the main program, which pickle stores by name only: other "
            "programs cannot load it. Use serialization_format='cloudpickle', or move them to a module."
        )
    return SerializedFile(file.name, modules, ())


def _write_skops(model: Any, file: Path, trusted_types: Iterable[str]) -> None:
    import skops.io

    try:
        with file.open("wb") as stream:
            skops.io.dump(model, stream)  # which builds the archive in memory
    except OSError:
        raise  # of the disk
    except Exception as error:
        raise InvalidArgumentError(
            f"{type(model).__name__} cannot be serialized with skops, which takes no functions or "
            f"classes defined inside others: {error}. serialization_format='cloudpickle' takes them."
        ) from error
    check_loadable(file, list(trusted_types))
