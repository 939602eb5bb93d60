"""Names the modules that a serialized model refers to, by reading it, never by loading it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from holdfast.models._pickle_scan import scan_pickle

__all__ = ["modules_in_pickle", "modules_in_skops"]


def modules_in_pickle(path: Path) -> set[str]:
    """Return the dotted names of the modules that loading the pickle at ``path`` would import."""
    content = scan_pickle(path)
    return {found.module for found in content.globals if found.module} | set(content.modules)


def modules_in_skops(path: Path) -> set[str]:
    """Return the dotted names of the modules of all objects in the skops archive at ``path``."""
    with zipfile.ZipFile(path) as archive:
        schema = json.loads(archive.read("schema.json"))
    modules: set[str] = set()
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(module := node.get("__module__"), str):
                modules.add(module)
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return modules
