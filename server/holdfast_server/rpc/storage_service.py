"""StorageService over gRPC: parse, call, convert; long work tells how far it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any

from holdfast.v1 import storage_service_pb2 as pb
from holdfast.v1 import storage_service_pb2_grpc as service_grpc
from holdfast_server.domain.upkeep import DEFAULT_GRACE_MS, Checked, Collected, Finding
from holdfast_server.rpc.convert import storage as convert
from holdfast_server.rpc.paging import page_limit
from holdfast_server.services.checking import CheckSettings, StorageChecker
from holdfast_server.services.garbage import CollectionSettings, GarbageCollector
from holdfast_server.services.store_access import StoreAccess
from holdfast_server.services.usage import storage_usage

# A message comes at least this often, so that whoever waits knows that the work goes on. There is no total timeout.
PROGRESS_SECONDS = 2.0
# Findings that wait for a slow reader, before the check waits too.
MAX_WAITING = 64
MAX_LARGEST = 1_000


class StorageServicer(service_grpc.StorageServiceServicer):
    """Implements ``holdfast.v1.StorageService``. When the caller goes away, the work stops."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access
        self._collector, self._checker = GarbageCollector(access), StorageChecker(access)

    async def CollectGarbage(
        self, request: pb.CollectGarbageRequest, context: Any
    ) -> AsyncIterator[pb.CollectGarbageResponse]:
        """Delete what nothing needs."""
        grace = convert.optional_duration_ms(request, "grace")
        settings = CollectionSettings(
            grace_ms=DEFAULT_GRACE_MS if grace is None else grace,
            purge_ms=convert.optional_duration_ms(request, "purge_deleted"),
        )
        collected = Collected()
        work = self._collector.forecast if request.dry_run else self._collector.collect
        async with contextlib.aclosing(_meanwhile(work(settings, collected), asyncio.Queue())) as ticks:
            async for _ in ticks:
                yield convert.collected_to_proto(collected)
        yield convert.collected_to_proto(collected)

    async def CheckStorage(
        self, request: pb.CheckStorageRequest, context: Any
    ) -> AsyncIterator[pb.CheckStorageResponse]:
        """Compare rows with objects."""
        grace = convert.optional_duration_ms(request, "grace")
        settings = CheckSettings(
            deep=request.deep, repair=request.repair, grace_ms=DEFAULT_GRACE_MS if grace is None else grace
        )
        checked = Checked()
        findings: asyncio.Queue[Finding] = asyncio.Queue(MAX_WAITING)
        work = self._checker.check(settings, checked, findings.put)
        async with contextlib.aclosing(_meanwhile(work, findings)) as events:
            async for finding in events:
                if finding is not None:
                    yield pb.CheckStorageResponse(finding=convert.finding_to_proto(finding))
                else:
                    yield pb.CheckStorageResponse(progress=convert.checked_to_proto(checked, done=False))
        yield pb.CheckStorageResponse(progress=convert.checked_to_proto(checked, done=True))

    async def GetStorageUsage(self, request: pb.GetStorageUsageRequest, context: Any) -> pb.GetStorageUsageResponse:
        """Tell what takes how much space."""
        limit = page_limit(request.limit, default=10, maximum=MAX_LARGEST, field="limit")
        group = convert.group_from_proto(request.group)
        usage = await storage_usage(self._access.database, group=group, limit=limit)
        return convert.usage_to_proto(usage)


async def _meanwhile(
    work: Coroutine[Any, Any, None], found: asyncio.Queue[Finding]
) -> AsyncGenerator[Finding | None, None]:
    """What ``work`` puts into a queue, and None whenever nothing came for a while, until it is done.

    Closing this cancels the work and waits until it has given back what it held.
    """
    task = asyncio.create_task(work)
    try:
        while not task.done() or not found.empty():
            getter = asyncio.create_task(found.get())
            await asyncio.wait({task, getter}, timeout=PROGRESS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if getter.done():
                yield getter.result()
                continue
            getter.cancel()
            if not task.done():
                yield None
        await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
