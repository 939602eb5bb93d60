"""The senders of this process: one for each server, shared by its clients, through forks and to the end."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast._background import NO_UPLOADS, Uploads
from holdfast._worker_end import at_worker_end

if TYPE_CHECKING:
    from holdfast._config import Target
    from holdfast._journal.sender import Sender
    from holdfast.errors import UnsentError

logger = logging.getLogger(__name__)

# Seconds that the end of a program, or of a client, waits for what it logged, and for a server that is away.
END_SECONDS = 30.0
AWAY_SECONDS = 3.0


@dataclass(slots=True)
class _Held:
    sender: Sender
    clients: int = 0


_lock = threading.RLock()
_held: dict[Target, _Held] = {}


def hold_sender(target: Target) -> Sender:
    """The sender of a server, until ``release_sender``."""
    from holdfast._journal.sender import Sender

    with _lock:
        held = _held.get(target)
        if held is None:
            held = _held[target] = _Held(Sender(target, on_start=_end_with_worker_process))
        held.clients += 1
        return held.sender


def release_sender(target: Target, uploads: Uploads = NO_UPLOADS) -> None:
    """Undo one ``hold_sender``; the last sends what waits, as far as that goes soon, and says what remains.

    ``uploads``: what is not well of those of the client that ends.
    """
    with _lock:
        held = _held.get(target)
        if held is None:
            return
        held.clients -= 1
        if not held.clients:
            del _held[target]
    if held.clients:
        held.sender.flush(END_SECONDS, away_timeout=AWAY_SECONDS)
        if uploads:
            warn_of_unsent(held.sender, uploads)
    else:
        end(held.sender, END_SECONDS, uploads)


def end_all(timeout: float) -> None:
    """Send what waits, as far as that goes within so many seconds, and say what remains."""
    with _lock:
        ending = senders()
        _held.clear()
    for sender in ending:
        end(sender, timeout)


def end(sender: Sender, timeout: float, uploads: Uploads = NO_UPLOADS) -> None:
    """Send what waits, as far as that goes within so many seconds, say what remains, and stop."""
    sender.flush(timeout, away_timeout=AWAY_SECONDS)
    send_left_by_children(sender)
    warn_of_unsent(sender, uploads)
    sender.close()


def unsent(sender: Sender, uploads: Uploads = NO_UPLOADS, *, arrived: bool = False) -> UnsentError | None:
    """What did not arrive of what was logged: it waits, was refused since this was asked, or is lost.

    Args:
        sender: Of the server.
        uploads: What is not well of those in the background.
        arrived: What was to be waited for came through; what waits now was logged by other threads since.
    """
    from holdfast.errors import UnsentError

    refused, refusal = sender.take_refusal()
    waiting, lost = 0 if arrived else sender.waiting, sender.journal.take_lost()
    if not waiting and not refused and not lost and not uploads:
        return None
    folder = sender.journal.folder
    return UnsentError.of(
        sender.channel.target.uri,
        waiting=waiting,
        refused=refused,
        lost=lost,
        journal=str(folder.path) if folder is not None else "",
        cause=refusal or sender.outage or uploads.failure,
        uploading=uploads.going_on,
        failed_uploads=uploads.failed,
    )


def warn_of_unsent(sender: Sender, uploads: Uploads = NO_UPLOADS) -> None:
    """Say by a warning what did not arrive; what was said before is not said again."""
    failure = unsent(sender, uploads)
    if failure is None:
        return
    if failure.refused or failure.lost or uploads or failure.waiting != sender.told_waiting:
        logger.warning("%s", failure)
    sender.told_waiting = failure.waiting


def send_left_by_children(sender: Sender) -> None:
    """Send what forked processes left that were ended by force, such as the workers of a data loader."""
    if not sender.forked or sender.outage is not None:
        return
    from holdfast._journal.syncing import sync

    with contextlib.suppress(OSError):
        sync(wanted=lambda owner: owner.family == sender.journal.id, patience=0)


def senders() -> list[Sender]:
    """One for each server that this process logs to."""
    return [held.sender for held in list(_held.values())]


@atexit.register
def _end_at_exit() -> None:
    end_all(END_SECONDS)


def _end_with_worker_process() -> None:
    # After the end of the process's artifacts and runs.
    at_worker_end(end_all, END_SECONDS, priority=5)


def _before_fork() -> None:
    for sender in senders():
        sender.before_fork()


def _after_in_parent() -> None:
    for sender in senders():
        sender.after_fork_in_parent()


def _after_in_child() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it
    _lock = threading.RLock()
    for sender in senders():
        sender.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
