"""Changes of the registry, each written down with who made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast_server.domain.experiment import Tag, TagChanges
from holdfast_server.domain.registry import ModelVersion, ResolvedSource, Stage
from holdfast_server.domain.registry_history import Actor, Change, ChangeKind
from holdfast_server.storage.sql.registry import SqlRegistry
from holdfast_server.storage.sql.registry_history import SqlRegistryHistory


class RecordedRegistry:
    """Implements ``RegistryWriter`` over the rows and their history, in one transaction.

    Transactions offer no other way to change the registry, so that no use case can forget the history. What stays as it
    was is no change and leaves no record.
    """

    def __init__(self, rows: SqlRegistry, history: SqlRegistryHistory, actor: Actor, now_ms: int) -> None:
        self._rows, self._history, self._actor, self._now_ms = rows, history, actor, now_ms

    def create(self, name: str, description: str, tags: Sequence[Tag]) -> None:
        """Add a model without versions; the caller made sure that the name is free."""
        self._rows.create(name, description, tags, now_ms=self._now_ms)
        self._record(
            Change(kind=ChangeKind.MODEL_CREATED, name=name),
            *_described(name, 0, None, description or None),
            *_tagged(name, 0, {}, TagChanges(tuple(tags))),
        )

    def update(self, name: str, *, new_name: str | None, description: str | None) -> None:
        """Change name and description; None leaves either as it is."""
        if description is not None:
            self._record(*_described(name, 0, self._rows.get_description(name), description))
        if new_name is not None and new_name != name:
            self._record(Change(kind=ChangeKind.MODEL_RENAMED, name=name, old=name, new=new_name))
        self._rows.update(name, new_name=new_name, description=description, now_ms=self._now_ms)

    def change_tags(self, name: str, changes: TagChanges) -> None:
        """Set and remove tags; absent keys are passed over."""
        self._record(*_tagged(name, 0, self._rows.get_tags(name, _keys(changes)), changes))
        self._rows.change_tags(name, changes)

    def delete(self, name: str) -> None:
        """Remove one with its versions and aliases."""
        removed = [_alias(name, alias.alias, alias.version, 0) for alias in self._rows.list_aliases(name)]
        self._record(*removed, Change(kind=ChangeKind.MODEL_DELETED, name=name))
        self._rows.delete(name)

    def create_version(
        self,
        name: str,
        *,
        source_uri: str,
        source: ResolvedSource,
        run_id: str,
        description: str,
        tags: Sequence[Tag],
        import_id: str = "",
    ) -> int:
        """Add a READY version and return its number, the next one of the model."""
        version = self._rows.create_version(
            name,
            source_uri=source_uri,
            source=source,
            run_id=run_id,
            description=description,
            user_id=self._actor.user_id,
            tags=tags,
            import_id=import_id,
            now_ms=self._now_ms,
        )
        self._record(
            Change(
                kind=ChangeKind.VERSION_CREATED,
                name=name,
                version=version,
                new=source_uri,
                tree_digest=source.tree_digest,
            ),
            *_described(name, version, None, description or None),
            *_tagged(name, version, {}, TagChanges(tuple(tags))),
        )
        return version

    def update_version(self, before: ModelVersion, *, description: str | None, stage: Stage | None) -> None:
        """Change description and stage; None leaves either as it is."""
        name, version = before.name, before.version
        if description is not None:
            self._record(*_described(name, version, before.description, description))
        if stage is not None:
            self._record(*_staged(name, version, before.stage, stage))
        self._rows.update_version(name, version, description=description, stage=stage, now_ms=self._now_ms)

    def change_version_tags(self, before: ModelVersion, changes: TagChanges) -> None:
        """Set and remove tags; absent keys are passed over."""
        known = {tag.key: tag.value for tag in before.tags}
        self._record(*_tagged(before.name, before.version, known, changes))
        self._rows.change_version_tags(before.name, before.version, changes)

    def archive_others(self, name: str, version: int, stage: Stage) -> list[int]:
        """Move all versions in ``stage`` but ``version`` to Archived; returns their numbers."""
        archived = self._rows.archive_others(name, version, stage, now_ms=self._now_ms)
        for other in archived:
            self._record(*_staged(name, other, stage, Stage.ARCHIVED))
        return archived

    def delete_version(self, before: ModelVersion) -> None:
        """Remove a version and the aliases that name it."""
        name, version = before.name, before.version
        self._record(
            *[_alias(name, alias, version, 0) for alias in before.aliases],
            Change(
                kind=ChangeKind.VERSION_DELETED,
                name=name,
                version=version,
                old=before.source_uri,
                tree_digest=before.source.tree_digest,
            ),
        )
        self._rows.delete_version(name, version, now_ms=self._now_ms)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Make an alias name a version."""
        before = self._rows.get_alias(name, alias)
        if before != version:
            self._record(_alias(name, alias, before, version))
        self._rows.set_alias(name, alias, version, now_ms=self._now_ms)

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; one that is not there is passed over."""
        before = self._rows.get_alias(name, alias)
        if before:
            self._record(_alias(name, alias, before, 0))
            self._rows.delete_alias(name, alias, now_ms=self._now_ms)

    def _record(self, *changes: Change) -> None:
        if changes:
            self._history.append(changes, self._actor, now_ms=self._now_ms)


def _alias(name: str, alias: str, before: int, after: int) -> Change:
    return Change(
        kind=ChangeKind.ALIAS_CHANGED,
        name=name,
        version=after or before,
        key=alias,
        old=str(before) if before else None,
        new=str(after) if after else None,
    )


def _described(name: str, version: int, before: str | None, after: str | None) -> list[Change]:
    before, after = before or None, after or None
    if before == after:
        return []
    return [Change(kind=ChangeKind.DESCRIPTION_CHANGED, name=name, version=version, old=before, new=after)]


def _staged(name: str, version: int, before: Stage, after: Stage) -> list[Change]:
    if before is after:
        return []
    kind = ChangeKind.STAGE_CHANGED
    return [Change(kind=kind, name=name, version=version, old=before.value, new=after.value)]


def _tagged(name: str, version: int, known: Mapping[str, str], changes: TagChanges) -> list[Change]:
    after: dict[str, str | None] = {tag.key: tag.value for tag in changes.tags}
    after.update(dict.fromkeys(changes.deleted_keys))
    return [
        Change(kind=ChangeKind.TAG_CHANGED, name=name, version=version, key=key, old=known.get(key), new=value)
        for key, value in after.items()
        if known.get(key) != value
    ]


def _keys(changes: TagChanges) -> list[str]:
    return [*(tag.key for tag in changes.tags), *changes.deleted_keys]
