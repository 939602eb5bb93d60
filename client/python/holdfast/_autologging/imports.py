"""Calls a function with modules of a package as they are imported, and with those that are there already.

Importing all of scikit-learn to find its estimators would take more than a second. Nothing can be used that was not
imported, so it is enough to see to modules then.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from types import ModuleType

logger = logging.getLogger(__name__)

OnImport = Callable[[ModuleType], None]


def after_import(package: str, function: OnImport) -> Callable[[], None]:
    """Call ``function`` with each module of ``package`` written in Python; returns what ends that.

    Where an error would break the import of a module that has nothing to do with it, it is logged.
    """
    finder = _Finder(package, function)
    # First: others would find the modules before.
    sys.meta_path.insert(0, finder)
    for name, module in list(sys.modules.items()):
        if finder.covers(name) and isinstance(module, ModuleType) and not _is_loading(module):
            finder.tell(module)

    def end() -> None:
        finder.ended = True
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)

    return end


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


class _Finder(MetaPathFinder):
    """Finds modules as the finders behind it do, and sees to it that they are told of once they are executed."""

    def __init__(self, package: str, function: OnImport) -> None:
        self._package, self._function = package, function
        self.ended = False

    def covers(self, name: str) -> bool:
        return name == self._package or name.startswith(f"{self._package}.")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not self.covers(fullname):
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, path, target)
            if spec is not None:
                self._attend(spec)
                return spec
        return None

    def _attend(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        # These are made anew for each module, so the module keeps a loader of its own kind.
        if isinstance(loader, (SourceFileLoader, SourcelessFileLoader)):
            execute = functools.partial(self._execute, loader.exec_module)
            loader.exec_module = execute  # type: ignore[method-assign]

    def _execute(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        execute(module)
        if not self.ended:
            self.tell(module)

    def tell(self, module: ModuleType) -> None:
        try:
            self._function(module)
        except Exception as error:  # noqa: BLE001 - an import must not fail for this
            logger.warning("Autologging does not see to %s: %r", module.__name__, error)
