"""What callers are told when SQLite fails. Its own texts, which may hold statements and paths, stay in the log."""

from __future__ import annotations

from typing import TypeVar

from holdfast_server.errors import DataLoss, DomainError, Unavailable
from holdfast_server.storage.sql.connection import DatabaseError, OperationalError

F = TypeVar("F", bound=DomainError)

_UNKNOWN = "The database cannot be used right now; try again. The server's log says why."
_DAMAGED = "The database is damaged. Restore it from a backup; the server's log says more."
_BUSY = "The database is in use by another process, such as a backup, which takes long; try again."
# How Python's module begins the text, without a code, for a column whose bytes are no text.
_NOT_TEXT = "Could not decode to UTF-8"
# By primary result codes (https://sqlite.org/rescode.html); what is not here is a defect of a statement.
_TEXTS = {
    3: _UNKNOWN,  # SQLITE_PERM
    5: _BUSY,  # SQLITE_BUSY
    6: _BUSY,  # SQLITE_LOCKED
    8: "The database cannot be written: its file or file system is read-only. Reads go on.",  # SQLITE_READONLY
    9: _UNKNOWN,  # SQLITE_INTERRUPT
    10: "The database cannot be used: its disk gives an error. Look at the server's log and disk.",  # SQLITE_IOERR
    11: _DAMAGED,  # SQLITE_CORRUPT
    13: "The database cannot be written: its disk is full. Make room and try again.",  # SQLITE_FULL
    14: "The database cannot be used: its files cannot be opened. The server's log says more.",  # SQLITE_CANTOPEN
    15: _BUSY,  # SQLITE_PROTOCOL: somebody else holds the lock of the log again and again
    26: _DAMAGED,  # SQLITE_NOTADB
}


def failure_of(error: BaseException) -> DomainError | None:
    """What the caller of a job is told of an error within it, nothing of which is kept; None: it is a defect."""
    text = _text_of(error)
    if text is None:
        return None
    return _caused(DataLoss(text) if text == _DAMAGED else Unavailable(text), error)


def failure_of_group(error: BaseException) -> Unavailable:
    """What a job is told whose group failed: to try again, whatever another job met.

    It may have been committed all the same. One error each, because raising changes an error.
    """
    text = _text_of(error)
    return _caused(Unavailable(_UNKNOWN if text is None or text == _DAMAGED else text), error)


def is_no_room(error: BaseException) -> bool:
    """Whether nothing can be written, on a full or read-only disk: a line of the log says all, for each write."""
    return _text_of(error) in (_TEXTS[8], _TEXTS[13])


def _text_of(error: BaseException) -> str | None:
    if not isinstance(error, DatabaseError):
        return None
    if str(error).startswith(_NOT_TEXT):
        return _DAMAGED
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Python 3.10's own module keeps codes to itself; and these classes it uses for more than failures of a disk.
        return _UNKNOWN if type(error) in (DatabaseError, OperationalError) else None
    return _TEXTS.get(code & 0xFF)


def _caused(failure: F, error: BaseException) -> F:
    failure.__cause__ = error
    return failure
