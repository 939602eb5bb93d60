"""Changes of the registry, each written down with who made it, and told to those who watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from holdfast_server.domain.experiment import Tag, TagChanges
from holdfast_server.domain.registry import ModelVersion, ResolvedSource, Stage
from holdfast_server.domain.registry_history import Actor, Change, ChangeKind, event_of
from holdfast_server.storage.sql.events import SqlEvents
from holdfast_server.storage.sql.registry import SqlRegistry
from holdfast_server.storage.sql.registry_history import SqlRegistryHistory


class RecordedRegistry:
    """Implements ``RegistryWriter`` over the rows, their history and the events, in one transaction.

    Transactions offer no other way to change the registry, so that no use case can forget either. What stays as it
    was is no change and leaves no record and no event.
    """

    def __init__(
        self, rows: SqlRegistry, history: SqlRegistryHistory, events: SqlEvents, actor: Actor, now_ms: int
    ) -> None:
        self._rows, self._history, self._events, self._actor, self._now_ms = rows, history, events, actor, now_ms

    def create(self, name: str, description: str, tags: Sequence[Tag]) -> None:
        """Add a model without versions; the caller made sure that the name is free."""
        self._rows.create(name, description, tags, now_ms=self._now_ms)
        self._record(
            Change(kind=ChangeKind.MODEL_CREATED, name=name),
            *_described(name, 0, None, description or None),
            *_tagged(name, 0, {}, TagChanges(tuple(tags))),
        )

    def update(
        self,
        name: str,
        *,
        new_name: str | None,
        description: str | None,
        tags: TagChanges,
        pickle_forbidden: bool | None = None,
    ) -> None:
        """Change what is not None, and tags; absent keys are passed over."""
        changes = _tagged(name, 0, self._rows.get_tags(name, _keys(tags)), tags)
        if description is not None:
            changes += _described(name, 0, self._rows.get_description(name), description)
        if pickle_forbidden is not None:
            changes += _pickles(name, before=self._rows.is_pickle_forbidden(name), after=pickle_forbidden)
        if new_name is not None and new_name != name:  # last: what comes behind it belongs to the new name
            changes.append(Change(kind=ChangeKind.MODEL_RENAMED, name=name, old=name, new=new_name))
        self._record(*changes)
        self._rows.change_tags(name, tags)
        self._rows.update(
            name,
            new_name=new_name,
            description=description,
            pickle_forbidden=pickle_forbidden,
            now_ms=self._now_ms,
        )

    def delete(self, name: str) -> None:
        """Remove one with its versions and aliases."""
        aliases = [_alias(name, alias.alias, alias.version, 0) for alias in self._rows.list_aliases(name)]
        self._write_down(aliases)  # watches are told of the model alone
        self._record(Change(kind=ChangeKind.MODEL_DELETED, name=name))
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
        run_link: str = "",
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
            run_link=run_link,
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

    def update_version(
        self,
        before: ModelVersion,
        *,
        description: str | None,
        stage: Stage | None,
        tags: TagChanges,
        archive_existing: bool,
    ) -> None:
        """Change description, stage and tags, and archive the others of the stage; None leaves either as it is."""
        name, version = before.name, before.version
        changes = _tagged(name, version, {tag.key: tag.value for tag in before.tags}, tags)
        archived: list[list[Change]] = []
        if description is not None:
            changes += _described(name, version, before.description, description)
        if stage is not None:
            changes += _staged(name, version, before.stage, stage)
        if stage is not None and archive_existing:
            others = self._rows.archive_others(name, version, stage, now_ms=self._now_ms)
            archived = [_staged(name, other, stage, Stage.ARCHIVED) for other in others]
        self._write_down([*changes, *chain.from_iterable(archived)])
        # The others first, so that who watches sees no two versions in the stage.
        for each in [*archived, changes]:
            self._tell(each)
        self._rows.change_version_tags(name, version, tags)
        self._rows.update_version(name, version, description=description, stage=stage, now_ms=self._now_ms)

    def delete_version(self, before: ModelVersion) -> None:
        """Remove a version and the aliases that name it."""
        name, version = before.name, before.version
        for alias in before.aliases:
            self._record(_alias(name, alias, version, 0))
        self._record(
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
        """Write down what happened to one thing, and tell of it by one event."""
        self._write_down(changes)
        self._tell(changes)

    def _write_down(self, changes: Sequence[Change]) -> None:
        if changes:
            self._history.append(changes, self._actor, now_ms=self._now_ms)

    def _tell(self, changes: Sequence[Change]) -> None:
        if changes:
            self._events.append(event_of(changes, self._rows.get_number(changes[0].name), self._actor))


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


def _pickles(name: str, *, before: bool, after: bool) -> list[Change]:
    if before is after:
        return []
    words = {False: "allowed", True: "forbidden"}
    return [Change(kind=ChangeKind.PICKLE_CHANGED, name=name, old=words[before], new=words[after])]


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
