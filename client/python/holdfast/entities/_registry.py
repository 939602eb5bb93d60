"""Registered models and their versions."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.entities import _html


@dataclass(frozen=True, slots=True)
class RegisteredModelTag:
    """A label of a registered model."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class ModelVersionTag:
    """A label of a model version."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A numbered version of a registered model; its bytes never change.

    Attributes:
        name: The registered model.
        version: Its number as text, from ``"1"``.
        creation_timestamp: Milliseconds since 1970, UTC.
        last_updated_timestamp: The same.
        description: For people.
        user_id: Who registered it.
        current_stage: ``"None"``, ``"Staging"``, ``"Production"`` or ``"Archived"``.
        source: The URI it was registered from.
        run_id: The run that made it; None when none is known.
        model_id: The logged model it was made of; None for files of a run.
        status: ``"READY"``, ``"PENDING_REGISTRATION"`` or ``"FAILED_REGISTRATION"``.
        status_message: Why it cannot be used, when it cannot.
        tags: Labels by key.
        aliases: Names for it.
        digest: SHA-256 of the pinned tree, 64 hex digits.
        run_link: Where its run can be looked at, when that is another server; None when it was not told.
        principal: Who logged the model that it pins, as the server knows; None without authentication, and for files
            of a run.
    """

    name: str
    version: str
    creation_timestamp: int = 0
    last_updated_timestamp: int | None = None
    description: str | None = None
    user_id: str | None = None
    current_stage: str = "None"
    source: str = ""
    run_id: str | None = None
    model_id: str | None = None
    status: str = "READY"
    status_message: str | None = None
    tags: dict[str, str] = field(default_factory=dict, hash=False)
    aliases: list[str] = field(default_factory=list, hash=False)
    digest: str = ""
    run_link: str | None = None
    principal: str | None = None

    def _repr_html_(self) -> str:
        return _html.table(
            f"{self.name} version {self.version}",
            {
                "status": self.status,
                "stage": self.current_stage,
                "aliases": self.aliases,
                "source": self.source,
                "run": self.run_id,
                "model": self.model_id,
                "description": self.description,
                "tags": self.tags,
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A name under which versions of a model are promoted.

    Attributes:
        name: Unique.
        creation_timestamp: Milliseconds since 1970, UTC.
        last_updated_timestamp: The same.
        description: For people.
        latest_versions: The newest version of each stage.
        tags: Labels by key.
        aliases: The version that each alias names.
        pickle_forbidden: Clients do not unpickle its versions, nor import code that they bring, whoever logged them.
    """

    name: str
    creation_timestamp: int = 0
    last_updated_timestamp: int | None = None
    description: str | None = None
    latest_versions: list[ModelVersion] = field(default_factory=list, hash=False)
    tags: dict[str, str] = field(default_factory=dict, hash=False)
    aliases: dict[str, str] = field(default_factory=dict, hash=False)
    pickle_forbidden: bool = False

    def _repr_html_(self) -> str:
        return _html.table(
            f"Registered model {self.name}",
            {
                "description": self.description,
                "latest versions": [f"v{v.version} ({v.current_stage})" for v in self.latest_versions],
                "aliases": self.aliases,
                "tags": self.tags,
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryChange:
    """One change of a registered model or of a version, as its history keeps it for good.

    Attributes:
        change_id: Grows with each change.
        timestamp: When; milliseconds since 1970, UTC.
        kind: ``"MODEL_CREATED"``, ``"MODEL_RENAMED"``, ``"MODEL_DELETED"``, ``"VERSION_CREATED"``,
            ``"VERSION_DELETED"``, ``"DESCRIPTION_CHANGED"``, ``"TAG_CHANGED"``, ``"STAGE_CHANGED"``,
            ``"ALIAS_CHANGED"`` or ``"PICKLE_CHANGED"``.
        name: The registered model, by the name that it had before.
        version: The version concerned; for an alias the one it names since, or else named before. None for the model.
        key: The tag or alias concerned.
        old_value: What was there; None for nothing.
        new_value: What is there since; None for nothing.
        digest: SHA-256 of the tree of a version that was registered or deleted, 64 hex digits.
        user_id: Who, as their client said.
        principal: Who, as the server knows; None without authentication.
    """

    change_id: int
    timestamp: int
    kind: str
    name: str
    version: str | None = None
    key: str | None = None
    old_value: str | None = None
    new_value: str | None = None
    digest: str | None = None
    user_id: str | None = None
    principal: str | None = None
