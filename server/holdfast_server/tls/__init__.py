"""TLS of the server: its files are checked before they are used, and read anew when they change."""

from __future__ import annotations

import datetime as dt


class TlsFileError(Exception):
    """A file cannot be used for TLS; the message names it, what is wrong, and the way out.

    Attributes:
        valid_from: When it can be used as it is; None: never.
    """

    def __init__(self, message: str, *, valid_from: dt.datetime | None = None) -> None:
        super().__init__(message)
        self.valid_from = valid_from
