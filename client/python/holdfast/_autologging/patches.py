"""Replaces methods of classes and functions of modules by wrappers around them, and puts the originals back.

To Python, pickle, ``inspect`` and scikit-learn a wrapper looks like what it wraps: its name, signature and
documentation are the original's, and it stands where that stood, so that what is inherited stays inherited.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from types import FunctionType, ModuleType
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
            self._wrap(owner, name, found, around)
        elif isinstance(getattr(found, "fn", None), FunctionType):
            # scikit-learn's available_if: whether the method is there depends on the object.
            self._wrap(found, "fn", found.fn, around)  # type: ignore[union-attr]

    def wrap_function(self, module: ModuleType, name: str, around: Around) -> None:
        """Wrap a function that is reached through ``module``."""
        found = vars(module).get(name)
        if inspect.isfunction(found):
            self._wrap(module, name, found, around)

    def restore(self) -> None:
        """Put back all that was replaced, where nobody replaced it after this."""
        with self._lock:
            for (_, name), (owner, original, wrapper) in self._done.items():
                if vars(owner).get(name) is wrapper:
                    setattr(owner, name, original)
            self._done.clear()

    def _wrap(self, owner: Any, name: str, original: FunctionType, around: Around) -> None:
        with self._lock:
            if (id(owner), name) in self._done:
                return

            @functools.wraps(original)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return around(original, args, kwargs)

            setattr(owner, name, wrapper)
            self._done[id(owner), name] = (owner, original, wrapper)
