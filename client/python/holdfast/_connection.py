"""Which server this process's fluent functions speak to."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from holdfast._config import Target, is_strict, parse_target

if TYPE_CHECKING:
    from holdfast._client import Client

_lock = threading.RLock()
_client: Client | None = None
_target: Target | None = None
# What set_experiment chose; an id means nothing on another server.
_experiment_id: str | None = None


def connect(uri: str | os.PathLike[str] | None = None, *, strict: bool | None = None) -> Client:
    """Choose the server for all fluent functions, and return a client of it.

    Nothing is sent yet. Runs that are active stay with the server they began on.

    Args:
        uri: ``holdfast://host:port``, ``holdfast+tls://host:port``, ``unix:/path`` or a directory; None for
            ``HOLDFAST_URI``, or without it the embedded server of ``./.holdfast``.
        strict: Whether calls that log raise ``UnavailableError`` when the server is away, in place of waiting in the
            journal; None for what ``HOLDFAST_STRICT`` says, or else not.

    Raises:
        InvalidArgumentError: ``uri`` is none of these.
    """
    global _client, _target, _experiment_id  # noqa: PLW0603 - the one place that holds the process's choice
    target = parse_target(uri)
    strict = is_strict() if strict is None else strict
    with _lock:
        if _client is None or _client.channel.closed or target != _target or _client.strict != strict:
            from holdfast._client import Client

            if _target is None or target.uri != _target.uri:
                _experiment_id = None
            # The client before is not closed: an active run may still use it.
            _client, _target = Client(target, strict=strict), target
        return _client


def set_tracking_uri(uri: str | os.PathLike[str] | None = None) -> None:
    """Choose the server for all fluent functions, as ``connect`` does."""
    connect(uri)


def get_tracking_uri() -> str:
    """The server that fluent functions speak to."""
    return current_client().tracking_uri


def current_client() -> Client:
    """The client of ``connect``; the default server's if nothing was chosen."""
    client = _client
    if client is not None:
        return client
    with _lock:
        return _client if _client is not None else connect()


def chosen_experiment() -> str | None:
    """The id that ``set_experiment`` chose on this server; None when it did not."""
    return _experiment_id


def choose_experiment(experiment_id: str) -> None:
    """Make ``experiment_id`` the one that runs begin in."""
    global _experiment_id  # noqa: PLW0603 - as above
    _experiment_id = experiment_id


def _renew_lock() -> None:
    # Another thread may have held it when this process was forked.
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
