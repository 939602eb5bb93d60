"""What a client does to look after the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from holdfast._calls import Calls, build
from holdfast.entities import CollectedGarbage, OwnerUsage, StorageCheck, StorageFinding, StorageUsage
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import storage_service_pb2 as pb
from holdfast.v1.storage_service_pb2_grpc import StorageServiceStub

# The sums take a pass over all rows.
USAGE_TIMEOUT = 600.0
_GROUPS = {
    "experiments": pb.USAGE_GROUP_EXPERIMENTS,
    "runs": pb.USAGE_GROUP_RUNS,
    "models": pb.USAGE_GROUP_MODELS,
}


class StorageCalls(Calls):
    """What a client does to look after the store. These calls take as long as there is much to do."""

    def collect_garbage(
        self,
        *,
        dry_run: bool = False,
        grace: timedelta | float | None = None,
        purge_deleted: timedelta | float | None = None,
        on_progress: Callable[[CollectedGarbage], object] | None = None,
    ) -> CollectedGarbage:
        """Delete what nothing needs; uploads may go on meanwhile.

        Args:
            dry_run: Delete nothing, and return what would be deleted now.
            grace: What was needed in this time, in seconds, is kept; None for 24 hours. With zero, uploads in progress
                may have to send blocks again.
            purge_deleted: Runs and logged models that were deleted longer ago go for good; None for none of them.
            on_progress: Is called every few seconds with what was deleted so far.

        Raises:
            FailedPreconditionError: Another process collects garbage or checks the store; the message says who.
        """
        request = build(pb.CollectGarbageRequest, dry_run=dry_run)
        _set_duration(request, "grace", grace)
        _set_duration(request, "purge_deleted", purge_deleted)
        collected = CollectedGarbage()
        for message in self._follow(self._storage.CollectGarbage, request):
            collected = _collected_from_proto(message)
            if on_progress is not None:
                on_progress(collected)
        return collected

    def check_storage(
        self,
        *,
        deep: bool = False,
        repair: bool = False,
        grace: timedelta | float | None = None,
        on_finding: Callable[[StorageFinding], object] | None = None,
        on_progress: Callable[[StorageCheck], object] | None = None,
    ) -> StorageCheck:
        """Compare what the database knows with what the store has.

        Args:
            deep: Read every block and compare its bytes with its digest.
            repair: Remove orphaned objects, and count lost, damaged and unreadable blocks as missing, so that logging
                the same content again makes every file whole that needs them. Nothing that can be read is deleted, and
                what was counted as missing and can be read again is counted as present again.
            grace: Objects without a row that are younger may belong to an upload and are passed over; in seconds, at
                least an hour. None for 24 hours.
            on_finding: Takes findings as they come; without it they are returned.
            on_progress: Is called every few seconds.

        Raises:
            FailedPreconditionError: Another process collects garbage or checks the store; the message says who.
        """
        request = build(pb.CheckStorageRequest, deep=deep, repair=repair)
        _set_duration(request, "grace", grace)
        findings: list[StorageFinding] = []
        check = StorageCheck()
        for message in self._follow(self._storage.CheckStorage, request):
            if message.WhichOneof("event") == "finding":
                (on_finding or findings.append)(_finding_from_proto(message.finding))
                continue
            check = _check_from_proto(message.progress, tuple(findings) if message.progress.done else ())
            if on_progress is not None:
                on_progress(check)
        return check

    def get_storage_usage(self, *, group: str = "experiments", limit: int = 10) -> StorageUsage:
        """Tell what takes how much space.

        Args:
            group: Of what the largest are listed: ``"experiments"``, ``"runs"`` or ``"models"``.
            limit: How many, from 1 to 1,000.
        """
        if group not in _GROUPS:
            raise InvalidArgumentError(f"group is one of {', '.join(_GROUPS)}, not {group!r:.80}.")
        request = build(pb.GetStorageUsageRequest, group=_GROUPS[group], limit=limit)
        found = self._channel.call(self._storage.GetStorageUsage, request, timeout=USAGE_TIMEOUT)
        values = {field.name: getattr(found, field.name) for field in found.DESCRIPTOR.fields}
        largest = tuple(
            OwnerUsage(id=one.id, name=one.name, file_count=one.file_count, total_size=one.total_size)
            for one in found.largest
        )
        return StorageUsage(**{**values, "largest": largest})

    def _follow(self, method: Any, request: Any) -> Iterator[Any]:
        """Messages of a stream. It is begun again while no server answers, but not once it has told something."""
        stream: Any = None

        def begin() -> Any:
            nonlocal stream
            stream = method(request)
            return next(stream)

        try:
            yield self._channel.run(begin)
            yield from stream
        except grpc.RpcError as error:
            raise self._channel.translate(error) from None
        finally:
            if stream is not None:
                stream.cancel()

    @property
    def _storage(self) -> StorageServiceStub:
        return self._channel.stub(StorageServiceStub)


def _set_duration(request: Any, field: str, value: timedelta | float | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float, timedelta)):
        raise InvalidArgumentError(f"{field} is a number of seconds or a timedelta, not {type(value).__name__}.")
    try:
        length = value if isinstance(value, timedelta) else timedelta(seconds=value)
    except (OverflowError, ValueError):
        raise InvalidArgumentError(f"{field} is too long: {value}.") from None
    if length < timedelta(0):
        raise InvalidArgumentError(f"{field} is zero or more, not {value}.")
    duration = Duration()
    duration.FromTimedelta(length)
    getattr(request, field).CopyFrom(duration)


def _collected_from_proto(message: pb.CollectGarbageResponse) -> CollectedGarbage:
    values = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    phase = pb.CollectionPhase.Name(message.phase).removeprefix("COLLECTION_PHASE_")
    return CollectedGarbage(**{**values, "phase": phase})


def _finding_from_proto(message: pb.Finding) -> StorageFinding:
    return StorageFinding(
        kind=pb.FindingKind.Name(message.kind).removeprefix("FINDING_KIND_"),
        is_problem=message.severity == pb.FINDING_SEVERITY_ERROR,
        message=message.message,
        digest=message.digest.hex(),
        object_key=message.object_key,
        size=message.size,
        affected=tuple(_uri(file) for file in message.affected),
        repaired=message.repaired,
    )


def _check_from_proto(message: pb.CheckSummary, findings: tuple[StorageFinding, ...]) -> StorageCheck:
    return StorageCheck(
        objects=message.objects,
        blocks=message.blocks,
        block_bytes=message.block_bytes,
        read_bytes=message.read_bytes,
        problems=message.problems,
        repaired=message.repaired,
        findings=findings,
    )


def _uri(file: pb.AffectedFile) -> str:
    owner = file.owner
    return f"models:/{owner.model_id}/{file.path}" if owner.model_id else f"runs:/{owner.run_id}/{file.path}"
