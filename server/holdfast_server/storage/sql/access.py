"""Rows of principals, tokens and grants, and what the resources of a call belong to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from holdfast_server.domain.access import Caller, Grant, Principal, ResourceKind, Role, Token, WorkerScope
from holdfast_server.services.ports.access import Known, Pin
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection

_KNOWN = (
    "SELECT t.token_id, t.hash, t.ceiling, t.expire_time, t.revoke_time, t.last_use_time, p.name, p.role,"
    " w.run_id, w.path_prefix, w.byte_budget, m.revoke_time IS NOT NULL AS is_orphan"
    " FROM tokens t JOIN principals p ON p.name = t.principal"
    " LEFT JOIN worker_tokens w ON w.token_id = t.token_id LEFT JOIN tokens m ON m.token_id = w.parent"
)
_TOKENS = (
    "SELECT t.*, w.run_id, w.path_prefix, w.byte_budget, w.bytes_used"
    " FROM tokens t LEFT JOIN worker_tokens w ON w.token_id = t.token_id"
)
# How long a token is listed that is good no more.
PAST_TOKEN_MS = 30 * 24 * 3_600_000
# What people call the resource of a grant; a purged one has no name and no grants.
_NAME = (
    "CASE g.kind WHEN 'experiment' THEN CAST(g.resource AS TEXT)"
    " ELSE (SELECT name FROM registered_models WHERE lineage = g.resource) END"
)


class SqlAccess:
    """Implements ``AccessRepository``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def generation(self) -> int:
        """Grows whenever an answer to who may do what may change."""
        return int(self._connection.execute("SELECT generation FROM access_state").fetchone()[0])

    def find_token(self, digest: bytes) -> Known | None:
        """The token whose secret has this SHA-256, expired and revoked ones included."""
        row = self._connection.execute(f"{_KNOWN} WHERE t.hash = ?", (digest,)).fetchone()
        return _known(row) if row else None

    def find_token_by_id(self, token_id: str) -> Known | None:
        """The token of this id, expired and revoked ones included."""
        row = self._connection.execute(f"{_KNOWN} WHERE t.token_id = ?", (token_id,)).fetchone()
        return _known(row) if row else None

    def get_token(self, token_id: str) -> Token | None:
        """The token of this id."""
        row = self._connection.execute(f"{_TOKENS} WHERE t.token_id = ?", (token_id,)).fetchone()
        return _token(row) if row else None

    def add_token(self, token: Token, digest: bytes) -> None:
        """Keep a new token; its principal is there."""
        self._connection.execute(
            "INSERT INTO tokens (token_id, principal, hash, ceiling, description, create_time, expire_time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                token.id,
                token.principal,
                digest,
                int(token.ceiling),
                token.description,
                token.create_time,
                token.expire_time,
            ),
        )

    def revoke_token(self, token_id: str) -> None:
        """Revoke a token that is there; one that is revoked stays as it is."""
        self._connection.execute(
            "UPDATE tokens SET revoke_time = ? WHERE token_id = ? AND revoke_time IS NULL", (self._now_ms, token_id)
        )

    def add_worker(self, token_id: str, parent: str, scope: WorkerScope, lifetime_ms: int) -> None:
        """Bind a new token to a run; it ends when the token ``parent`` is revoked."""
        self._connection.execute(
            "INSERT INTO worker_tokens (token_id, parent, run_id, path_prefix, byte_budget, lifetime, renew_time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (token_id, parent, scope.run_id, scope.path_prefix, scope.byte_budget, lifetime_ms, self._now_ms),
        )

    def charge_worker(self, token_id: str, size: int) -> bool:
        """Count bytes against the budget of a worker's token; false, and not counted, when that does not hold them."""
        cursor = self._connection.execute(
            "UPDATE worker_tokens SET bytes_used = bytes_used + ?1"
            " WHERE token_id = ?2 AND (byte_budget IS NULL OR bytes_used + ?1 <= byte_budget)",
            (size, token_id),
        )
        return bool(cursor.rowcount)

    def renew_worker(self, token_id: str) -> None:
        """Let a worker's token live from now on as long as one does, unless its run ended since it was made."""
        self._connection.execute(
            "UPDATE tokens SET expire_time = MAX(expire_time, ?1 + w.lifetime) FROM worker_tokens w"
            " WHERE w.token_id = tokens.token_id AND w.token_id = ?2 AND w.ended = 0",
            (self._now_ms, token_id),
        )
        self._connection.execute(
            "UPDATE worker_tokens SET renew_time = ? WHERE token_id = ? AND ended = 0", (self._now_ms, token_id)
        )

    def end_workers(self, run_id: str, after_ms: int) -> None:
        """Renew the workers' tokens of a run no more, and let them live so long at most."""
        self._connection.execute(
            "UPDATE tokens SET expire_time = MIN(expire_time, ?) WHERE token_id IN"
            " (SELECT token_id FROM worker_tokens WHERE run_id = ? AND ended = 0)",
            (self._now_ms + after_ms, run_id),
        )
        self._connection.execute("UPDATE worker_tokens SET ended = 1 WHERE run_id = ? AND ended = 0", (run_id,))

    def prolong_workers(self, since_ms: int) -> None:
        """Let the time from ``since_ms`` until now not count, for workers' tokens that were good then."""
        self._connection.execute(
            "UPDATE tokens SET expire_time = expire_time + MAX(0, ?1 - MAX(?2, w.renew_time)) FROM worker_tokens w"
            " WHERE w.token_id = tokens.token_id AND w.ended = 0 AND tokens.expire_time > ?2",
            (self._now_ms, since_ms),
        )

    def run_of_model(self, model_id: str) -> str | None:
        """The run that logged a model, empty for none; None when there is no such model."""
        statement = "SELECT source_run_id FROM logged_models WHERE model_id = ?"
        row = self._connection.execute(statement, (model_id,)).fetchone()
        return (row["source_run_id"] or "") if row else None

    def delete_past_tokens(self, limit: int = 1_000) -> int:
        """Forget tokens that were revoked or expired long ago, some at a time; returns how many.

        One that made tokens of workers stays as long as one of those does: revoking it ends them.
        """
        deleted = self._connection.execute(
            "DELETE FROM tokens WHERE token_id IN (SELECT token_id FROM tokens t"
            " WHERE MIN(COALESCE(t.expire_time, ?1 + 1), COALESCE(t.revoke_time, ?1 + 1)) <= ?1"
            " AND NOT EXISTS (SELECT 1 FROM worker_tokens w WHERE w.parent = t.token_id) LIMIT ?2)",
            (self._now_ms - PAST_TOKEN_MS, limit),
        )
        return int(deleted.rowcount)

    def touch_token(self, token_id: str) -> None:
        """Write down that it is used now."""
        self._connection.execute("UPDATE tokens SET last_use_time = ? WHERE token_id = ?", (self._now_ms, token_id))

    def list_tokens(self, principal: str, after: tuple[int, str] | None, limit: int) -> list[Token]:
        """Tokens in order of (create time, id), after ``after``; of one principal unless that is empty."""
        rows = self._connection.execute(
            f"{_TOKENS} WHERE (?1 = '' OR t.principal = ?1) AND (t.create_time, t.token_id) > (?2, ?3)"
            " ORDER BY t.create_time, t.token_id LIMIT ?4",
            (principal, *(after or (-1, "")), limit),
        )
        return [_token(row) for row in rows]

    def get_principal(self, name: str) -> Principal | None:
        """The principal of this name."""
        row = self._connection.execute("SELECT * FROM principals WHERE name = ?", (name,)).fetchone()
        return _principal(row) if row else None

    def set_principal(self, name: str, role: Role) -> None:
        """Add a principal, or give one another role on the server."""
        self._connection.execute(
            "INSERT INTO principals (name, role, create_time) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET role = excluded.role",
            (name, int(role), self._now_ms),
        )

    def delete_principal(self, name: str) -> None:
        """Remove a principal with its tokens and grants."""
        self._connection.execute("DELETE FROM principals WHERE name = ?", (name,))
        self._connection.execute(
            # Its own, and those of its workers.
            "DELETE FROM block_uploads WHERE principal = ?1 OR (principal > ?1 || '/' AND principal < ?1 || '0')",
            (name,),
        )

    def list_principals(self, after: str, limit: int) -> list[Principal]:
        """Principals in order of names, after ``after``."""
        rows = self._connection.execute("SELECT * FROM principals WHERE name > ? ORDER BY name LIMIT ?", (after, limit))
        return [_principal(row) for row in rows]

    def role_on(self, principal: str, kind: ResourceKind, resource: int) -> Role | None:
        """What a grant says; None when there is none."""
        row = self._connection.execute(
            "SELECT role FROM grants WHERE principal = ? AND kind = ? AND resource = ?",
            (principal, kind.value, resource),
        ).fetchone()
        return Role(row["role"]) if row else None

    def set_grant(self, principal: str, kind: ResourceKind, resource: int, role: Role | None) -> None:
        """Give a principal a role on a resource; None takes the grant away."""
        if role is None:
            self._connection.execute(
                "DELETE FROM grants WHERE principal = ? AND kind = ? AND resource = ?",
                (principal, kind.value, resource),
            )
            return
        self._connection.execute(
            "INSERT INTO grants (principal, kind, resource, role) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (principal, kind, resource) DO UPDATE SET role = excluded.role",
            (principal, kind.value, resource, int(role)),
        )

    def best_grant(self, principal: str) -> Role:
        """The highest role that any grant gives; NONE without grants."""
        row = self._connection.execute(
            "SELECT COALESCE(MAX(role), 0) FROM grants WHERE principal = ?", (principal,)
        ).fetchone()
        return Role(row[0])

    def list_grants(
        self, principal: str, resource: tuple[ResourceKind, int] | None, after: tuple[str, str, int] | None, limit: int
    ) -> list[tuple[Grant, tuple[str, str, int]]]:
        """Grants with their places, after ``after``: of one principal unless that is empty, on one resource or all."""
        where, values = "1 = 1", list[object]()
        if principal:
            where += " AND g.principal = ?"
            values.append(principal)
        if resource is not None:
            where += " AND g.kind = ? AND g.resource = ?"
            values += [resource[0].value, resource[1]]
        rows = self._connection.execute(
            f"SELECT g.*, {_NAME} AS name FROM grants g WHERE {where}"  # noqa: S608 - of constants
            " AND (g.principal, g.kind, g.resource) > (?, ?, ?)"
            " ORDER BY g.principal, g.kind, g.resource LIMIT ?",
            (*values, *(after or ("", "", -1)), limit),
        )
        return [
            (
                Grant(row["principal"], ResourceKind(row["kind"]), row["name"] or "", Role(row["role"])),
                (row["principal"], row["kind"], row["resource"]),
            )
            for row in rows
        ]

    def has_experiment(self, number: int) -> bool:
        """Whether an experiment is there, deleted or not."""
        statement = "SELECT 1 FROM experiments WHERE experiment_id = ?"
        return self._connection.execute(statement, (number,)).fetchone() is not None

    def experiment_of_run(self, run_id: str) -> int | None:
        """The experiment of a run; None when there is none."""
        row = self._connection.execute("SELECT experiment_id FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return int(row["experiment_id"]) if row else None

    def experiment_of_model(self, model_id: str) -> int | None:
        """The experiment of a logged model; None when there is none."""
        return self.experiments_of_models([model_id]).get(model_id)

    def experiments_of_models(self, model_ids: Collection[str]) -> dict[str, int]:
        """The experiments of those logged models that are there."""
        found: dict[str, int] = {}
        for part in chunks(list(model_ids)):
            rows = self._connection.execute(
                f"SELECT model_id, experiment_id FROM logged_models WHERE model_id IN ({marks(len(part))})",  # noqa: S608
                part,
            )
            found.update((row["model_id"], row["experiment_id"]) for row in rows)
        return found

    def number_of_model(self, name: str) -> int | None:
        """The number of a registered model, whatever it is renamed to; None when there is none."""
        row = self._connection.execute("SELECT lineage FROM registered_models WHERE name = ?", (name,)).fetchone()
        return int(row["lineage"]) if row else None

    def number_of_row(self, registered_no: int) -> int | None:
        """The number of the registered model whose row has this one, as events do; None when there is none."""
        statement = "SELECT lineage FROM registered_models WHERE registered_no = ?"
        row = self._connection.execute(statement, (registered_no,)).fetchone()
        return int(row["lineage"]) if row else None

    def pins(self, owner_id: str, sequence: int) -> list[Pin]:
        """The versions that show a snapshot."""
        rows = self._connection.execute(
            "SELECT DISTINCT r.lineage, v.path FROM model_versions v"
            " JOIN registered_models r ON r.registered_no = v.registered_no WHERE v.owner = ? AND v.sequence = ?",
            (owner_id, sequence),
        )
        return [Pin(row["lineage"], row["path"]) for row in rows]


def _known(row: Any) -> Known:
    name, worker = row["name"], _scope(row, row["name"])
    if worker is not None:
        name = f"{name}/{row['token_id']}"
    caller = Caller(name, Role(row["role"]), Role(row["ceiling"]), row["token_id"], worker)
    times = row["expire_time"], row["revoke_time"], row["last_use_time"]
    return Known(caller, bytes(row["hash"]), *times, bool(row["is_orphan"]))


def _scope(row: Any, owner: str) -> WorkerScope | None:
    """What a token is bound to, from a row joined with that of ``worker_tokens``."""
    if row["run_id"] is None:
        return None
    return WorkerScope(owner, row["run_id"], row["path_prefix"], row["byte_budget"])


def _principal(row: Any) -> Principal:
    return Principal(name=row["name"], role=Role(row["role"]), create_time=row["create_time"])


def _token(row: Any) -> Token:
    return Token(
        id=row["token_id"],
        principal=row["principal"],
        ceiling=Role(row["ceiling"]),
        description=row["description"],
        create_time=row["create_time"],
        expire_time=row["expire_time"],
        last_use_time=row["last_use_time"],
        revoke_time=row["revoke_time"],
        worker=_scope(row, row["principal"]),
        bytes_used=row["bytes_used"] or 0,
    )
