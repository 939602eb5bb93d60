"""Imports the code that comes with a package, for that package alone.

Two models may bring modules of one name, and a program may have its own. So a package's modules stay out of
``sys.path`` and, once they are loaded, out of ``sys.modules``: the package keeps them, its pickle finds them by
`PackagedCode.find`, and import statements inside them, also those that run much later, reach the package's modules
through an ``__import__`` of their own, which Python takes from a module's ``__builtins__``.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from holdfast.models._lasting import directory_for

__all__ = ["PackagedCode"]

# While it is held, sys.modules names modules of one package. Modules import each other, hence reentrant.
_visible = threading.RLock()
_SUFFIXES = (*importlib.machinery.SOURCE_SUFFIXES, *importlib.machinery.EXTENSION_SUFFIXES)
_CLOUDPICKLE = ("cloudpickle.cloudpickle", "cloudpickle.cloudpickle_fast", "cloudpickle")


class PackagedCode:
    """The modules of one package.

    Their files are written once to a private directory, for code that opens files beside itself, and for extension
    modules; what is compiled are the bytes that were checked.
    """

    def __init__(self, files: Mapping[str, bytes], *, import_other: Callable[..., Any] = builtins.__import__) -> None:
        """Take files.

        Args:
            files: Contents, checked by the caller, by path below the code directory.
            import_other: Called as ``__import__`` for what is not among them.
        """
        self._root = directory_for(self, "holdfast-code-")
        for name, data in files.items():
            file = self._root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        self._sources = {str(self._root / name): data for name, data in files.items()}
        self._tops = {name.partition("/")[0].partition(".")[0] for name in files if name.endswith(_SUFFIXES)}
        self._modules: dict[str, types.ModuleType] = {}
        self._import_other = import_other
        self._builtins = {**vars(builtins), "__import__": self._import}

    def owns(self, module: str) -> bool:
        """Whether ``module``, a dotted name, is one of the package's."""
        return module.partition(".")[0] in self._tops

    def find(self, module: str, name: str) -> Any:
        """What a pickle means by ``name`` of ``module``; None where that is not the package's to say.

        Raises:
            ModuleNotFoundError: The package has no such module.
            AttributeError: The module has no such name.
        """
        if self.owns(module):
            return functools.reduce(getattr, name.split("."), self.import_module(module))
        if module in _CLOUDPICKLE and name == "subimport":
            return self._subimport
        if module in _CLOUDPICKLE and name == "_make_function":
            return self._make_function
        return None

    def import_module(self, name: str) -> Any:
        """Import a module of the package.

        Raises:
            ModuleNotFoundError: There is none of this name.
        """
        with _visible:
            if name in self._modules:
                return self._modules[name]
            parent, _, child = name.rpartition(".")
            above = self.import_module(parent) if parent else None
            if name in self._modules:  # the package's own __init__ imported it
                return self._modules[name]
            spec = self._find_spec(name, [str(self._root)] if above is None else getattr(above, "__path__", ()))
            if spec is None:
                raise ModuleNotFoundError(f"No module named {name!r} in the code of the model", name=name)
            module = importlib.util.module_from_spec(spec)
            vars(module)["__builtins__"] = self._builtins
            self._modules[name] = module
            try:
                if spec.loader is not None:
                    with self.visible():  # for sys.modules[__name__], which code looks up while it is imported
                        spec.loader.exec_module(module)
            except BaseException:
                del self._modules[name]
                raise
            if above is not None:
                setattr(above, child, module)
            return module

    @contextlib.contextmanager
    def visible(self) -> Iterator[None]:
        """Let ``import`` of the whole process find the package's modules for the time of a ``with`` block.

        For what looks modules up by name and cannot be told otherwise. Everything is as before afterwards; other
        threads that import a module of the same name meanwhile get the package's.
        """
        with _visible:
            before = {name: sys.modules[name] for name in list(sys.modules) if self.owns(name)}
            for name in before:
                del sys.modules[name]
            sys.modules.update(self._modules)
            finder = _Finder(self)
            sys.meta_path.insert(0, finder)
            try:
                yield
            finally:
                sys.meta_path.remove(finder)
                for name in [name for name in list(sys.modules) if self.owns(name)]:
                    self._modules.setdefault(name, sys.modules.pop(name))
                sys.modules.update(before)

    def _find_spec(self, name: str, path: Sequence[str]) -> importlib.machinery.ModuleSpec | None:
        extensions = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
        sources = (functools.partial(_CheckedLoader, self._sources), importlib.machinery.SOURCE_SUFFIXES)
        namespace: list[str] = []
        for folder in path:
            spec = importlib.machinery.FileFinder(folder, extensions, sources).find_spec(name)  # type: ignore[arg-type]
            if spec is not None and spec.loader is not None:
                return spec
            if spec is not None:
                namespace += spec.submodule_search_locations or ()
        if not namespace:
            return None
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = namespace
        return spec

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - __import__'s own names
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        """Do what ``__import__`` does, for statements inside the package's code."""
        full = name
        if level:
            scope = globals or {}
            package = scope.get("__package__") or getattr(scope.get("__spec__"), "parent", "")
            full = importlib.util.resolve_name("." * level + name, package)
        if not self.owns(full):
            return self._import_other(name, globals, locals, fromlist or (), level)
        module = self.import_module(full)
        if not fromlist:
            return module if level else self.import_module(full.partition(".")[0])
        wanted = list(fromlist)
        if "*" in wanted:
            wanted = [item for item in wanted if item != "*"] + list(getattr(module, "__all__", ()))
        for item in wanted if hasattr(module, "__path__") else ():
            if not hasattr(module, item):
                with contextlib.suppress(ModuleNotFoundError):  # the statement itself says what it does not find
                    self.import_module(f"{full}.{item}")
        return module

    def _subimport(self, name: str) -> Any:
        """Do what cloudpickle does for a module that a function uses."""
        return self.import_module(name) if self.owns(name) else importlib.import_module(name)

    def _make_function(
        self,
        code: types.CodeType,
        globals: dict[str, Any],  # noqa: A002 - cloudpickle's name
        name: str | None,
        argdefs: tuple[Any, ...] | None,
        closure: tuple[Any, ...] | None,
    ) -> Any:
        """Do what cloudpickle does for a function that it stored with its code."""
        globals["__builtins__"] = self._builtins
        return types.FunctionType(code, globals, name, argdefs, closure)


class _Finder:
    """Lets the import system find a package's modules."""

    def __init__(self, code: PackagedCode) -> None:
        self._code = code

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002 - importlib's signature
        """Tell how to get a module; None for those that are not the package's."""
        if not self._code.owns(name):
            return None
        return importlib.machinery.ModuleSpec(name, _Ready(self._code.import_module))  # type: ignore[arg-type]


class _Ready:
    """Hands the import system a module that is imported already."""

    def __init__(self, import_module: Callable[[str], Any]) -> None:
        self._import_module = import_module

    def create_module(self, spec: Any) -> Any:
        """The module, which keeps its own specification."""
        module = self._import_module(spec.name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: Any) -> None:
        """Undo what the import system wrote into it."""
        module.__spec__ = self._spec


class _CheckedLoader(importlib.machinery.SourceFileLoader):
    """Compiles the bytes that were checked, whatever is on disk by now, and keeps no compiled files."""

    def __init__(self, sources: Mapping[str, bytes], name: str, path: str) -> None:
        super().__init__(name, path)
        self._sources = sources

    def get_data(self, path: str) -> bytes:
        """The content of a file of the package."""
        try:
            return self._sources[str(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    def get_code(self, fullname: str) -> Any:
        """Compile a module."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)
