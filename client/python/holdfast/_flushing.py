"""Waits until what was logged is durable, no longer than it was told to, and says what is not."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from holdfast import _open_files
from holdfast._background import NO_UPLOADS, Background, Uploads, uploads_to
from holdfast._journal.processes import senders, unsent
from holdfast._journal.sender import Sender
from holdfast._patience import hurried, time_left

logger = logging.getLogger(__name__)


def flush_client(sender: Sender, background: Background, timeout: float) -> None:
    """Wait for what goes to a server, and for the uploads of one client.

    Raises:
        UnsentError: Something is not durable.
    """
    with hurried(timeout):
        arrived = sender.flush(timeout, away_timeout=timeout)
        _raise_all([unsent(sender, background.wait(time_left()), arrived=arrived)])


def flush_process(timeout: float) -> None:
    """Wait for all that this process logs: points and changes, what is open for writing, and uploads.

    None of them is left out when another one fails, and all of them have the same end.

    Raises:
        UnsentError: Something is not durable.
        HoldfastError: Something is not that is open for writing.
    """
    with hurried(timeout):
        # What is quick comes first: an upload may take all of the time. All of them go on meanwhile.
        arrived = [(sender, sender.flush(timeout, away_timeout=timeout)) for sender in senders()]
        files = _open_files.flush_all()
        unsents = [unsent(sender, _uploads_to(sender.channel.target.uri), arrived=came) for sender, came in arrived]
        _raise_all([*unsents, *files])


def _uploads_to(uri: str) -> Uploads:
    return sum((background.wait(time_left()) for background in uploads_to(uri)), NO_UPLOADS)


def _raise_all(found: Iterable[Exception | None]) -> None:
    """Raise the first, and say the others by warnings: most of it is told once, and must not be forgotten over it."""
    failures = [failure for failure in found if failure is not None]
    for failure in failures[1:]:
        logger.warning("%s", failure)
    if failures:
        raise failures[0]
