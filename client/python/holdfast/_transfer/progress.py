"""One bar for a whole transfer."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

# Below this nobody needs a bar.
SHOWN_FROM = 32 << 20


class Progress:
    """Bytes done of a transfer; drawn by tqdm when it is long and somebody looks (a terminal or a notebook)."""

    def __init__(self, label: str, total: int | None) -> None:
        self._bar: Any = None
        self._saved = 0
        if (total is None or total >= SHOWN_FROM) and _somebody_looks():
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024, leave=False)

    def expect(self, size: int, *, files: int = 0) -> None:  # noqa: ARG002 - shown later
        """``size`` more bytes and ``files`` more files belong to the transfer."""
        if self._bar is not None:
            self._bar.total = (self._bar.total or 0) + size

    def advance(self, size: int) -> None:
        """``size`` more bytes were sent or received."""
        if self._bar is not None:
            self._bar.update(size)

    def save(self, size: int) -> None:
        """``size`` more bytes needed no sending, as the server had them."""
        self._saved += size
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._saved >> 20} MiB already there", refresh=False)
            self._bar.update(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _somebody_looks() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules
