"""What artifact URIs mean: which tree, which snapshot, which path."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast_server.domain.access import ResourceKind, Role
from holdfast_server.domain.artifacts import Kind, Owner, Tree
from holdfast_server.domain.experiment import Lifecycle
from holdfast_server.domain.model import ModelStatus
from holdfast_server.domain.names import shown
from holdfast_server.domain.paths import check_path
from holdfast_server.domain.registry import ModelVersion, ResolvedSource, Stage
from holdfast_server.errors import DomainError, FailedPrecondition, InvalidArgument, NotFound, Reason
from holdfast_server.services.access import may
from holdfast_server.services.owners import not_found, snapshot
from holdfast_server.services.ports.database import Database, Transaction

MAX_URI = 2_048
# Entries of a directory whose digest a version keeps; more would hold the write lock for too long.
MAX_DIRECTORY = 2_000
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_FORMS = (
    "runs:/<run id>/<path>, models:/<model id>, models:/<name>/<version>, models:/<name>@<alias>, "
    "models:/<name>/latest or models:/<name>/<stage>"
)
_STAGES = {stage.value.lower(): stage for stage in Stage}


@dataclass(frozen=True, slots=True)
class Location:
    """A part of a tree that stands at ``prefix`` of a larger view."""

    prefix: str
    owner: Owner
    sequence: int
    path: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Resolution:
    """What an artifact URI names, and what decides whether a model there may be loaded.

    ``version`` is the one that the URI goes through, None for a run or a logged model by id. ``principal`` is who
    logged the model there; empty where nobody is asked, or where it is files of a run, which may have many writers.
    """

    locations: list[Location]
    version: ModelVersion | None
    pickle_forbidden: bool
    principal: str


def resolve_model(tx: Transaction, uri: str) -> Resolution:
    """What ``uri`` names, with its origin, all as of one moment.

    Raises:
        InvalidArgument: The URI has none of the known forms.
        NotFound: What it names is not there.
    """
    locations = resolve(tx, uri)
    scheme, _, rest = uri.partition(":/")
    rest = rest.strip("/")
    if scheme == "models" and not _MODEL_ID.fullmatch(rest.partition("/")[0]):
        version, _ = _find_version(tx, rest, uri)
        registered = tx.registry.get(version.name)
        forbidden = registered is not None and registered.pickle_forbidden
        return Resolution(locations, version, forbidden, version.source.principal)
    owner = locations[0].owner
    model = tx.models.get(owner.id) if len(locations) == 1 and owner.is_model else None
    return Resolution(locations, None, False, model.principal if model else "")


def resolve(tx: Transaction, uri: str) -> list[Location]:
    """The trees that together are what ``uri`` names; one, save for the root of a run.

    Raises:
        InvalidArgument: The URI has none of the known forms.
        NotFound: What it names is not there.
    """
    if len(uri) > MAX_URI:
        raise InvalidArgument(
            f"An artifact URI has at most {MAX_URI} characters, not {len(uri)}.",
            reason=Reason.LIMIT_EXCEEDED,
            field="uri",
        )
    scheme, separator, rest = uri.partition(":/")
    rest = rest.strip("/")
    if not separator or not rest or scheme not in {"runs", "models"}:
        raise InvalidArgument(f"{shown(uri)} is not an artifact URI: {_FORMS}.", field="uri")
    return _resolve_run(tx, rest) if scheme == "runs" else _resolve_model(tx, rest, uri)


def place_of(uri: str) -> tuple[Owner, str] | None:
    """The tree and path that a URI names by themselves; None for one that goes through the registry, or for a root.

    Raises:
        NotFound: No run can have the id.
    """
    scheme, _, rest = uri.partition(":/")
    head, _, path = rest.strip("/").partition("/")
    if not path or len(uri) > MAX_URI:
        return None
    if scheme == "runs":
        return Owner.run(head), path
    if scheme == "models" and _MODEL_ID.fullmatch(head):
        return Owner.model(head), path
    return None


def resolve_model_source(tx: Transaction, uri: str, most_entries: int | None = None) -> ResolvedSource:
    """The snapshot that a new model version pins.

    Raises:
        LargeSnapshot: It has more than ``most_entries``, and its description was not kept.
        InvalidArgument: The URI names a file, or the whole of a run's artifacts and logged models.
        NotFound: What it names is not there.
        FailedPrecondition: MODEL_NOT_READY, the logged model is still being written, or that failed.
    """
    with _given_as("source"):
        locations = resolve(tx, uri)
    own = locations[0]
    if own.kind is not Kind.DIRECTORY:
        raise InvalidArgument(f"{shown(uri)} is a file; register the directory that holds the model.", field="source")
    if len(locations) > 1 and tx.trees.latest_sequence(own.owner) == 0:
        names = ", ".join(shown(location.prefix) for location in locations[1:6])
        raise InvalidArgument(f"{shown(uri)} has no files of its own; name one of its models: {names}.", field="source")
    tree = tx.trees.describe(own.owner, own.sequence, most=most_entries)
    model = tx.models.get(own.owner.id) if own.owner.is_model else None
    if model is not None and model.status is not ModelStatus.READY:
        raise FailedPrecondition(
            f"The {own.owner} is {model.status.value}, not READY, and cannot be registered. "
            "Finalize it, or log it again.",
            reason=Reason.MODEL_NOT_READY,
            metadata={"model_id": own.owner.id},
        )
    return ResolvedSource(
        owner=own.owner.id,
        sequence=own.sequence,
        tree_digest=tree.digest,
        path=own.path,
        run_id=(model.source_run_id if model else "") if own.owner.is_model else own.owner.id,
        model_id=own.owner.id if own.owner.is_model else "",
        file_count=tree.file_count,
        total_size=tree.total_size,
        principal=model.principal if model else "",
        directory_digest=tx.trees.digest_directory(own.owner, own.sequence, own.path, most=MAX_DIRECTORY),
    )


def find_version(tx: Transaction, uri: str) -> ModelVersion:
    """The version of a registered model that a URI names, and nothing below it.

    Raises:
        InvalidArgument: The URI names something else.
        NotFound: MODEL_VERSION_NOT_FOUND.
    """
    scheme, _, rest = uri.partition(":/")
    rest = rest.strip("/")
    if scheme == "models" and len(uri) <= MAX_URI and rest and not _MODEL_ID.fullmatch(rest.partition("/")[0]):
        with _given_as("source"):
            version, tail = _find_version(tx, rest, uri)
        if not tail:
            return version
    raise InvalidArgument(
        f"{shown(uri)} does not name a version of a registered model, such as models:/<name>/<version>.", field="source"
    )


async def describe_large_source(database: Database, uri: str) -> None:
    """Describe what a new version is about to pin, and keep that.

    The transaction that makes the version then reads a row, where a pass over all entries would hold the write lock for
    seconds. Errors are passed over: that transaction meets them again.
    """
    with contextlib.suppress(DomainError):
        source = await database.read(lambda tx: resolve_model_source(tx, uri))
        tree = Tree(
            Owner.parse(source.owner), source.sequence, source.tree_digest, source.file_count, source.total_size
        )
        await database.write(lambda tx: tx.trees.keep_description(tree))


@contextlib.contextmanager
def _given_as(field: str) -> Iterator[None]:
    """Let errors about a URI name the field of the request in which it came."""
    try:
        yield
    except InvalidArgument as error:
        error.field = field
        raise


def _resolve_run(tx: Transaction, rest: str) -> list[Location]:
    run_id, _, path = rest.partition("/")
    owner = Owner.run(run_id)
    sequence = snapshot(tx, owner, None)
    models = _models_of(tx, run_id)
    if not path:
        own = Location("", owner, sequence, "", Kind.DIRECTORY)
        shadowed = {entry.path for entry in tx.trees.get_entries(owner, sequence, list(models))}
        return [own, *(_root(tx, model, prefix=name) for name, model in models.items() if name not in shadowed)]
    check_path(path, field="uri")
    entry = tx.trees.get_entry(owner, sequence, path)
    if entry is not None:
        return [Location("", owner, sequence, path, entry.kind)]
    name, _, inner = path.partition("/")
    if name in models:
        return [_at(tx, models[name], tx.trees.latest_sequence(models[name]), inner)]
    if tx.live.get_open(owner, path) is not None:
        raise NotFound(
            f"{shown(path)} of {owner} is still being written, and becomes a file when it is closed. Until then it can "
            "be tailed.",
            metadata={"path": ascii(path[:200])},
        )
    raise not_found(owner, path)


def _models_of(tx: Transaction, run_id: str) -> dict[str, Owner]:
    """The logged models of a run, by name, as far as the caller may read them: they may be in another experiment."""
    found = tx.models.newest_by_name(run_id)
    experiments = tx.access.experiments_of_models([model_id for _, model_id in found])
    return {
        name: Owner.model(model_id)
        for name, model_id in found
        if may(tx, Role.READ, ResourceKind.EXPERIMENT, experiments[model_id])
    }


def _resolve_model(tx: Transaction, rest: str, uri: str) -> list[Location]:
    head, _, tail = rest.partition("/")
    if _MODEL_ID.fullmatch(head):
        owner = Owner.model(head)
        at = snapshot(tx, owner, None)
        state = tx.models.get_state(head)
        if state is not None and state[1] == Lifecycle.DELETED.value:
            raise NotFound(
                f"The {owner} is deleted; restore it to read it. "
                "Versions registered from it stay readable by their names.",
                reason=Reason.MODEL_NOT_FOUND,
                metadata={"model_id": head},
            )
        return [_at(tx, owner, at, tail)]
    version, tail = _find_version(tx, rest, uri)
    source = version.source
    path = "/".join(part for part in (source.path, tail) if part)
    return [_at(tx, Owner.parse(source.owner), source.sequence, path)]


def _find_version(tx: Transaction, rest: str, uri: str) -> tuple[ModelVersion, str]:
    """The version that the part of a URI after ``models:/`` names, and the path below it."""
    head, _, tail = rest.partition("/")
    if "@" in head:
        name, _, alias = head.partition("@")
        version = tx.registry.get_by_alias(name, alias)
    else:
        selector, _, tail = tail.partition("/")
        name = head
        if selector.lower() == "latest":
            version = tx.registry.latest(name)
        elif selector.isascii() and selector.isdigit() and len(selector) < 19:
            version = tx.registry.get_version(name, int(selector))
        elif selector.lower() in _STAGES:
            version = tx.registry.latest(name, _STAGES[selector.lower()])
        else:
            raise InvalidArgument(f"{shown(uri)} is not a model URI: {_FORMS}.", field="uri")
    if version is None:
        raise NotFound(
            f"There is no model version {shown(uri)}.",
            reason=Reason.MODEL_VERSION_NOT_FOUND,
            metadata={"name": name[:200]},
        )
    return version, tail


def _root(tx: Transaction, owner: Owner, *, prefix: str) -> Location:
    return Location(prefix, owner, tx.trees.latest_sequence(owner), "", Kind.DIRECTORY)


def _at(tx: Transaction, owner: Owner, sequence: int, path: str) -> Location:
    if not path:
        return Location("", owner, sequence, "", Kind.DIRECTORY)
    check_path(path, field="uri")
    entry = tx.trees.get_entry(owner, sequence, path)
    if entry is None:
        raise not_found(owner, path)
    return Location("", owner, sequence, path, entry.kind)
