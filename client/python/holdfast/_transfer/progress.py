"""One bar for a whole call, and what became of it in figures."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from holdfast._config import shows_progress
from holdfast._context import in_notebook

if TYPE_CHECKING:
    from typing_extensions import Self

# Seconds. A call that is over sooner shows no bar, whatever its size.
APPEARS_AFTER = 0.7
REDRAWN_AFTER = 0.1
_NEVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSummary:
    """What a transfer did.

    Attributes:
        files: Files concerned.
        bytes: What they hold together: what was moved, and what needed no moving.
        moved: Bytes that went over the network for it, those included that had to go again.
        saved: Bytes that needed no moving, as they were there.
        seconds: How long it took.
    """

    files: int
    bytes: int
    moved: int
    saved: int
    seconds: float


class Progress:
    """Counts a transfer, from any thread; drawn when it takes long and somebody looks (a terminal or a notebook).

    ``HOLDFAST_PROGRESS`` decides otherwise. Counting costs an addition; drawing happens ten times a second at most, in
    whichever thread comes first then, while the others go on.
    """

    def __init__(self, label: str, total: int | None = None, *, shown: bool | None = None) -> None:
        self._label, self._total = label, total
        self._files = self._sent = self._moved = self._again = self._saved = 0
        self._begin = time.monotonic()
        self._end: float | None = None
        self._counting, self._drawing = threading.Lock(), threading.Lock()
        self._bar: Any = None
        wanted = shows_progress() if shown is None else shown
        self._due = self._begin + APPEARS_AFTER if (_somebody_looks() if wanted is None else wanted) else _NEVER

    def expect(self, size: int | None, *, files: int = 0) -> None:
        """``size`` more bytes, None for who knows how many, and ``files`` more files belong to the transfer."""
        with self._counting:
            self._files += files
            if size is not None:
                self._total = (self._total or 0) + size

    def relabel(self, label: str) -> None:
        """Say what the transfer is at now."""
        self._label = label
        self._draw_when_due()

    def advance(self, size: int) -> None:
        """``size`` more bytes were sent or received."""
        with self._counting:
            self._moved += size
        self._draw_when_due()

    def save(self, size: int) -> None:
        """``size`` more bytes needed no sending, as the server had them."""
        with self._counting:
            self._saved += size
        self._draw_when_due()

    def send(self, size: int) -> None:
        """``size`` bytes are on their way; ``advance`` follows when they have arrived, which may take several goes."""
        with self._counting:
            self._sent += size

    def restart(self, *, forget: bool = False) -> None:
        """The transfer begins anew; what was moved counts, and brought nothing. ``forget``: also what was expected."""
        with self._counting:
            if forget:
                self._files, self._total = 0, None
            self._again += self._moved
            self._moved = self._saved = 0

    @property
    def summary(self) -> TransferSummary:
        """The figures so far; those of the whole transfer once it is closed."""
        with self._counting:
            return TransferSummary(
                files=self._files,
                bytes=self._moved + self._saved,
                moved=max(self._sent, self._moved + self._again),
                saved=self._saved,
                seconds=(self._end or time.monotonic()) - self._begin,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._due, self._end = _NEVER, time.monotonic()
        with self._drawing:
            bar, self._bar = self._bar, None
            if bar is not None:
                bar.close()

    def _draw_when_due(self) -> None:
        now = time.monotonic()
        if now < self._due or not self._drawing.acquire(blocking=False):
            return
        try:
            if now < self._due:  # another thread was faster
                return
            self._due = now + REDRAWN_AFTER
            self._draw(now)
        except Exception:  # noqa: BLE001 - a screen that broke must not break the transfer
            self._due = _NEVER
        finally:
            self._drawing.release()

    def _draw(self, now: float) -> None:
        with self._counting:
            done, saved, files, total = self._moved + self._saved, self._saved, self._files, self._total
        if self._bar is None:
            self._bar = _new_bar(self._label, total, now - self._begin)
        notes = [f"{files} files"] if files > 1 else []
        if saved:
            notes.append(f"{saved / (1 << 20):.0f} MiB already there")
        if total != self._bar.total:
            _set_total(self._bar, total)
        self._bar.set_description(self._label, refresh=False)
        self._bar.set_postfix_str(", ".join(notes), refresh=False)
        self._bar.update(done - self._bar.n)


def _somebody_looks() -> bool:
    try:
        return sys.stderr.isatty() or in_notebook()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _new_bar(label: str, total: int | None, elapsed: float) -> Any:
    """A bar that nothing was drawn of yet, of a transfer that began ``elapsed`` seconds ago."""
    bar = _bar_type()(
        desc=label,
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        leave=False,
        ncols=80 if (hides_width := _hides_width()) else None,
        dynamic_ncols=not hides_width,
        # We say when to draw. A delay keeps it from drawing itself empty at once.
        mininterval=0,
        miniters=1,
        delay=1e-9,
    )
    bar.start_t -= elapsed
    bar.last_print_t = bar.start_t
    return bar


def _hides_width() -> bool:
    """Whether the terminal says that it has no columns, as some do that are not windows; tqdm would draw nothing."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns == 0
    except (AttributeError, OSError, ValueError):  # no terminal
        return False


def _set_total(bar: Any, total: int | None) -> None:
    bar.total = total
    if hasattr(bar, "container"):  # a notebook's, whose widget has a scale of its own
        bar.container.children[1].max = total


def _bar_type() -> Any:
    """A kind of tqdm for where we are, without the thread by which tqdm watches its bars."""
    from tqdm.std import tqdm

    kind: Any = tqdm
    if in_notebook():
        # Not tqdm.auto, which warns where ipywidgets are missing; a bar of text does well there.
        from tqdm import notebook

        if getattr(notebook, "IProgress", None) is not None:
            kind = notebook.tqdm
    return type("Bar", (kind,), {"monitor_interval": 0})
