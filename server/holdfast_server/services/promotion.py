"""Changing a version and the aliases of its model together."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast_server.domain.names import check_alias, check_count, shown
from holdfast_server.domain.registry import MAX_ALIASES_PER_REQUEST, ModelVersion
from holdfast_server.domain.registry_history import Actor
from holdfast_server.errors import InvalidArgument
from holdfast_server.services import registry
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.registry import VersionChanges
from holdfast_server.services.sizes import check_alias_count


@dataclass(frozen=True, slots=True)
class AliasChange:
    """An alias to move or remove; ``expected`` is the version it must name now, 0 for none, None for any."""

    alias: str
    expected: int | None = None

    def __post_init__(self) -> None:
        check_alias(self.alias)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What a caller wants to happen to a version and to aliases of its model, all of it or nothing."""

    name: str
    version: int
    moved: tuple[AliasChange, ...] = ()
    removed: tuple[AliasChange, ...] = ()
    changes: VersionChanges = field(default_factory=VersionChanges)

    def __post_init__(self) -> None:
        check_count(len(self.moved), MAX_ALIASES_PER_REQUEST, what="aliases", field="aliases")
        check_count(len(self.removed), MAX_ALIASES_PER_REQUEST, what="aliases to remove", field="removed_aliases")
        seen: set[str] = set()
        for change in (*self.moved, *self.removed):
            if change.alias in seen:
                raise InvalidArgument(f"Alias {shown(change.alias)} comes twice; name it once.", field="aliases")
            seen.add(change.alias)
        if not seen and self.changes == VersionChanges():
            raise InvalidArgument("Say what shall change: aliases, tags, description or stage.", field="aliases")


def promote(tx: Transaction, actor: Actor, wanted: Promotion) -> ModelVersion:
    """Move aliases to a version, remove others, and change the version's description, stage and tags.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND or MODEL_VERSION_NOT_FOUND.
        Conflict: An alias names another version than expected.
    """
    name, version = wanted.name, wanted.version
    if wanted.changes != VersionChanges():
        registry.update_version(tx, actor, name, version, wanted.changes)
    # Removed first: what makes room must not count for the limit of aliases.
    for change in wanted.removed:
        registry.delete_alias(tx, actor, name, change.alias, expected=change.expected)
    registry.get_version(tx, name, version)
    changes = tx.change_registry(actor)
    for change in wanted.moved:
        registry.check_expected(tx, name, change.alias, change.expected)
        changes.set_alias(name, change.alias, version)
    if wanted.moved:
        check_alias_count(name, tx.registry.count_aliases(name))
    return registry.get_version(tx, name, version)
