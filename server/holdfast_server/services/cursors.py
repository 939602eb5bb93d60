"""Opaque cursors of watches: how far one has come, signed, and good for the same watch only."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_server.domain.event import Scope, Subject
from holdfast_server.errors import InvalidArgument, OutOfRange, Reason
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.search.page_token import open_token, seal_token

_ENDED = -1


@dataclass(frozen=True, slots=True)
class WatchStart:
    """Where a watch begins.

    Attributes:
        scope: What it covers.
        after: The sequence of the last event that it has seen.
        newest: The sequence of the newest event there was.
        watched: What was asked for; cursors are bound to it.
        key: What cursors are signed with.
        ended: Nothing can come any more.
    """

    scope: Scope
    after: int
    newest: int
    watched: tuple[str, str]
    key: bytes
    ended: bool = False

    def cursor(self, sequence: int, *, ended: bool = False) -> str:
        """A cursor behind the event of this sequence; ``ended`` when none can follow."""
        scope = self.scope
        experiment_id = -1 if scope.experiment_id is None else scope.experiment_id
        place = (scope.subject.value, scope.number, experiment_id, _ENDED if ended else sequence)
        return seal_token(self.key, self.watched, place)


def begin_watch(tx: Transaction, watched: tuple[str, str], scope: Scope) -> WatchStart:
    """Begin at this moment; what the same transaction reads is the state that events follow."""
    newest = tx.events.newest()
    return WatchStart(scope, newest, newest, watched, tx.page_token_key)


def resume_watch(tx: Transaction, watched: tuple[str, str], cursor: str) -> WatchStart:
    """Go on behind a cursor.

    Raises:
        InvalidArgument: INVALID_CURSOR, it is forged or another watch's.
        OutOfRange: CURSOR_EXPIRED.
    """
    try:
        subject, number, experiment_id, after = open_token(tx.page_token_key, watched, cursor)
    except InvalidArgument:
        raise InvalidArgument(
            "The cursor is not one of this watch. Pass the newest cursor that came, for the same resource, or none to"
            " begin anew.",
            reason=Reason.INVALID_CURSOR,
            field="cursor",
        ) from None
    scope = Scope(Subject(subject), int(number), None if experiment_id == -1 else int(experiment_id))
    newest = tx.events.newest()
    if after == _ENDED:
        return WatchStart(scope, newest, newest, watched, tx.page_token_key, ended=True)
    check_kept(tx, int(after))
    return WatchStart(scope, int(after), newest, watched, tx.page_token_key)


def check_kept(tx: Transaction, after: int) -> None:
    """Refuse to go on where events are missing.

    Raises:
        OutOfRange: CURSOR_EXPIRED: they are too old, or the database was put back to an earlier state.
    """
    if not tx.events.forgotten() <= after <= tx.events.newest():
        raise OutOfRange(
            "What followed this cursor is not kept any more. List again what is watched, and watch it anew without a"
            " cursor.",
        )
