"""The repository of principals, tokens and grants."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

from holdfast_server.domain.access import Caller, Grant, Principal, ResourceKind, Role, Token, WorkerScope


class Known(NamedTuple):
    """A token with what decides whether it counts. Times are milliseconds since 1970; None: never."""

    caller: Caller
    hash: bytes
    expire_time: int | None
    revoke_time: int | None
    last_use_time: int | None
    # The token that made this worker's token was revoked.
    is_orphan: bool = False


class Pin(NamedTuple):
    """A directory of a snapshot that a version of a registered model shows."""

    registered_model: int
    path: str


class AccessRepository(Protocol):
    """Principals, tokens and grants. Resources go by the numbers that never come again: see ``number_of_model``."""

    def generation(self) -> int:
        """Grows whenever an answer to who may do what may change."""
        ...

    def find_token(self, digest: bytes) -> Known | None:
        """The token whose secret has this SHA-256, expired and revoked ones included."""
        ...

    def find_token_by_id(self, token_id: str) -> Known | None:
        """The token of this id, expired and revoked ones included."""
        ...

    def get_token(self, token_id: str) -> Token | None:
        """The token of this id."""
        ...

    def add_token(self, token: Token, digest: bytes) -> None:
        """Keep a new token; its principal is there."""
        ...

    def revoke_token(self, token_id: str) -> None:
        """Revoke a token that is there; one that is revoked stays as it is."""
        ...

    def add_worker(self, token_id: str, parent: str, scope: WorkerScope, lifetime_ms: int) -> None:
        """Bind a new token to a run; it ends when the token ``parent`` is revoked."""
        ...

    def charge_worker(self, token_id: str, size: int) -> bool:
        """Count bytes against the budget of a worker's token; false, and not counted, when that does not hold them."""
        ...

    def renew_worker(self, token_id: str) -> None:
        """Let a worker's token live from now on as long as one does, unless its run ended since it was made."""
        ...

    def end_workers(self, run_id: str, after_ms: int) -> None:
        """Renew the workers' tokens of a run no more, and let them live so long at most."""
        ...

    def prolong_workers(self, since_ms: int) -> None:
        """Let the time from ``since_ms`` until now not count, for workers' tokens that were good then."""
        ...

    def run_of_model(self, model_id: str) -> str | None:
        """The run that logged a model, empty for none; None when there is no such model."""
        ...

    def touch_token(self, token_id: str) -> None:
        """Write down that it is used now."""
        ...

    def list_tokens(self, principal: str, after: tuple[int, str] | None, limit: int) -> list[Token]:
        """Tokens in order of (create time, id), after ``after``; of one principal unless that is empty."""
        ...

    def get_principal(self, name: str) -> Principal | None:
        """The principal of this name."""
        ...

    def set_principal(self, name: str, role: Role) -> None:
        """Add a principal, or give one another role on the server."""
        ...

    def delete_principal(self, name: str) -> None:
        """Remove a principal with its tokens and grants."""
        ...

    def list_principals(self, after: str, limit: int) -> list[Principal]:
        """Principals in order of names, after ``after``."""
        ...

    def role_on(self, principal: str, kind: ResourceKind, resource: int) -> Role | None:
        """What a grant says; None when there is none."""
        ...

    def set_grant(self, principal: str, kind: ResourceKind, resource: int, role: Role | None) -> None:
        """Give a principal a role on a resource; None takes the grant away."""
        ...

    def best_grant(self, principal: str) -> Role:
        """The highest role that any grant gives; NONE without grants."""
        ...

    def list_grants(
        self, principal: str, resource: tuple[ResourceKind, int] | None, after: tuple[str, str, int] | None, limit: int
    ) -> list[tuple[Grant, tuple[str, str, int]]]:
        """Grants with their places, after ``after``: of one principal unless that is empty, on one resource or all."""
        ...

    def has_experiment(self, number: int) -> bool:
        """Whether an experiment is there, deleted or not."""
        ...

    def experiment_of_run(self, run_id: str) -> int | None:
        """The experiment of a run; None when there is none."""
        ...

    def experiment_of_model(self, model_id: str) -> int | None:
        """The experiment of a logged model; None when there is none."""
        ...

    def experiments_of_models(self, model_ids: Collection[str]) -> dict[str, int]:
        """The experiments of those logged models that are there."""
        ...

    def number_of_model(self, name: str) -> int | None:
        """The number of a registered model, whatever it is renamed to; None when there is none."""
        ...

    def number_of_row(self, registered_no: int) -> int | None:
        """The number of the registered model whose row has this one, as events do; None when there is none."""
        ...

    def pins(self, owner_id: str, sequence: int) -> list[Pin]:
        """The versions that show a snapshot."""
        ...
