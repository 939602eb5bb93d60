"""The memo of an unpickler, as far as it tells names."""

from __future__ import annotations

from typing import Any

__all__ = ["EndError", "Memo"]

# What bounds its memory: values beyond these are unknown,
_MAX_KEPT, _MAX_KEPT_TEXT = 1_000_000, 64 << 20
# and with more gaps than these it is not followed at all.
_MAX_SPARSE = 1_000_000


class EndError(Exception):
    """A pickle cannot be followed any further."""


class Memo:
    """The values that a pickle stored; only texts, globals and calls are kept, but how many there are is exact."""

    def __init__(self) -> None:
        self._kept: dict[int, Any] = {}
        self._text_size = 0
        self._dense = 0  # all indices below it are taken
        self._sparse: set[int] = set()

    def __len__(self) -> int:
        return self._dense + len(self._sparse)

    def put(self, index: int, value: Any) -> None:
        if value is None:
            self._kept.pop(index, None)
        elif len(self._kept) < _MAX_KEPT and self._text_size < _MAX_KEPT_TEXT:
            self._kept[index] = value
            self._text_size += len(value) if isinstance(value, str) else 0
        else:
            self._kept.pop(index, None)
        if index == self._dense:
            self._dense += 1
            while self._sparse and self._dense in self._sparse:
                self._sparse.remove(self._dense)
                self._dense += 1
        elif index > self._dense:
            self._sparse.add(index)
            if len(self._sparse) > _MAX_SPARSE:
                raise EndError("its memo has more gaps than are followed")

    def get(self, index: int) -> Any:
        value = self._kept.get(index)
        if value is None and index >= self._dense and index not in self._sparse:
            raise EndError(f"it fetches memo entry {index}, which it never stored")
        return value
