"""Registered models, their versions and aliases: reading them, changing them, and what happened to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast_server.domain.access import Viewer
from holdfast_server.domain.experiment import Tag, TagChanges
from holdfast_server.domain.registry import ModelVersion, RegisteredModel, ResolvedSource, Stage
from holdfast_server.domain.registry_history import RecordedChange
from holdfast_server.services.search.query import Found, Position, SearchQuery


class RegistryReader(Protocol):
    """Registered models, versions and aliases as a transaction sees them; ``RegistryWriter`` changes them."""

    def get(self, name: str) -> RegisteredModel | None:
        """One with tags, aliases and the newest version of each stage."""
        ...

    def exists(self, name: str) -> bool:
        """Whether the name is taken."""
        ...

    def search(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[RegisteredModel]]:
        """Those that match, from the one after ``after`` on."""
        ...

    def get_version(self, name: str, version: int) -> ModelVersion | None:
        """A version by number."""
        ...

    def get_by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias names."""
        ...

    def get_by_import(self, name: str, import_id: str) -> ModelVersion | None:
        """The version that something was imported as."""
        ...

    def latest(self, name: str, stage: Stage | None = None) -> ModelVersion | None:
        """The version of the highest number, among those in a stage when one is given."""
        ...

    def search_versions(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[ModelVersion]]:
        """Those that match, from the one after ``after`` on."""
        ...

    def get_alias(self, name: str, alias: str) -> int:
        """The version that an alias names; 0 when it names none."""
        ...

    def count_aliases(self, name: str) -> int:
        """How many aliases a model has."""
        ...


class RegistryWriter(Protocol):
    """Changes of the registry, each written down in its history and as an event, in one transaction, with who made it.

    What is changed must be there. Every change of a version bumps the update time of its model too.
    """

    def create(self, name: str, description: str, tags: Sequence[Tag]) -> None:
        """Add a model without versions; the caller made sure that the name is free."""
        ...

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
        ...

    def delete(self, name: str) -> None:
        """Remove one with its versions and aliases."""
        ...

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
        """Add a READY version and return its number, the next one that the name never had."""
        ...

    def update_version(
        self,
        before: ModelVersion,
        *,
        description: str | None,
        stage: Stage | None,
        tags: TagChanges,
        archive_existing: bool,
    ) -> None:
        """Change description, stage and tags of a version that was just read; None leaves either as it is.

        Args:
            before: The version.
            description: What it is to be.
            stage: The same.
            tags: To set and remove; absent keys are passed over.
            archive_existing: Move all other versions in ``stage`` to Archived.
        """
        ...

    def delete_version(self, before: ModelVersion) -> None:
        """Remove a version that was just read, and the aliases that name it."""
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Make an alias name a version."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; one that is not there is passed over."""
        ...


class RegistryHistory(Protocol):
    """What happened to registered models and versions, for good."""

    def list_before(
        self, name: str, version: int, before: int | None, limit: int, visible_to: Viewer | None = None
    ) -> list[RecordedChange]:
        """The newest changes with a lower number than ``before``; of one version unless that is 0.

        To a name belongs what happened under it, and what happened before to models that were renamed to it, as far as
        ``visible_to`` may read these models.
        """
        ...
