"""Rows of registered models and aliases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast_server.domain.experiment import Tag, TagChanges
from holdfast_server.domain.registry import Alias, ModelVersion, RegisteredModel
from holdfast_server.services.search.query import Found, Position, SearchQuery
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.key_values import KeyValues
from holdfast_server.storage.sql.model_versions import SqlModelVersions
from holdfast_server.storage.sql.search import REGISTERED_MODELS, find


class SqlRegistry(SqlModelVersions):
    """Implements ``RegisteredModelRepository``."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._tags = KeyValues(connection, "registered_model_tags", "registered_no")

    def create(self, name: str, description: str, tags: Sequence[Tag], *, now_ms: int) -> None:
        """Add a model without versions."""
        row = self._connection.execute(
            "INSERT INTO registered_models (name, description, create_time, update_time, next_version, lineage)"
            " VALUES (?, ?, ?, ?, COALESCE((SELECT next_version FROM used_model_names WHERE name = ?), 1),"
            # The number of the record of this creation, which is never given to another.
            " (SELECT COALESCE(MAX(change_no), 0) + 1 FROM registry_history)) RETURNING registered_no",
            (name, description, now_ms, now_ms, name),
        ).fetchone()
        self._tags.set(row["registered_no"], tags)

    def get(self, name: str) -> RegisteredModel | None:
        """One with tags, aliases and the newest version of each stage."""
        row = self._connection.execute("SELECT * FROM registered_models WHERE name = ?", (name,)).fetchone()
        return self._models([row])[0] if row else None

    def exists(self, name: str) -> bool:
        """Whether the name is taken."""
        return bool(self._connection.execute("SELECT 1 FROM registered_models WHERE name = ?", (name,)).fetchone())

    def update(
        self,
        name: str,
        *,
        new_name: str | None,
        description: str | None,
        pickle_forbidden: bool | None,
        now_ms: int,
    ) -> None:
        """Change name, description and whether pickles are forbidden; None leaves each as it is."""
        if new_name is not None and new_name != name:
            self._retire(name)
        self._connection.execute(
            "UPDATE registered_models SET name = COALESCE(?1, name), description = COALESCE(?2, description),"
            " pickle_forbidden = COALESCE(?5, pickle_forbidden), update_time = ?3, next_version ="
            " MAX(next_version, COALESCE((SELECT u.next_version FROM used_model_names u WHERE u.name = ?1), 1))"
            " WHERE name = ?4",
            (new_name, description, now_ms, name, pickle_forbidden),
        )

    def change_tags(self, name: str, changes: TagChanges) -> None:
        """Set and remove tags; absent keys are passed over."""
        number = self.get_number(name)
        self._tags.set(number, changes.tags)
        self._tags.delete(number, changes.deleted_keys)

    def delete(self, name: str) -> None:
        """Remove one with its versions and aliases."""
        self._retire(name)
        self._connection.execute("DELETE FROM registered_models WHERE name = ?", (name,))

    def get_description(self, name: str) -> str:
        """The description of one that is there."""
        row = self._connection.execute("SELECT description FROM registered_models WHERE name = ?", (name,)).fetchone()
        return str(row["description"])

    def is_pickle_forbidden(self, name: str) -> bool:
        """Whether one that is there forbids to unpickle its versions."""
        row = self._connection.execute(
            "SELECT pickle_forbidden FROM registered_models WHERE name = ?", (name,)
        ).fetchone()
        return bool(row["pickle_forbidden"])

    def get_tags(self, name: str, keys: Sequence[str]) -> dict[str, str]:
        """The values of those keys that one has."""
        return self._tags.get(self.get_number(name), keys)

    def list_aliases(self, name: str) -> list[Alias]:
        """All aliases of one, in order."""
        number = self.get_number(name)
        return self._load_aliases([number]).get(number, [])

    def search(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[RegisteredModel]]:
        """Those that match, from the one after ``after`` on."""
        rows = find(self._connection, REGISTERED_MODELS, query, after, limit)
        models = self._models([row for row, _ in rows])
        return [Found(model, position) for model, (_, position) in zip(models, rows, strict=True)]

    def get_alias(self, name: str, alias: str) -> int:
        """The version that an alias names; 0 when it names none."""
        row = self._connection.execute(
            "SELECT version FROM model_aliases JOIN registered_models USING (registered_no)"
            " WHERE name = ? AND alias = ?",
            (name, alias),
        ).fetchone()
        return int(row["version"]) if row else 0

    def count_aliases(self, name: str) -> int:
        """How many aliases a model has."""
        row = self._connection.execute(
            "SELECT COUNT(*) FROM model_aliases JOIN registered_models USING (registered_no) WHERE name = ?", (name,)
        ).fetchone()
        return int(row[0])

    def set_alias(self, name: str, alias: str, version: int, *, now_ms: int) -> None:
        """Make an alias name a version."""
        self._connection.execute(
            "INSERT INTO model_aliases (registered_no, alias, version) VALUES (?, ?, ?)"
            " ON CONFLICT (registered_no, alias) DO UPDATE SET version = excluded.version",
            (self.get_number(name), alias, version),
        )
        self._touch(name, now_ms)

    def delete_alias(self, name: str, alias: str, *, now_ms: int) -> None:
        """Remove an alias; one that is not there is passed over."""
        cursor = self._connection.execute(
            "DELETE FROM model_aliases WHERE registered_no = ? AND alias = ?", (self.get_number(name), alias)
        )
        if cursor.rowcount:
            self._touch(name, now_ms)

    def _retire(self, name: str) -> None:
        """Remember which numbers a name used, before it is free."""
        self._connection.execute(
            "INSERT INTO used_model_names (name, next_version)"
            " SELECT name, next_version FROM registered_models WHERE name = ?"
            " ON CONFLICT (name) DO UPDATE SET next_version = MAX(next_version, excluded.next_version)",
            (name,),
        )

    def _models(self, rows: Sequence[Any]) -> list[RegisteredModel]:
        numbers = [row["registered_no"] for row in rows]
        tags = self._tags.load(Tag, numbers)
        aliases = self._load_aliases(numbers)
        versions = self._load_latest(numbers)
        return [_model(row, tags, aliases, versions) for row in rows]

    def _load_aliases(self, numbers: Sequence[int]) -> dict[int, list[Alias]]:
        found: dict[int, list[Alias]] = {}
        for part in chunks(numbers):
            rows = self._connection.execute(
                f"SELECT registered_no, alias, version FROM model_aliases WHERE registered_no IN ({marks(len(part))})"  # noqa: S608
                " ORDER BY registered_no, alias",
                part,
            )
            for number, alias, version in rows:
                found.setdefault(number, []).append(Alias(alias, version))
        return found


def _model(
    row: Any,
    tags: dict[int, list[Tag]],
    aliases: dict[int, list[Alias]],
    versions: dict[int, list[ModelVersion]],
) -> RegisteredModel:
    number = row["registered_no"]
    return RegisteredModel(
        number=number,
        name=row["name"],
        description=row["description"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        tags=tuple(tags.get(number, ())),
        aliases=tuple(aliases.get(number, ())),
        latest_versions=tuple(versions.get(number, ())),
        pickle_forbidden=bool(row["pickle_forbidden"]),
    )
