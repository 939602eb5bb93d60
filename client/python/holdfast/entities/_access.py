"""Who may do what on a server."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody who may hold tokens.

    Attributes:
        name: Its name.
        role: On the whole server, where no grant says otherwise: ``"none"``, ``"read"``, ``"write"``, ``"manage"`` or
            ``"admin"``.
        creation_time: When it was added, in milliseconds since 1970.
    """

    name: str
    role: str
    creation_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerScope:
    """What the token of a worker is bound to.

    Attributes:
        run_id: The one run that it writes to.
        path_prefix: Where in the run's artifacts; None: everywhere.
        byte_budget: How many bytes of artifacts it may send in all; None: as many as it likes.
        bytes_used: How many it has sent.
    """

    run_id: str
    path_prefix: str | None = None
    byte_budget: int | None = None
    bytes_used: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token, without its secret. Times are milliseconds since 1970.

    Attributes:
        token_id: Names it; tells nothing of the secret.
        principal: Whose it is.
        role: What it allows at most, whatever its principal may do; ``"admin"`` allows all.
        description: For people.
        creation_time: When it was made.
        expiration_time: From when on it is refused; None: never.
        last_use_time: When it was used last, to the minute; None: never.
        revocation_time: Since when it is refused because somebody revoked it; None: it is not revoked.
        worker: What it is bound to, if it is that of a worker.
    """

    token_id: str
    principal: str
    role: str
    description: str = ""
    creation_time: int = 0
    expiration_time: int | None = None
    last_use_time: int | None = None
    revocation_time: int | None = None
    worker: WorkerScope | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedToken:
    """A new token with its secret, which nobody can read again.

    Attributes:
        token: What the server keeps of it.
        secret: What its holder puts into ``HOLDFAST_TOKEN``.
    """

    token: Token
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A principal's role on one experiment or registered model, in place of that on the server.

    Attributes:
        principal: Whose.
        role: ``"none"`` hides what it is on.
        experiment_id: The experiment it is on; None when it is on a registered model.
        registered_model: The name of the registered model it is on; None when it is on an experiment.
    """

    principal: str
    role: str
    experiment_id: str | None = None
    registered_model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who the server takes this client for.

    Attributes:
        principal: Its name; None when the server asks nobody. ``"owner"`` calls through the server's own Unix socket.
        role: What it may do where no grant says otherwise, as far as its token allows.
        authentication_enabled: Whether the server asks who calls.
        token: The token that was shown; None for none.
    """

    principal: str | None
    role: str
    authentication_enabled: bool
    token: Token | None = None
