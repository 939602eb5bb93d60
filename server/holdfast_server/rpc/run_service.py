"""RunService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from holdfast.v1 import run_service_pb2 as pb
from holdfast.v1 import run_service_pb2_grpc as service_grpc
from holdfast_server.domain.event import Scope
from holdfast_server.domain.names import check_given_key, named_run
from holdfast_server.domain.run import MAX_BATCH_BYTES
from holdfast_server.errors import InvalidArgument, Reason
from holdfast_server.rpc.convert import runs as convert
from holdfast_server.rpc.convert.events import wanted_from_proto
from holdfast_server.rpc.convert.experiments import tag_pairs, tag_to_proto
from holdfast_server.rpc.convert.metric_charts import bucket_to_proto, steps_from_proto
from holdfast_server.rpc.convert.times import optional_ms_from_proto
from holdfast_server.rpc.mutations import mutate
from holdfast_server.rpc.paging import fill_page, fill_parts, page_limit
from holdfast_server.rpc.run_search import search_runs, stream_runs
from holdfast_server.rpc.watches import Begun, WatchSender
from holdfast_server.rpc.workers import told_run
from holdfast_server.services import runs
from holdfast_server.services.cursors import begin_watch, resume_watch
from holdfast_server.services.parts import run_parts, tag_parts
from holdfast_server.services.ports.database import Clock, Database, Transaction
from holdfast_server.services.run_leases import LeaseTerms, hold_lease, renew_leases
from holdfast_server.services.run_logging import log_batch
from holdfast_server.services.search.page_token import open_token, seal_token
from holdfast_server.services.search.query import Found

_PARTS: dict[str, Callable[[Any], Message]] = {
    "params": convert.param_to_proto,
    "tags": tag_to_proto,
    "metrics": convert.metric_to_proto,
    "dataset_inputs": convert.dataset_input_to_proto,
    "model_inputs": convert.model_input_to_proto,
    "model_outputs": convert.model_output_to_proto,
}


class RunServicer(service_grpc.RunServiceServicer):
    """Keeps runs and what they log."""

    def __init__(self, database: Database, clock: Clock, leases: LeaseTerms, watches: WatchSender) -> None:
        self._database, self._clock, self._leases, self._watches = database, clock, leases, watches

    async def CreateRun(self, request: pb.CreateRunRequest, context: Any) -> pb.CreateRunResponse:
        """Start one in an active experiment."""
        new = runs.NewRun(
            experiment_id=request.experiment_id or "0",
            name=request.run_name,
            user_id=request.user_id,
            start_time=optional_ms_from_proto(request, "start_time"),
            tags=runs.parse_run_tags(tag_pairs(request.tags)).tags,
            run_id=request.run_id,
        )

        def job(tx: Transaction) -> pb.CreateRunResponse:
            run, data = runs.create_run(tx, new)
            if request.take_lease and hold_lease(tx, run, self._leases):
                run = replace(run, lost=False)
            response = pb.CreateRunResponse(run=convert.run_to_proto(run))
            parts = run_parts(tx, run, None) if data is None else tag_parts(data.tags)
            response.run.truncated = fill_parts(response.run, parts, _PARTS) is not None
            return response

        return await mutate(self._database, request, pb.CreateRunResponse, job)

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:
        """Read one, or a page of it."""
        run_id = named_run(request.run_id)
        bound = ("GetRun", run_id)

        def job(tx: Transaction) -> pb.GetRunResponse:
            after = open_token(tx.page_token_key, bound, request.page_token) if request.page_token else None
            run = runs.get_run(tx, run_id)
            response = pb.GetRunResponse(run=convert.run_to_proto(run))
            last = fill_parts(response.run, run_parts(tx, run, after), _PARTS)
            if last is not None:
                response.next_page_token = seal_token(tx.page_token_key, bound, last)
            return response

        return await self._database.read(job)

    async def UpdateRun(self, request: pb.UpdateRunRequest, context: Any) -> pb.UpdateRunResponse:
        """Change name, status or end."""
        changes = runs.RunChanges(
            name=request.run_name if request.HasField("run_name") else None,
            status=convert.status_from_proto(request.status),
            end_time=optional_ms_from_proto(request, "end_time"),
            lost=request.lost if request.HasField("lost") else None,
        )

        def job(tx: Transaction) -> pb.UpdateRunResponse:
            updated = runs.update_run(tx, request.run_id, changes)
            return pb.UpdateRunResponse(run=told_run(convert.run_to_proto(updated)))

        return await mutate(self._database, request, pb.UpdateRunResponse, job)

    async def DeleteRun(self, request: pb.DeleteRunRequest, context: Any) -> pb.DeleteRunResponse:
        """Mark one as deleted."""

        def job(tx: Transaction) -> pb.DeleteRunResponse:
            runs.delete_run(tx, request.run_id)
            return pb.DeleteRunResponse()

        return await mutate(self._database, request, pb.DeleteRunResponse, job)

    async def RestoreRun(self, request: pb.RestoreRunRequest, context: Any) -> pb.RestoreRunResponse:
        """Undo DeleteRun."""

        def job(tx: Transaction) -> pb.RestoreRunResponse:
            runs.restore_run(tx, request.run_id)
            return pb.RestoreRunResponse()

        return await mutate(self._database, request, pb.RestoreRunResponse, job)

    async def SearchRuns(self, request: pb.SearchRunsRequest, context: Any) -> pb.SearchRunsResponse:
        """Page through the runs of some experiments."""
        return await search_runs(self._database, request)

    async def StreamRuns(self, request: pb.StreamRunsRequest, context: Any) -> AsyncIterator[pb.StreamRunsResponse]:
        """Go through all runs of some experiments."""
        async for response in stream_runs(self._database, request):
            yield response

    async def LogBatch(self, request: pb.LogBatchRequest, context: Any) -> pb.LogBatchResponse:
        """Add metrics and params and change tags."""
        if request.ByteSize() > MAX_BATCH_BYTES:
            raise InvalidArgument(
                f"The batch has {request.ByteSize()} bytes; the limit is {MAX_BATCH_BYTES}. Send several.",
                reason=Reason.LIMIT_EXCEEDED,
                metadata={"limit": str(MAX_BATCH_BYTES)},
            )
        batch = convert.batch_from_proto(request, self._clock.now_ms())

        def job(tx: Transaction) -> pb.LogBatchResponse:
            kept = log_batch(tx, request.run_id, batch)
            return pb.LogBatchResponse(next_writer_sequence=kept.mark, new_metric_count=kept.metric_count)

        return await mutate(self._database, request, pb.LogBatchResponse, job)

    async def LogInputs(self, request: pb.LogInputsRequest, context: Any) -> pb.LogInputsResponse:
        """Link datasets and models that a run read."""
        datasets = [convert.dataset_input_from_proto(item) for item in request.datasets]
        models = [convert.model_input_from_proto(item) for item in request.models]

        def job(tx: Transaction) -> pb.LogInputsResponse:
            runs.log_inputs(tx, request.run_id, datasets, models)
            return pb.LogInputsResponse()

        return await mutate(self._database, request, pb.LogInputsResponse, job)

    async def LogOutputs(self, request: pb.LogOutputsRequest, context: Any) -> pb.LogOutputsResponse:
        """Link logged models that a run produced."""
        outputs = [convert.model_output_from_proto(item) for item in request.models]

        def job(tx: Transaction) -> pb.LogOutputsResponse:
            runs.log_outputs(tx, request.run_id, outputs)
            return pb.LogOutputsResponse()

        return await mutate(self._database, request, pb.LogOutputsResponse, job)

    async def ListMetricHistory(
        self, request: pb.ListMetricHistoryRequest, context: Any
    ) -> pb.ListMetricHistoryResponse:
        """Page through all points of one metric."""
        run_id, key = named_run(request.run_id), check_given_key(request.key, what="A metric key")
        limit = page_limit(request.page_size, default=25_000, maximum=25_000)
        steps = steps_from_proto(request)
        bound = ("ListMetricHistory", run_id, key, steps)

        def job(tx: Transaction) -> pb.ListMetricHistoryResponse:
            after = open_token(tx.page_token_key, bound, request.page_token) if request.page_token else None
            run = runs.get_run(tx, run_id)
            response = pb.ListMetricHistoryResponse()
            place = (int(after[0]), int(after[1]), int(after[2])) if after else None
            found = (Found(m, at) for m, at in tx.runs.list_points(run.number, key, steps, place, limit + 1))
            last = fill_page(response.metrics, found, convert.write_metric, limit=limit)
            if last is not None:
                response.next_page_token = seal_token(tx.page_token_key, bound, last)
            return response

        return await self._database.read(job)

    async def ListMetricPoints(self, request: pb.ListMetricPointsRequest, context: Any) -> pb.ListMetricPointsResponse:
        """Page through all points of a run in order of arrival."""
        run_id, first = named_run(request.run_id), request.start_position
        if first < 0:
            raise InvalidArgument(f"A position is 0 or more, not {first}.", field="start_position")
        limit = page_limit(request.page_size, default=25_000, maximum=25_000)

        def job(tx: Transaction) -> pb.ListMetricPointsResponse:
            run = runs.get_run(tx, run_id)
            response = pb.ListMetricPointsResponse(point_count=tx.runs.count_points(run.number))
            if first < response.point_count:
                found = (Found(m, ()) for m in tx.runs.list_arrived(run.number, first, limit))
                fill_page(response.metrics, found, convert.write_metric, limit=limit)
            return response

        return await self._database.read(job)

    async def RenewLeases(self, request: pb.RenewLeasesRequest, context: Any) -> pb.RenewLeasesResponse:
        """Take or renew the leases of runs whose client is there."""
        response = pb.RenewLeasesResponse()
        response.lease_duration.FromMilliseconds(self._leases.length_ms)
        response.held_run_ids.extend(
            await self._database.write(lambda tx: renew_leases(tx, request.run_ids, self._leases))
        )
        return response

    def WatchRun(self, request: pb.WatchRunRequest, context: Any) -> AsyncIterator[pb.WatchRunResponse]:
        """Stream a run and its changes."""
        watched = ("WatchRun", named_run(request.run_id))
        wanted = wanted_from_proto(request.types)

        def begin(tx: Transaction) -> Begun:
            if request.cursor:  # also of a run that is gone since, which its last event then tells
                return resume_watch(tx, watched, request.cursor), {}
            run = runs.get_run(tx, request.run_id)
            message = convert.run_to_proto(run)
            message.truncated = fill_parts(message, run_parts(tx, run, None), _PARTS) is not None
            return begin_watch(tx, watched, Scope.run(run.number, run.experiment_id)), {"run": message}

        return self._watches.send(begin, pb.WatchRunResponse, wanted)

    async def GetMetricChart(self, request: pb.GetMetricChartRequest, context: Any) -> pb.GetMetricChartResponse:
        """Sum up a metric in ranges of steps."""
        run_id, key = named_run(request.run_id), check_given_key(request.key, what="A metric key")
        steps = steps_from_proto(request)
        most = page_limit(request.max_buckets, default=1_000, maximum=5_000, field="max_buckets")

        def job(tx: Transaction) -> pb.GetMetricChartResponse:
            run = runs.get_run(tx, run_id)
            buckets = tx.runs.list_metric_buckets(run.number, key, steps, most)
            return pb.GetMetricChartResponse(buckets=map(bucket_to_proto, buckets))

        return await self._database.read(job)
