"""The command line's settings: for each a flag, a variable, a default and a line of help, and what they make together.

``values`` parses texts, ``table`` lists the settings, ``resolving`` finds where each value is from, ``process`` makes a
configuration of them all, and ``report`` shows them.

Only the standard library is imported, so that ``--help`` and mistakes are answered at once.
"""

from __future__ import annotations

from holdfast_server.settings.process import Process, read
from holdfast_server.settings.resolving import DEFAULT, STANDARD_ENDPOINTS, Resolved, parser, resolve
from holdfast_server.settings.setting import PREFIX, Setting
from holdfast_server.settings.table import SETTINGS

__all__ = [
    "DEFAULT",
    "PREFIX",
    "SETTINGS",
    "STANDARD_ENDPOINTS",
    "Process",
    "Resolved",
    "Setting",
    "parser",
    "read",
    "resolve",
]
