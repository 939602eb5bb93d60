"""Writes pickles of models, and tells which modules they will import, also later than when they are loaded."""

from __future__ import annotations

import ast
import dis
import importlib.util
import pickle
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from holdfast.errors import InvalidArgumentError
from holdfast.models._files import is_remote

__all__ = ["PROTOCOL", "dump_object", "imports_of_code"]

PROTOCOL = 5
"""Known since Python 3.8. Unlike 4, it writes arrays from where they are, where 4 makes a copy of each and keeps it."""


def dump_object(model: Any, stream: BinaryIO, serialization_format: str) -> set[str]:
    """Write ``model`` to ``stream`` without a copy of its arrays.

    Args:
        model: Any object.
        stream: Takes the pickle.
        serialization_format: ``"pickle"`` or ``"cloudpickle"``.

    Returns:
        Modules that functions which are stored with their code import when they are called; of these, the installed.

    Raises:
        InvalidArgumentError: It cannot be serialized.
    """
    try:
        if serialization_format == "pickle":
            pickle.dump(model, stream, protocol=PROTOCOL)
            return set()
        return _dump_by_cloudpickle(model, stream)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        hint = " serialization_format='cloudpickle' also takes functions defined inside others." * (
            serialization_format == "pickle"
        )
        raise InvalidArgumentError(
            f"{type(model).__name__} cannot be serialized with {serialization_format}: {error}.{hint}"
        ) from error


def _dump_by_cloudpickle(model: Any, stream: BinaryIO) -> set[str]:
    import cloudpickle

    imported: set[str] = set()

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        def reducer_override(self, obj: Any) -> Any:
            reduced = super().reducer_override(obj)
            if isinstance(obj, types.FunctionType) and reduced is not NotImplemented:  # stored with its code
                imported.update(_imports_of_function(obj.__code__))
            return reduced

    Pickler(stream, protocol=PROTOCOL).dump(model)
    return set(filter(_is_installed, imported))


def imports_of_code(paths: Iterable[str]) -> set[str]:
    """Return the installed modules that Python files import, wherever in them, by dotted name.

    Args:
        paths: Files and directories; what is no Python code is passed over.
    """
    found: set[str] = set()
    for path in paths:
        if is_remote(path):
            continue
        for file in [Path(path)] if Path(path).is_file() else Path(path).rglob("*.py"):
            if file.suffix == ".py":
                found.update(_imports_of_source(file))
    return set(filter(_is_installed, found))


def _imports_of_function(code: types.CodeType) -> Iterator[str]:
    # A function that comes without its package cannot import relative to it, so levels need no look.
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _imports_of_function(constant)


def _imports_of_source(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _is_installed(module: str) -> bool:
    top = module.partition(".")[0]
    if top in sys.modules:
        return True
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError, AttributeError):
        return False
