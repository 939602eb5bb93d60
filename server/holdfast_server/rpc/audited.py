"""What each RPC that changes something writes into the audit log: the one table of it.

``tests/rpc/test_audited_calls.py`` makes them all, and fails for one that is not in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from holdfast_server.rpc.convert.artifacts import owner_from_proto
from holdfast_server.services.auditing import audited_method, note_change, of_model, of_owner, of_run
from holdfast_server.services.ports.database import Transaction


class _Answered(NamedTuple):
    """A call that changed something."""

    request: Any
    response: Any


Find = Callable[[Transaction, _Answered], Iterable[str]]


def named(kind: str, *paths: str) -> Find:
    """A resource of a kind, whose name is put together of what is at some paths."""
    values = [attrgetter(path) for path in paths]
    return lambda _tx, call: [f"{kind}/{'/'.join(str(value(call)) for value in values)}"]


def run(path: str = "request.run_id") -> Find:
    """A run and its experiment."""
    value = attrgetter(path)
    return lambda tx, call: of_run(tx, value(call))


def model(path: str = "request.model_id") -> Find:
    """A logged model and its experiment."""
    value = attrgetter(path)
    return lambda tx, call: of_model(tx, value(call))


def owner(tx: Transaction, call: _Answered) -> list[str]:
    """The owner of files, and its experiment."""
    return of_owner(tx, owner_from_proto(call.request.owner))


def granted(_tx: Transaction, call: _Answered) -> list[str]:
    """What a grant is on."""
    which = call.request.resource.WhichOneof("resource")
    kind = "experiment" if which == "experiment_id" else "registered_model"
    return [f"{kind}/{getattr(call.request.resource, which)}"]


def promoted(_tx: Transaction, call: _Answered) -> list[str]:
    """Aliases that a promotion moves or takes away."""
    request = call.request
    return [f"alias/{request.name}/{change.alias}" for change in (*request.aliases, *request.removed_aliases)]


def renamed(_tx: Transaction, call: _Answered) -> list[str]:
    """What a registered model is called from now on."""
    return [f"registered_model/{call.request.new_name}"] if call.request.HasField("new_name") else []


EXPERIMENT = (named("experiment", "request.experiment_id"),)
REGISTERED = (named("registered_model", "request.name"),)
VERSION = (named("version", "request.name", "request.version"), *REGISTERED)
NEW_VERSION = (
    named("version", "response.model_version.name", "response.model_version.version"),
    named("registered_model", "response.model_version.name"),
)
ALIAS = (named("alias", "request.name", "request.alias"), *REGISTERED)
# Noted by the services that do it, in the one of their transactions that counts.
BY_SERVICE: tuple[Find, ...] = ()
_SERVICES: Mapping[str, Mapping[str, tuple[Find, ...]]] = {
    "AccessService": {
        "CreateToken": (named("token", "response.token.token_id"), named("principal", "request.principal")),
        "CreateWorkerToken": (named("token", "response.token.token_id"), run()),
        "RevokeToken": (named("token", "request.token_id"), named("principal", "response.token.principal")),
        "SetPrincipal": (named("principal", "request.name"),),
        "DeletePrincipal": (named("principal", "request.name"),),
        "SetGrant": (named("principal", "request.principal"), granted),
    },
    "ArtifactService": {"WriteBlocks": BY_SERVICE, "CommitFiles": BY_SERVICE, "DeleteFiles": (owner,)},
    "ExperimentService": {
        "CreateExperiment": (named("experiment", "response.experiment.experiment_id"),),
        "UpdateExperiment": EXPERIMENT,
        "DeleteExperiment": EXPERIMENT,
        "RestoreExperiment": EXPERIMENT,
        "SetExperimentTags": EXPERIMENT,
    },
    "LiveArtifactService": {
        "OpenLiveArtifact": (named("live", "response.live_artifact.live_id"), owner),
        "AppendLiveArtifact": BY_SERVICE,
        "CloseLiveArtifact": BY_SERVICE,
    },
    "ModelRegistryService": {
        "CreateRegisteredModel": REGISTERED,
        "UpdateRegisteredModel": (*REGISTERED, renamed),
        "DeleteRegisteredModel": REGISTERED,
        "CreateModelVersion": NEW_VERSION,
        "UpdateModelVersion": VERSION,
        "DeleteModelVersion": VERSION,
        "CopyModelVersion": NEW_VERSION,
        "PromoteModelVersion": (*VERSION, promoted),
        "SetAlias": ALIAS,
        "DeleteAlias": ALIAS,
    },
    "ModelService": {
        "CreateLoggedModel": (model("response.model.model_id"),),
        "FinalizeLoggedModel": (model(),),
        "UpdateLoggedModel": (model(),),
        "DeleteLoggedModel": (model(),),
        "RestoreLoggedModel": (model(),),
    },
    "RunService": {
        "CreateRun": (run("response.run.run_id"),),
        "UpdateRun": (run(),),
        "DeleteRun": (run(),),
        "RestoreRun": (run(),),
        "LogBatch": (run(),),
        "LogInputs": (run(),),
        "LogOutputs": (run(),),
    },
    "StorageService": {"CollectGarbage": BY_SERVICE, "CheckStorage": BY_SERVICE},
}
AUDITED = {
    f"holdfast.v1.{service}/{name}": finders
    for service, methods in _SERVICES.items()
    for name, finders in methods.items()
}
# Parts of details.
MAX_TEXT, MAX_ITEMS, MAX_DETAILS = 200, 20, 2_000
# What a writer of a live artifact shows is a secret, too.
_SECRET = {"secret", "writer"}
# Told by the resources, or by a field of the record.
_LEFT_OUT = {*_SECRET, "request_id", "experiment_id", "run_id", "model_id", "token_id", "live_id", "owner"}


def note_answer(tx: Transaction, request: Any, response: Any) -> None:
    """Write down what a call changed, in its transaction; nothing where callers are not known."""
    method = audited_method()
    if not method:
        return
    call = _Answered(request, response)
    resources = [one for find in AUDITED.get(method, ()) for one in find(tx, call)]
    coalesce = _is_metrics(request)
    note_change(tx, resources, None if coalesce else details_of(request), coalesce=coalesce)


def details_of(request: Message) -> dict[str, object]:
    """What a request says, cut to a bounded size: of params, tags and the like the keys, of bytes the number."""
    found: dict[str, object] = {}
    size = 0
    for field, value in request.ListFields():
        if field.name in _LEFT_OUT:
            continue
        told = _told(field, value)
        size += len(json.dumps({field.name: told}, ensure_ascii=False))
        if size > MAX_DETAILS:
            return {**found, "truncated": True}
        found[field.name] = told
    return found


def _is_metrics(request: Message) -> bool:
    """Whether a request logs metrics and nothing else, which is done many times a second."""
    name = request.DESCRIPTOR.name
    if name != "LogBatchRequest":
        return False
    return not {field.name for field, _ in request.ListFields()} & {"params", "tags", "deleted_tag_keys"}


def _told(field: FieldDescriptor, value: Any) -> object:
    if not field.is_repeated:
        return _one(field, value)
    if field.message_type is not None and "key" not in field.message_type.fields_by_name and len(value) > MAX_ITEMS:
        return len(value)
    told = [_key(field, item) for item in value[:MAX_ITEMS]]
    return told if len(value) <= MAX_ITEMS else [*told, f"… and {len(value) - MAX_ITEMS} more"]


def _key(field: FieldDescriptor, item: Any) -> object:
    """What tells one of several: its key, of what has one."""
    is_keyed = field.message_type is not None and "key" in field.message_type.fields_by_name
    return _text(item.key) if is_keyed else _one(field, item)


def _one(field: FieldDescriptor, value: Any) -> object:
    if field.message_type is not None:
        if field.message_type.full_name in {"google.protobuf.Timestamp", "google.protobuf.Duration"}:
            return value.ToJsonString()
        return {inner.name: _told(inner, part) for inner, part in value.ListFields() if inner.name not in _SECRET}
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
