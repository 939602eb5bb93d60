"""Use cases of registered models, versions and aliases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast_server.domain.access import ResourceKind
from holdfast_server.domain.experiment import Tag, TagChanges
from holdfast_server.domain.names import (
    check_alias,
    check_count,
    check_import_id,
    check_length,
    check_registered_model_name,
    check_run_id,
    check_version,
    shown,
)
from holdfast_server.domain.registry import (
    MAX_ALIASES_PER_REQUEST,
    MAX_DESCRIPTION,
    MAX_RUN_LINK,
    MAX_SOURCE,
    ModelVersion,
    RegisteredModel,
    ResolvedSource,
    Stage,
)
from holdfast_server.domain.registry_history import Actor
from holdfast_server.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, Reason
from holdfast_server.services.access import make_manager
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.sizes import check_alias_count, check_registered_model_size, check_version_size

ResolveSource = Callable[[Transaction, str], ResolvedSource]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What a caller says of a version to create.

    ``run_id`` empty: that of the source. ``import_id``, when not empty, is that of at most one version of the model.
    ``aliases`` are to name it.
    """

    name: str
    source: str
    description: str = ""
    tags: tuple[Tag, ...] = ()
    run_id: str = ""
    create_registered_model: bool = False
    import_id: str = ""
    run_link: str = ""
    aliases: tuple[str, ...] = ()
    actor: Actor = field(default_factory=Actor)

    def __post_init__(self) -> None:
        check_registered_model_name(self.name)
        check_length(self.source, MAX_SOURCE, what="The source", field="source")
        check_length(self.description, MAX_DESCRIPTION, what="The description", field="description")
        check_length(self.run_link, MAX_RUN_LINK, what="The run link", field="run_link")
        if self.run_id:
            check_run_id(self.run_id)
        if self.import_id:
            check_import_id(self.import_id)
        check_count(len(self.aliases), MAX_ALIASES_PER_REQUEST, what="aliases", field="aliases")
        for alias in self.aliases:
            check_alias(alias)
            if self.aliases.count(alias) > 1:
                raise InvalidArgument(f"Alias {shown(alias)} comes twice; name it once.", field="aliases")


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChanges:
    """What a caller wants to change of a version; None leaves it as it is."""

    description: str | None = None
    stage: Stage | None = None
    archive_existing: bool = False
    tags: TagChanges = field(default_factory=TagChanges)

    def __post_init__(self) -> None:
        check_length(self.description or "", MAX_DESCRIPTION, what="The description", field="description")
        if self.archive_existing and self.stage not in {Stage.STAGING, Stage.PRODUCTION}:
            raise InvalidArgument(
                "Existing versions are archived only together with a move to STAGING or PRODUCTION.",
                field="archive_existing_versions",
            )


def create_registered_model(
    tx: Transaction, actor: Actor, name: str, description: str, tags: tuple[Tag, ...]
) -> RegisteredModel:
    """Create a registered model without versions.

    Raises:
        AlreadyExists: The name is taken.
    """
    check_length(description, MAX_DESCRIPTION, what="The description", field="description")
    _check_free(tx, check_registered_model_name(name))
    add_registered_model(tx, actor, name, description, tags)
    return _checked(get_registered_model(tx, name))


def add_registered_model(
    tx: Transaction, actor: Actor, name: str, description: str = "", tags: tuple[Tag, ...] = ()
) -> None:
    """Add a model of a name that is free, which its creator manages."""
    tx.change_registry(actor).create(name, description, tags)
    number = tx.access.number_of_model(name)
    assert number is not None
    make_manager(tx, ResourceKind.REGISTERED_MODEL, number)


def get_registered_model(tx: Transaction, name: str) -> RegisteredModel:
    """Read one with the newest version of each stage.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND.
    """
    model = tx.registry.get(name)
    if model is None:
        raise _no_model(name)
    return model


def update_registered_model(
    tx: Transaction,
    actor: Actor,
    name: str,
    *,
    new_name: str | None,
    description: str | None,
    tags: TagChanges,
    pickle_forbidden: bool | None = None,
) -> RegisteredModel:
    """Change what is not None, and tags. Versions and aliases follow the name.

    Raises:
        AlreadyExists: The new name is taken.
    """
    check_length(description or "", MAX_DESCRIPTION, what="The description", field="description")
    _check_exists(tx, name)
    if new_name is not None and new_name != name:
        _check_free(tx, check_registered_model_name(new_name, field="new_name"), field="new_name")
    tx.change_registry(actor).update(
        name, new_name=new_name, description=description, tags=tags, pickle_forbidden=pickle_forbidden
    )
    return _checked(get_registered_model(tx, name if new_name is None else new_name))


def delete_registered_model(tx: Transaction, actor: Actor, name: str) -> None:
    """Delete one with its versions and aliases, for good. Its history stays, and its numbers are not used again."""
    _check_exists(tx, name)
    tx.change_registry(actor).delete(name)


def create_version(tx: Transaction, new: NewVersion, resolve: ResolveSource) -> ModelVersion:
    """Register a snapshot under the next number of its model; what was imported before is returned as it is.

    Its aliases name it from the same transaction on, and their changes are recorded behind that of the version.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND, or what ``resolve`` does not find.
    """
    if new.import_id:
        imported = tx.registry.get_by_import(new.name, new.import_id)
        if imported is not None:
            return imported
    source = resolve(tx, new.source)
    if not tx.registry.exists(new.name):
        if not new.create_registered_model:
            raise _no_model(new.name)
        add_registered_model(tx, new.actor, new.name)
    changes = tx.change_registry(new.actor)
    version = changes.create_version(
        new.name,
        source_uri=new.source,
        source=source,
        run_id=new.run_id or source.run_id,
        description=new.description,
        tags=new.tags,
        import_id=new.import_id,
        run_link=new.run_link,
    )
    for alias in new.aliases:
        changes.set_alias(new.name, alias, version)
    if new.aliases:
        check_alias_count(new.name, tx.registry.count_aliases(new.name))
    created = get_version(tx, new.name, version)
    check_version_size(created)
    return created


def get_version(tx: Transaction, name: str, version: int) -> ModelVersion:
    """Read a version by number.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND or MODEL_VERSION_NOT_FOUND.
    """
    found = tx.registry.get_version(name, check_version(version))
    if found is None:
        _check_exists(tx, name)
        raise NotFound(
            f"Registered model {shown(name)} has no version {version}.",
            reason=Reason.MODEL_VERSION_NOT_FOUND,
            metadata={"name": name[:200], "version": str(version)},
        )
    return found


def get_version_by_alias(tx: Transaction, name: str, alias: str) -> ModelVersion:
    """Read the version that an alias names; "latest" is not an alias but the newest version.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND or ALIAS_NOT_FOUND.
    """
    found = tx.registry.get_by_alias(name, alias)
    if found is None:
        _check_exists(tx, name)
        raise NotFound(
            f"Registered model {shown(name)} has no alias {shown(alias)}.",
            reason=Reason.ALIAS_NOT_FOUND,
            metadata={"name": name[:200], "alias": alias[:200]},
        )
    return found


def get_latest_version(tx: Transaction, name: str, stage: Stage | None = None) -> ModelVersion:
    """Read the version of the highest number, among those in a stage when one is given.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND or MODEL_VERSION_NOT_FOUND.
    """
    found = tx.registry.latest(name, stage)
    if found is None:
        _check_exists(tx, name)
        where = f" in stage {stage.value}" if stage else ""
        raise NotFound(
            f"Registered model {shown(name)} has no version{where}.",
            reason=Reason.MODEL_VERSION_NOT_FOUND,
            metadata={"name": name[:200]},
        )
    return found


def update_version(tx: Transaction, actor: Actor, name: str, version: int, wanted: VersionChanges) -> ModelVersion:
    """Change description, stage and tags, and archive the others of that stage when asked."""
    tx.change_registry(actor).update_version(
        get_version(tx, name, version),
        description=wanted.description,
        stage=wanted.stage,
        tags=wanted.tags,
        archive_existing=wanted.archive_existing,
    )
    updated = get_version(tx, name, version)
    check_version_size(updated)
    return updated


def delete_version(tx: Transaction, actor: Actor, name: str, version: int) -> None:
    """Delete a version with the aliases that name it, for good. Its number is not used again."""
    tx.change_registry(actor).delete_version(get_version(tx, name, version))


def set_alias(tx: Transaction, actor: Actor, name: str, alias: str, version: int, *, expected: int | None) -> None:
    """Make an alias name a version; with ``expected`` only if it names that one now (0: none).

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND or MODEL_VERSION_NOT_FOUND.
        Conflict: It names another version than expected.
    """
    check_alias(alias)
    get_version(tx, name, version)
    check_expected(tx, name, alias, expected)
    tx.change_registry(actor).set_alias(name, alias, version)
    check_alias_count(name, tx.registry.count_aliases(name))


def delete_alias(tx: Transaction, actor: Actor, name: str, alias: str, *, expected: int | None) -> None:
    """Remove an alias; with ``expected`` only if it names that version now. One that is not there is passed over.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND.
        Conflict: It names another version than expected.
    """
    check_alias(alias)
    _check_exists(tx, name)
    check_expected(tx, name, alias, expected)
    tx.change_registry(actor).delete_alias(name, alias)


def check_expected(tx: Transaction, name: str, alias: str, expected: int | None) -> None:
    """Refuse a change of an alias that somebody else changed first; ``expected`` None expects nothing, 0 no version.

    Raises:
        Conflict: The alias names another version than expected.
    """
    if expected is None:
        return
    actual = tx.registry.get_alias(name, alias)
    if actual != expected:
        raise Conflict(
            f"Alias {shown(alias)} of {shown(name)} names {_version_words(actual)} now, where"
            f" {_version_words(expected)} was expected: somebody changed it first. Read it again and decide.",
            metadata={"name": name[:200], "alias": alias, "version": str(actual)},
        )


def _version_words(version: int) -> str:
    return f"version {version}" if version else "no version"


def _check_exists(tx: Transaction, name: str) -> None:
    if not tx.registry.exists(name):
        raise _no_model(name)


def _check_free(tx: Transaction, name: str, *, field: str = "name") -> None:
    if tx.registry.exists(name):
        raise AlreadyExists(
            f"A registered model named {shown(name)} exists. Choose another name.",
            metadata={"name": name[:200]},
            field=field,
        )


def _checked(model: RegisteredModel) -> RegisteredModel:
    check_registered_model_size(model)
    return model


def _no_model(name: str) -> NotFound:
    return NotFound(
        f"There is no registered model {shown(name)}. Create it first.",
        reason=Reason.REGISTERED_MODEL_NOT_FOUND,
        metadata={"name": name[:200]},
    )
