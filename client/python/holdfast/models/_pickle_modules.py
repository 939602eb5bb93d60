"""Names the modules that a serialized model refers to, by reading it, never by loading it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from holdfast.errors import InvalidArgumentError
from holdfast.models._pickle_scan import scan_pickle

__all__ = ["modules_in_pickle", "modules_in_skops", "types_in_skops"]

MAX_SCHEMA = 256 << 20


def modules_in_pickle(path: Path) -> set[str]:
    """Return the dotted names of the modules that loading the pickle at ``path`` would import."""
    content = scan_pickle(path)
    return {found.module for found in content.globals if found.module} | set(content.modules)


def modules_in_skops(path: Path) -> set[str]:
    """Return the dotted names of the modules of all objects in the skops archive at ``path``."""
    return {module for module, _ in types_in_skops(path)}


def types_in_skops(path: Path) -> list[tuple[str, str]]:
    """Return module and name of all types and functions in the skops archive at ``path``, each once.

    Raises:
        InvalidArgumentError: It is no skops archive, or its schema is too large.
        zipfile.BadZipFile: It is no zip archive.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("schema.json") as file:
            data = file.read(MAX_SCHEMA + 1)
        if len(data) > MAX_SCHEMA:
            raise InvalidArgumentError(f"The schema of the skops archive has more than {MAX_SCHEMA} bytes.")
        schema = json.loads(data)
    except (KeyError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"It is no skops archive: {error}") from error
    found: dict[tuple[str, str], None] = {}
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            module, name = node.get("__module__"), node.get("__class__")
            if isinstance(module, str) and isinstance(name, str):
                found[module, name] = None
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return list(found)
