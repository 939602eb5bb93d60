"""What ends a backup or a restore."""

from __future__ import annotations


class BackupError(Exception):
    """It cannot be done, or not be finished; the message says why, what is left, and what to do."""
