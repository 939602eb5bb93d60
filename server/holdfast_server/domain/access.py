"""Who may do what: roles, callers, and the tokens that they show."""

from __future__ import annotations

import enum
import hashlib
import re
import zlib
from dataclasses import dataclass, field

from holdfast_server.domain.names import check_length, shown
from holdfast_server.errors import InvalidArgument, Reason, Unauthenticated

MAX_PRINCIPAL = 128
MAX_TOKEN_DESCRIPTION = 500
SECRET_BYTES = 32
PREFIX = "hft_"
# Who calls through a Unix socket of the server without a token: whoever may open the socket owns the data.
OWNER_NAME = "owner"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# 62^43 > 2^256 and 62^6 > 2^32.
_SECRET_DIGITS, _CHECK_DIGITS = 43, 6
_TOKEN = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_SECRET_DIGITS + _CHECK_DIGITS}}}")
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")
_TOKEN_ID = re.compile(r"[0-9a-f]{16}")


class Role(enum.IntEnum):
    """What somebody may do with a resource; each includes those before it.

    NONE sees nothing, not even that something is there. ADMIN is no role on a resource: who has it on the server may do
    everything everywhere.
    """

    NONE = 0
    READ = 1
    WRITE = 2
    MANAGE = 3
    ADMIN = 4


class ResourceKind(str, enum.Enum):
    """What roles are given on. Runs, logged models and files go by their experiment, versions by their model."""

    EXPERIMENT = "experiment"
    REGISTERED_MODEL = "registered_model"


@dataclass(frozen=True, slots=True)
class WorkerScope:
    """What a worker's token is bound to.

    Attributes:
        owner: The principal that made it.
        run_id: The one run that it writes to.
        path_prefix: Where in the run's tree; empty: everywhere.
        byte_budget: Of blocks and other contents that it may send in all; None: as many as it likes.
    """

    owner: str
    run_id: str
    path_prefix: str = ""
    byte_budget: int | None = None

    def holds(self, path: str) -> bool:
        """Whether a path is the prefix or below it."""
        return not self.path_prefix or path == self.path_prefix or path.startswith(f"{self.path_prefix}/")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call.

    Attributes:
        principal: The name; empty while the server asks nobody.
        role: On the whole server, where no grant says otherwise.
        ceiling: What the token allows at most.
        token_id: The token that was shown; empty for none.
        worker: What a worker's token is bound to, whose ``principal`` is its owner's with the id of the token; None for
            everybody else.
    """

    principal: str
    role: Role
    ceiling: Role = Role.ADMIN
    token_id: str = ""
    worker: WorkerScope | None = None

    @property
    def grantee(self) -> str:
        """The principal whose roles count."""
        return self.principal if self.worker is None else self.worker.owner

    @property
    def server_role(self) -> Role:
        """The role where no grant says otherwise."""
        return min(self.role, self.ceiling)

    @property
    def is_admin(self) -> bool:
        """Whether nothing is refused."""
        return self.server_role is Role.ADMIN

    def role_by(self, grant: Role | None) -> Role:
        """The role on a resource with this grant on it; None for no grant. A grant may also take away."""
        if self.role is Role.ADMIN or grant is None:
            return self.server_role
        return min(grant, self.ceiling)


# Who calls what anyone may call, on a server that asks who calls.
NOBODY = Caller("", Role.NONE)
# Without authentication everybody is the same principal, who may do everything.
ANONYMOUS = Caller("", Role.ADMIN)
OWNER = Caller(OWNER_NAME, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Secret:
    """The text of a token: ``hft_``, 256 random bits, and a checksum that tells typing errors from revoked tokens.

    As GitHub's tokens have it: the prefix lets scanners find it in code, the checksum lets them leave out look-alikes
    ("Behind GitHub's new authentication token formats", GitHub's blog, 2021).
    """

    text: str = field(repr=False)

    @classmethod
    def make(cls, random: bytes) -> Secret:
        """The token of 32 random bytes."""
        assert len(random) == SECRET_BYTES
        body = _base62(int.from_bytes(random, "big"), _SECRET_DIGITS)
        return cls(f"{PREFIX}{body}{_checksum(body)}")

    @classmethod
    def parse(cls, text: str) -> Secret:
        """A token as somebody sent it; nothing is looked up for one that cannot be.

        Raises:
            Unauthenticated: TOKEN_MALFORMED.
        """
        body = text[len(PREFIX) : -_CHECK_DIGITS]
        if not _TOKEN.fullmatch(text) or text[-_CHECK_DIGITS:] != _checksum(body):
            raise Unauthenticated(
                "The token is malformed: it begins with hft_ and has 53 characters, of which the last ones are a"
                " checksum. Copy it whole.",
                reason=Reason.TOKEN_MALFORMED,
            )
        return cls(text)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text, which is all that is kept of it. Of 256 random bits no slower hash is needed."""
        return hashlib.sha256(self.text.encode("ascii")).digest()

    def __repr__(self) -> str:
        return f"Secret({PREFIX}***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody who may hold tokens. ``role`` is that on the whole server."""

    name: str
    role: Role
    create_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token without its secret. Times are milliseconds since 1970; None: never."""

    id: str
    principal: str
    ceiling: Role
    description: str
    create_time: int
    expire_time: int | None = None
    last_use_time: int | None = None
    revoke_time: int | None = None
    worker: WorkerScope | None = None
    bytes_used: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """A principal's role on one resource, in place of that on the server.

    ``resource`` names it for people: an experiment's id, a registered model's name.
    """

    principal: str
    kind: ResourceKind
    resource: str
    role: Role


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose searches are restricted to what they may read.

    ``sees_all`` says whether what no grant is about is shown; ``sees_granted``: what a grant shows. It is not part of
    the representation that page tokens are bound to, so that a page can be gone on with after a change of roles.
    """

    principal: str
    sees_all: bool = field(repr=False)
    sees_granted: bool = field(repr=False)


def check_principal(name: str, *, field: str = "principal") -> str:
    """A name for a principal: 1 to 128 letters, digits and ``. _ @ + -``, and not ``owner``.

    Raises:
        InvalidArgument: INVALID_NAME.
    """
    check_caller_name(name, field=field)
    if name == OWNER_NAME:
        raise InvalidArgument(
            "'owner' is who calls through the server's own Unix socket, and needs no token. Choose another name.",
            reason=Reason.INVALID_NAME,
            field=field,
        )
    return name


def check_caller_name(name: str, *, field: str = "principal") -> str:
    """As ``check_principal``, but ``owner`` is one: who may have called.

    Raises:
        InvalidArgument: INVALID_NAME.
    """
    check_length(name, MAX_PRINCIPAL, what="A principal", field=field)
    if not _PRINCIPAL.fullmatch(name):
        raise InvalidArgument(
            f"{shown(name)} is no principal's name: letters, digits and . _ @ + -, beginning with a letter or digit.",
            reason=Reason.INVALID_NAME,
            field=field,
        )
    return name


def is_token_id(text: str) -> bool:
    """Whether a token can have this id: 16 hex digits."""
    return bool(_TOKEN_ID.fullmatch(text))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii", "replace")), _CHECK_DIGITS)


def _base62(number: int, digits: int) -> str:
    made = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        made = _ALPHABET[digit] + made
    return made
