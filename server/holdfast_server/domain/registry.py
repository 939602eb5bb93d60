"""Registered models, their versions and aliases."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from holdfast_server.domain.experiment import Tag

MAX_ALIASES_PER_REQUEST = 100
MAX_DESCRIPTION = 100_000
MAX_SOURCE = 2_048
MAX_RUN_LINK = 2_048


class Stage(str, enum.Enum):
    """MLflow's older way of promotion."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


class VersionStatus(str, enum.Enum):
    """Whether a version can be used."""

    PENDING = "PENDING_REGISTRATION"
    FAILED = "FAILED_REGISTRATION"
    READY = "READY"


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """A snapshot that a source URI names: a directory (empty path: the root) of one owner's tree.

    ``owner`` is a run id or a model id. ``run_id`` is the run that made it, ``model_id`` the logged model it is and
    ``principal`` who logged that; each may be empty. ``directory_digest`` is the digest of ``path`` as if that were a
    tree; empty at the root, and where it has too many entries.
    """

    owner: str
    sequence: int
    tree_digest: bytes
    path: str
    run_id: str
    model_id: str
    file_count: int = 0
    total_size: int = 0
    principal: str = ""
    directory_digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for one version of a registered model."""

    alias: str
    version: int


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A numbered version, which pins ``source``. Times are milliseconds since 1970."""

    name: str
    version: int
    source_uri: str
    run_id: str
    source: ResolvedSource
    status: VersionStatus
    status_message: str
    stage: Stage
    description: str
    user_id: str
    create_time: int
    update_time: int
    tags: tuple[Tag, ...] = ()
    aliases: tuple[str, ...] = ()
    run_link: str = ""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A name under which versions are promoted. ``number`` is the storage's own name for it.

    With ``pickle_forbidden`` clients do not unpickle its versions, whoever logged them.
    """

    number: int
    name: str
    description: str
    create_time: int
    update_time: int
    tags: tuple[Tag, ...] = ()
    aliases: tuple[Alias, ...] = ()
    latest_versions: tuple[ModelVersion, ...] = ()
    pickle_forbidden: bool = False
