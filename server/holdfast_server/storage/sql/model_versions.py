"""Rows of model versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast_server.domain.experiment import Tag, TagChanges
from holdfast_server.domain.registry import ModelVersion, ResolvedSource, Stage, VersionStatus
from holdfast_server.services.search.query import Found, Position, SearchQuery
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.key_values import KeyValues
from holdfast_server.storage.sql.search import MODEL_VERSIONS, find

_SELECT = "SELECT t.*, r.name FROM model_versions t JOIN registered_models r ON r.registered_no = t.registered_no"
# A seek for each stage, however many versions a model has.
_LATEST = (
    "SELECT t.*, r.name FROM registered_models r"  # noqa: S608 - of constants
    f" CROSS JOIN ({' UNION ALL '.join(f'SELECT {stage.value!r} AS stage' for stage in Stage)}) s"
    " JOIN model_versions t ON t.registered_no = r.registered_no AND t.version = (SELECT MAX(v.version)"
    " FROM model_versions v WHERE v.registered_no = r.registered_no AND v.stage = s.stage)"
)
_OF_VERSION = "registered_no = (SELECT registered_no FROM registered_models WHERE name = ?) AND version = ?"


class SqlModelVersions:
    """The part of ``SqlRegistry`` that is about versions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._version_tags = KeyValues(connection, "model_version_tags", "version_no")

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
        import_id: str,
        run_link: str,
        now_ms: int,
    ) -> int:
        """Add a READY version and return its number, the next one of the model."""
        row = self._connection.execute(
            "UPDATE registered_models SET next_version = next_version + 1, update_time = ? WHERE name = ?"
            " RETURNING registered_no, next_version - 1 AS version",
            (now_ms, name),
        ).fetchone()
        added = self._connection.execute(
            "INSERT INTO model_versions (registered_no, version, source, run_id, model_id, owner, sequence,"
            " tree_digest, file_count, total_size, path, logged_by, status, description, user_id, import_id, run_link,"
            " directory_digest, create_time, update_time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING version_no",
            (
                row["registered_no"],
                row["version"],
                source_uri,
                run_id,
                source.model_id,
                source.owner,
                source.sequence,
                source.tree_digest,
                source.file_count,
                source.total_size,
                source.path,
                source.principal,
                VersionStatus.READY.value,
                description,
                user_id,
                import_id,
                run_link,
                source.directory_digest,
                now_ms,
                now_ms,
            ),
        ).fetchone()
        self._version_tags.set(added["version_no"], tags)
        return int(row["version"])

    def get_version(self, name: str, version: int) -> ModelVersion | None:
        """A version by number."""
        return self._version("r.name = ? AND t.version = ?", (name, version))

    def get_by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias names."""
        return self._version(
            "r.name = ? AND t.version ="
            " (SELECT version FROM model_aliases a WHERE a.registered_no = t.registered_no AND a.alias = ?)",
            (name, alias),
        )

    def get_by_import(self, name: str, import_id: str) -> ModelVersion | None:
        """The version that something was imported as."""
        return self._version("r.name = ? AND t.import_id = ?", (name, import_id))

    def latest(self, name: str, stage: Stage | None = None) -> ModelVersion | None:
        """The version of the highest number, among those in a stage when one is given."""
        in_stage = "AND t.stage = ?" if stage else ""
        values = (name, stage.value) if stage else (name,)
        return self._version(f"r.name = ? {in_stage} ORDER BY t.version DESC LIMIT 1", values)

    def update_version(
        self, name: str, version: int, *, description: str | None, stage: Stage | None, now_ms: int
    ) -> None:
        """Change description and stage; None leaves either as it is."""
        self._connection.execute(
            "UPDATE model_versions SET description = COALESCE(?, description), stage = COALESCE(?, stage),"  # noqa: S608
            f" update_time = ? WHERE {_OF_VERSION}",
            (description, stage.value if stage else None, now_ms, name, version),
        )
        self._touch(name, now_ms)

    def change_version_tags(self, name: str, version: int, changes: TagChanges) -> None:
        """Set and remove tags; absent keys are passed over."""
        row = self._connection.execute(
            f"SELECT version_no FROM model_versions WHERE {_OF_VERSION}",  # noqa: S608
            (name, version),
        ).fetchone()
        self._version_tags.set(row["version_no"], changes.tags)
        self._version_tags.delete(row["version_no"], changes.deleted_keys)

    def archive_others(self, name: str, version: int, stage: Stage, *, now_ms: int) -> list[int]:
        """Move all versions in ``stage`` but ``version`` to Archived; returns their numbers."""
        rows = self._connection.execute(
            "UPDATE model_versions SET stage = ?, update_time = ?"
            " WHERE registered_no = (SELECT registered_no FROM registered_models WHERE name = ?)"
            " AND stage = ? AND version != ? RETURNING version",
            (Stage.ARCHIVED.value, now_ms, name, stage.value, version),
        ).fetchall()
        return sorted(row["version"] for row in rows)

    def delete_version(self, name: str, version: int, *, now_ms: int) -> None:
        """Remove a version and the aliases that name it."""
        self._connection.execute(f"DELETE FROM model_versions WHERE {_OF_VERSION}", (name, version))  # noqa: S608
        self._touch(name, now_ms)

    def search_versions(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[ModelVersion]]:
        """Those that match, from the one after ``after`` on."""
        rows = find(self._connection, MODEL_VERSIONS, query, after, limit)
        versions = self._versions([row for row, _ in rows])
        return [Found(version, position) for version, (_, position) in zip(versions, rows, strict=True)]

    def get_number(self, name: str) -> int:
        """The storage's own name of one that is there."""
        row = self._connection.execute("SELECT registered_no FROM registered_models WHERE name = ?", (name,)).fetchone()
        return int(row["registered_no"])

    def _touch(self, name: str, now_ms: int) -> None:
        self._connection.execute("UPDATE registered_models SET update_time = ? WHERE name = ?", (now_ms, name))

    def _version(self, where: str, values: Sequence[object]) -> ModelVersion | None:
        row = self._connection.execute(f"{_SELECT} WHERE {where}", values).fetchone()
        return self._versions([row])[0] if row else None

    def _load_latest(self, numbers: Sequence[int]) -> dict[int, list[ModelVersion]]:
        """The newest version of each stage of many models, in order of their numbers."""
        rows: list[Any] = []
        for part in chunks(numbers):
            rows += self._connection.execute(
                f"{_LATEST} WHERE r.registered_no IN ({marks(len(part))}) ORDER BY t.version", part
            ).fetchall()
        found: dict[int, list[ModelVersion]] = {}
        for row, version in zip(rows, self._versions(rows), strict=True):
            found.setdefault(row["registered_no"], []).append(version)
        return found

    def _versions(self, rows: Sequence[Any]) -> list[ModelVersion]:
        numbers = [row["version_no"] for row in rows]
        tags, aliases = self._version_tags.load(Tag, numbers), self._load_aliases_of_versions(numbers)
        return [_version(row, tags.get(row["version_no"], ()), aliases.get(row["version_no"], ())) for row in rows]

    def _load_aliases_of_versions(self, numbers: Sequence[int]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for part in chunks(numbers):
            rows = self._connection.execute(
                "SELECT v.version_no, a.alias FROM model_versions v"  # noqa: S608
                " JOIN model_aliases a ON a.registered_no = v.registered_no AND a.version = v.version"
                f" WHERE v.version_no IN ({marks(len(part))}) ORDER BY v.version_no, a.alias",
                part,
            )
            for number, alias in rows:
                found.setdefault(number, []).append(alias)
        return found


def _version(row: Any, tags: Sequence[Tag], aliases: Sequence[str]) -> ModelVersion:
    source = ResolvedSource(
        owner=row["owner"],
        sequence=row["sequence"],
        tree_digest=bytes(row["tree_digest"]),
        path=row["path"],
        run_id=row["run_id"],
        model_id=row["model_id"],
        file_count=row["file_count"],
        total_size=row["total_size"],
        principal=row["logged_by"],
        directory_digest=bytes(row["directory_digest"]),
    )
    return ModelVersion(
        name=row["name"],
        version=row["version"],
        source_uri=row["source"],
        run_id=row["run_id"],
        source=source,
        status=VersionStatus(row["status"]),
        status_message=row["status_message"],
        stage=Stage(row["stage"]),
        description=row["description"],
        user_id=row["user_id"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        tags=tuple(tags),
        aliases=tuple(aliases),
        run_link=row["run_link"],
    )
