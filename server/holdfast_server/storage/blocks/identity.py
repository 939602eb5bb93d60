"""Ties a database to the one store that holds its blocks."""

from __future__ import annotations

from holdfast_server.errors import FailedPrecondition, Reason
from holdfast_server.services.ports.artifacts import ObjectStore

MARKER = "holdfast-store"


def check_identity(objects: ObjectStore, expected: str, description: str, *, known_as: str) -> None:
    """Make sure that ``objects`` is the store of a database; a store that is new becomes it.

    With another store the server would answer "I have that block" and have nothing.

    Args:
        objects: The store that was configured.
        expected: The id that the database gave its store when it was new.
        description: What was configured, for the message.
        known_as: What was configured when the database was new; empty: it is new now.

    Raises:
        FailedPrecondition: The store holds another database's blocks, or not those of this one.
    """
    found = _read(objects)
    if found == expected:
        return
    if found is not None:
        raise FailedPrecondition(
            f"The store {description} belongs to another database. Use another bucket, prefix or data directory: two "
            "databases cannot share a store, as each would take the other's blocks for garbage."
        )
    if known_as == description:
        raise FailedPrecondition(
            f"The database keeps its blocks in {description}, where the store's marker ({MARKER}) is missing: it is a "
            "copy without its blocks, or they were removed. Copy the whole directory while no server runs, or restore "
            "a backup."
        )
    if known_as:
        raise FailedPrecondition(
            f"The database keeps its blocks in {known_as}, not in {description}. Start the server with that store, or "
            "with another data directory; a client reaches a server that runs elsewhere by HOLDFAST_URI."
        )
    data = expected.encode()
    objects.put(MARKER, [data])


def adopt(objects: ObjectStore, new_id: str) -> None:
    """Make a store that of another database, a restored copy; the database that it had is refused from then on."""
    objects.put(MARKER, [new_id.encode()])


def confirm_identity(objects: ObjectStore, expected: str, *, or_else: str = "") -> None:
    """Make sure that ``objects`` still is the store of a database, before anything is judged by what it lacks.

    ``or_else`` is another id that it may have.

    Raises:
        FailedPrecondition: STORE_MISMATCH, it is not: it was replaced or emptied, or is not mounted.
    """
    found = _read(objects)
    if found != expected and not (or_else and found == or_else):
        raise FailedPrecondition(
            "The block store is not the one of this database: it was emptied or replaced, or is not mounted. "
            "Nothing was checked or removed. Bring the store back.",
            reason=Reason.STORE_MISMATCH,
        )


def _read(objects: ObjectStore) -> str | None:
    try:
        return objects.get(MARKER, 0, 64).decode(errors="replace")
    except KeyError:
        return None
