"""Repository of registered models, their versions and aliases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast_server.domain.experiment import Tag, TagChanges
from holdfast_server.domain.registry import ModelVersion, RegisteredModel, ResolvedSource, Stage
from holdfast_server.services.search.query import Found, Position, SearchQuery


class RegisteredModelRepository(Protocol):
    """Registered models, versions and aliases. Every change of a version bumps the update time of its model too."""

    def create(self, name: str, description: str, tags: Sequence[Tag], *, now_ms: int) -> None:
        """Add a model without versions; the caller made sure that the name is free."""
        ...

    def get(self, name: str) -> RegisteredModel | None:
        """One with tags, aliases and the newest version of each stage."""
        ...

    def get_number(self, name: str) -> int:
        """The storage's own name of one that is there."""
        ...

    def exists(self, name: str) -> bool:
        """Whether the name is taken."""
        ...

    def update(self, name: str, *, new_name: str | None, description: str | None, now_ms: int) -> None:
        """Change name and description; None leaves either as it is."""
        ...

    def change_tags(self, name: str, changes: TagChanges) -> None:
        """Set and remove tags; absent keys are passed over."""
        ...

    def delete(self, name: str) -> None:
        """Remove one with its versions and aliases."""
        ...

    def search(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[RegisteredModel]]:
        """Those that match, from the one after ``after`` on."""
        ...

    def create_version(
        self,
        name: str,
        *,
        source_uri: str,
        source: ResolvedSource,
        run_id: str,
        description: str,
        user_id: str,
        tags: Sequence[Tag],
        now_ms: int,
    ) -> int:
        """Add a READY version and return its number, the next one of the model."""
        ...

    def get_version(self, name: str, version: int) -> ModelVersion | None:
        """A version by number."""
        ...

    def get_by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias names."""
        ...

    def latest(self, name: str, stage: Stage | None = None) -> ModelVersion | None:
        """The version of the highest number, among those in a stage when one is given."""
        ...

    def update_version(
        self, name: str, version: int, *, description: str | None, stage: Stage | None, now_ms: int
    ) -> None:
        """Change description and stage; None leaves either as it is."""
        ...

    def change_version_tags(self, name: str, version: int, changes: TagChanges) -> None:
        """Set and remove tags; absent keys are passed over."""
        ...

    def archive_others(self, name: str, version: int, stage: Stage, *, now_ms: int) -> list[int]:
        """Move all versions in ``stage`` but ``version`` to Archived; returns their numbers."""
        ...

    def delete_version(self, name: str, version: int, *, now_ms: int) -> None:
        """Remove a version and the aliases that name it."""
        ...

    def search_versions(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[ModelVersion]]:
        """Those that match, from the one after ``after`` on."""
        ...

    def get_alias(self, name: str, alias: str) -> int:
        """The version that an alias names; 0 when it names none."""
        ...

    def set_alias(self, name: str, alias: str, version: int, *, now_ms: int) -> None:
        """Make an alias name a version."""
        ...

    def delete_alias(self, name: str, alias: str, *, now_ms: int) -> None:
        """Remove an alias; one that is not there is passed over."""
        ...
