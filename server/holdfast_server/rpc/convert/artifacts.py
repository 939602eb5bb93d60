"""Artifact values to and from their messages."""

from __future__ import annotations

from typing import Any

from holdfast.format.digests import DIGEST_SIZE
from holdfast.v1 import artifact_pb2 as pb
from holdfast.v1 import artifact_service_pb2 as service_pb
from holdfast_server.domain.artifacts import Entry, Kind, NewEntry, Owner, Tree
from holdfast_server.errors import InvalidArgument
from holdfast_server.services.artifact_uris import Location, Resolution
from holdfast_server.services.commits import InlineEntry, inline_digests

_KIND_TO_PROTO = {Kind.FILE: pb.ENTRY_KIND_FILE, Kind.DIRECTORY: pb.ENTRY_KIND_DIRECTORY}
_KIND_FROM_PROTO = {value: key for key, value in _KIND_TO_PROTO.items()}


def owner_from_proto(message: pb.TreeOwner) -> Owner:
    """Raises ``InvalidArgument`` when no owner is set, and ``NotFound`` when nothing can have its id."""
    which = message.WhichOneof("owner")
    if which == "run_id":
        return Owner.run(message.run_id)
    if which == "model_id":
        return Owner.model(message.model_id)
    raise InvalidArgument("The request names no owner; set owner.run_id or owner.model_id.", field="owner")


def owner_to_proto(owner: Owner) -> pb.TreeOwner:
    """The message of an owner."""
    return pb.TreeOwner(model_id=owner.id) if owner.is_model else pb.TreeOwner(run_id=owner.id)


def tree_to_proto(tree: Tree) -> pb.Tree:
    """The message of a snapshot."""
    return pb.Tree(
        owner=owner_to_proto(tree.owner),
        sequence=tree.sequence,
        digest=tree.digest,
        file_count=tree.file_count,
        total_size=tree.total_size,
    )


def tree_from_proto(message: pb.Tree) -> Tree:
    """The reverse of ``tree_to_proto``."""
    return Tree(
        owner_from_proto(message.owner), message.sequence, message.digest, message.file_count, message.total_size
    )


def entry_to_proto(entry: Entry) -> pb.Entry:
    """The message of an entry of a snapshot."""
    message = pb.Entry()
    describe_entry(message, entry)
    return message


def describe_entry(message: pb.Entry, entry: Entry) -> None:
    """Fill the message of an entry that is a part of another: to make it apart and copy it takes thrice as long."""
    message.path = entry.path
    message.kind = _KIND_TO_PROTO[entry.kind]
    if entry.executable:
        message.executable = True
    message.size = entry.size
    message.digest = entry.digest
    message.sequence = entry.sequence
    seconds, milliseconds = divmod(entry.commit_time_ms, 1000)
    message.commit_time.seconds = seconds
    message.commit_time.nanos = milliseconds * 1_000_000


def new_entry_from_proto(message: service_pb.NewEntry, more_blocks: tuple[bytes, ...] = ()) -> NewEntry | InlineEntry:
    """An entry to commit; ``more_blocks`` came in messages of their own.

    Raises:
        InvalidArgument: Its path, size, blocks or digest break a rule.
    """
    kind = _KIND_FROM_PROTO.get(message.kind)
    if kind is None:
        raise InvalidArgument("An entry's kind is ENTRY_KIND_FILE or ENTRY_KIND_DIRECTORY.", field="entries.kind")
    expected = message.WhichOneof("expected")
    if expected == "expected_digest":
        digest_from_proto(message, "expected_digest", within="entries.")
    if expected == "expected_absent" and not message.expected_absent:
        raise InvalidArgument(
            "`expected_absent` is true, or left out when anything may be there.", field="entries.expected_absent"
        )
    size, data = message.size, None
    if message.HasField("inline_data"):
        data = message.inline_data  # once: each time it is a copy
        if len(data) != size or message.block_digests or more_blocks or kind is not Kind.FILE:
            raise InvalidArgument(
                "Inline data is the whole content of a file: as long as `size` says, and without block digests.",
                field="entries.inline_data",
            )
        blocks = inline_digests(data)
    else:
        blocks = (*message.block_digests, *more_blocks)
    entry = NewEntry(message.path, kind, message.executable, size, blocks, message.digest)
    if expected is not None:
        entry.expected_digest = message.expected_digest if expected == "expected_digest" else None
        entry.expected_absent = expected == "expected_absent"
    return entry if data is None else InlineEntry(entry, data)


def digest_from_proto(message: Any, name: str, *, within: str = "") -> bytes:
    """The digest in the field ``name`` of a message, which is in ``within`` of the request.

    Raises:
        InvalidArgument: It does not have the size of a digest.
    """
    digest: bytes = getattr(message, name)
    if len(digest) != DIGEST_SIZE:
        raise InvalidArgument(f"A digest has {DIGEST_SIZE} bytes, not {len(digest)}.", field=f"{within}{name}")
    return digest


def location_to_proto(location: Location) -> pb.ArtifactLocation:
    """The message of a part of a view."""
    return pb.ArtifactLocation(
        prefix=location.prefix,
        owner=owner_to_proto(location.owner),
        sequence=location.sequence,
        path=location.path,
        kind=_KIND_TO_PROTO[location.kind],
    )


def resolution_to_proto(resolution: Resolution) -> service_pb.ResolveArtifactResponse:
    """The answer of what a URI names, with its origin."""
    version = resolution.version
    return service_pb.ResolveArtifactResponse(
        locations=map(location_to_proto, resolution.locations),
        version=service_pb.ResolvedVersion(
            name=version.name,
            version=version.version,
            tree_digest=version.source.tree_digest,
            pickle_forbidden=resolution.pickle_forbidden,
            directory=version.source.path,
            directory_digest=version.source.directory_digest,
        )
        if version
        else None,
        principal=resolution.principal,
    )
