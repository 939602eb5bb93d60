"""Values of upkeep to and from their messages."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from holdfast.v1 import storage_service_pb2 as pb
from holdfast_server.domain.artifacts import Owner
from holdfast_server.domain.upkeep import Checked, Collected, Finding, FindingKind, Phase, StorageUsage
from holdfast_server.errors import DomainError, InvalidArgument
from holdfast_server.rpc.convert.artifacts import owner_to_proto

# What a Duration may hold: some 10,000 years.
_MAX_SECONDS = 315_576_000_000
_PHASES: dict[Phase, Any] = {phase: pb.CollectionPhase.Value(f"COLLECTION_PHASE_{phase.name}") for phase in Phase}
_KINDS: dict[FindingKind, Any] = {kind: pb.FindingKind.Value(f"FINDING_KIND_{kind.name}") for kind in FindingKind}
_GROUPS: dict[int, str] = {
    pb.USAGE_GROUP_UNSPECIFIED: "experiments",
    pb.USAGE_GROUP_EXPERIMENTS: "experiments",
    pb.USAGE_GROUP_RUNS: "runs",
    pb.USAGE_GROUP_MODELS: "models",
}


def optional_duration_ms(message: Message, field: str) -> int | None:
    """Milliseconds of a Duration that is not negative; None when it is absent.

    Raises:
        InvalidArgument: It is negative or malformed.
    """
    if not message.HasField(field):
        return None
    duration = getattr(message, field)
    if not (0 <= duration.seconds <= _MAX_SECONDS and 0 <= duration.nanos < 1_000_000_000):
        raise InvalidArgument(f"{field} is a duration of zero or more.", field=field)
    return int(duration.seconds * 1_000 + duration.nanos // 1_000_000)


def collected_to_proto(collected: Collected) -> pb.CollectGarbageResponse:
    """The message of what a collection did."""
    return pb.CollectGarbageResponse(
        phase=_PHASES[collected.phase],
        purged_runs=collected.purged_runs,
        purged_models=collected.purged_models,
        pruned_entries=collected.pruned_entries,
        files=collected.files,
        blocks=collected.blocks,
        block_bytes=collected.block_bytes,
        objects=collected.objects,
        object_bytes=collected.object_bytes,
        orphans=collected.orphans,
        compacted_packs=collected.compacted_packs,
        moved_bytes=collected.moved_bytes,
        failures=collected.failures,
    )


def finding_to_proto(finding: Finding) -> pb.Finding:
    """The message of a finding. Files of owners that were purged are left out: nobody can name them."""
    message = pb.Finding(
        kind=_KINDS[finding.kind],
        severity=pb.FINDING_SEVERITY_ERROR if finding.kind.is_problem else pb.FINDING_SEVERITY_INFO,
        message=finding.message,
        digest=finding.digest,
        object_key=finding.object_key,
        size=finding.size,
        repaired=finding.repaired,
    )
    for place in finding.affected:
        try:
            owner = owner_to_proto(Owner.parse(place.owner))
        except DomainError:
            continue
        message.affected.add(owner=owner, path=place.path)
    return message


def checked_to_proto(checked: Checked, *, done: bool) -> pb.CheckSummary:
    """The message of how far a check is."""
    return pb.CheckSummary(
        objects=checked.objects,
        blocks=checked.blocks,
        block_bytes=checked.block_bytes,
        read_bytes=checked.read_bytes,
        problems=checked.problems,
        repaired=checked.repaired,
        done=done,
    )


def group_from_proto(group: int) -> str:
    """The name of a group.

    Raises:
        InvalidArgument: There is no such group.
    """
    if group not in _GROUPS:
        raise InvalidArgument("The group is one of UsageGroup: experiments, runs or models.", field="group")
    return _GROUPS[group]


def usage_to_proto(usage: StorageUsage) -> pb.GetStorageUsageResponse:
    """The message of what takes space."""
    return pb.GetStorageUsageResponse(
        file_count=usage.file_count,
        logical_bytes=usage.logical_bytes,
        block_count=usage.block_count,
        block_bytes=usage.block_bytes,
        object_count=usage.object_count,
        stored_bytes=usage.stored_bytes,
        reclaimable_bytes=usage.reclaimable_bytes,
        in_grace_bytes=usage.in_grace_bytes,
        replaced_bytes=usage.replaced_bytes,
        largest=[
            pb.OwnerUsage(id=one.id, name=one.name, file_count=one.file_count, total_size=one.total_size)
            for one in usage.top
        ],
    )
