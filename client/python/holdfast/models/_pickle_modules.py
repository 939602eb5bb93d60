"""Names the modules that a serialized model refers to, by reading it, never by loading it."""

from __future__ import annotations

import json
import pickletools
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["modules_in_pickle", "modules_in_skops"]


class _Global(NamedTuple):
    module: str
    name: str


_STRING_OPCODES = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINSTRING", "BINSTRING", "STRING"}
_PUT_OPCODES = {"BINPUT", "LONG_BINPUT", "PUT"}
_GET_OPCODES = {"BINGET", "LONG_BINGET", "GET"}

# cloudpickle stores a module that a function uses as a call of this with the module's name.
_SUBIMPORTS = {_Global("cloudpickle.cloudpickle", "subimport"), _Global("cloudpickle.cloudpickle", "dynamic_subimport")}


def modules_in_pickle(path: Path) -> set[str]:
    """Return the dotted names of the modules that loading the pickle at ``path`` would import.

    The opcodes are walked once with the memo and the last two pushed values; that suffices, because picklers push the
    module and the name right before ``STACK_GLOBAL``.
    """
    modules: set[str] = set()
    memo: dict[int, Any] = {}
    before: Any = None
    last: Any = None
    with path.open("rb") as file:
        for opcode, argument, _ in pickletools.genops(file):
            name = opcode.name
            if name == "MEMOIZE":
                memo[len(memo)] = last
                continue
            if name in _PUT_OPCODES:
                memo[int(argument or 0)] = last
                continue
            before, last = last, _pushed(name, argument, memo, before=last, older=before)
            if isinstance(last, _Global):
                modules.add(last.module)
            elif isinstance(last, str) and before in _SUBIMPORTS:
                modules.add(last)
    return modules


def _pushed(name: str, argument: Any, memo: dict[int, Any], *, before: Any, older: Any) -> Any:
    """The value that an opcode pushes, where it is a string or a global; None for all else."""
    if name in _GET_OPCODES:
        return memo.get(int(argument))
    if name in _STRING_OPCODES:
        return argument
    if name == "STACK_GLOBAL":
        return _Global(str(older), str(before))
    if name in ("GLOBAL", "INST"):
        return _Global(*argument.split(" ", 1))
    return None


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
