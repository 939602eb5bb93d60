"""Steps of logging, none of which is the user's matter when it fails."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from holdfast.errors import UnavailableError

logger = logging.getLogger("holdfast.sklearn")


class Steps:
    """Logging of one training: what fails is told by a warning, and the rest goes on.

    Once a server is away, steps that would each wait for it in vain are left out.
    """

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self.is_away = False

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Do something; an exception of it ends there. Ctrl-C does not."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
            self.is_away = self.is_away or isinstance(error, UnavailableError)
            self.warn(f"{what} could not be logged: {_text_of(error)}")

    def warn(self, text: str) -> None:
        """Tell the user of something that is not as expected."""
        # By the logger: warnings may be errors, and no setting makes a logger raise.
        logger.log(logging.DEBUG if self._silent else logging.WARNING, "Autologging: %s", text)

    def tell(self, text: str) -> None:
        """Tell the user of something that is as it should be."""
        logger.log(logging.DEBUG if self._silent else logging.INFO, "Autologging: %s", text)


def _text_of(error: Exception) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - an estimator's own error may be broken too
        return type(error).__name__
