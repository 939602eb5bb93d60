"""Replaces methods of classes and functions of modules by wrappers around them, and puts the originals back.

To Python, pickle, ``inspect`` and scikit-learn a wrapper looks like what it wraps: its name, signature and
documentation are the original's, and it stands where that stood, so that what is inherited stays inherited.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any

# Called with the original, the positional and the named arguments; of methods the first is the object.
Around = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class Patches:
    """What was replaced."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._done: dict[tuple[object, str], Any] = {}

    def wrap_method(self, owner: type, name: str, around: Around) -> None:
        """Wrap a method that ``owner`` itself defines; anything else of that name is left alone."""
        found = vars(owner).get(name)
        if isinstance(found, FunctionType):
            self._wrap(owner, name, found, _around_method(found, around))
        elif isinstance(getattr(found, "fn", None), FunctionType):
            # scikit-learn's available_if: whether the method is there depends on the object.
            self._wrap(found, "fn", found.fn, _around_method(found.fn, around))  # type: ignore[union-attr]

    def wrap_function(self, module: ModuleType, name: str, around: Around) -> None:
        """Wrap a function that is reached through ``module``."""
        found = vars(module).get(name)
        if isinstance(found, FunctionType):
            self._wrap(module, name, found, _AroundFunction(found, around))

    def restore(self) -> None:
        """Put back all that was replaced, where nobody replaced it after this."""
        with self._lock:
            for (_, name), (owner, original, wrapper) in self._done.items():
                if vars(owner).get(name) is wrapper:
                    setattr(owner, name, original)
            self._done.clear()

    def _wrap(self, owner: Any, name: str, original: FunctionType, wrapper: Callable[..., Any]) -> None:
        with self._lock:
            if (id(owner), name) not in self._done:
                setattr(owner, name, wrapper)
                self._done[id(owner), name] = (owner, original, wrapper)


def unwrapped(value: Any) -> Any:
    """The function that a wrapper of a module's function stands for; anything else as it is."""
    return value._original if isinstance(value, _AroundFunction) else value  # noqa: SLF001 - of this module


def _around_method(original: FunctionType, around: Around) -> Callable[..., Any]:
    """A function, since scikit-learn takes nothing else for a method; pickle finds it in its class, as the original."""

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return around(original, args, kwargs)

    return wrapper


class _AroundFunction:
    """A function of a module that others hold by names of their own, and which pickles as the original.

    A scorer that is sent to another process has one in it. pickle stores a function by the module that defines it, and
    refuses one that is not what is found there. Replacing it there too would make what others have imported from there
    the one that is refused. Where it is unpickled this package may be missing, so nothing of it is referred to.
    """

    def __init__(self, original: FunctionType, around: Around) -> None:
        functools.update_wrapper(self, original)
        self._original, self._around = original, around

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._around(self._original, args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and not name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._original, name)

    def __repr__(self) -> str:
        return repr(self._original)

    def __copy__(self) -> _AroundFunction:
        return self

    def __deepcopy__(self, memo: object) -> _AroundFunction:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return copy.copy, (self._original,)  # which of a function is the function
