"""ExperimentService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any

from holdfast.v1 import experiment_service_pb2 as pb
from holdfast.v1 import experiment_service_pb2_grpc as service_grpc
from holdfast_server.domain.event import Scope
from holdfast_server.domain.run import DatasetSummary
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.events import wanted_from_proto
from holdfast_server.rpc.convert.experiments import (
    experiment_ids_from_proto,
    experiment_to_proto,
    tag_pairs,
    view_from_proto,
)
from holdfast_server.rpc.convert.runs import dataset_summary_to_proto
from holdfast_server.rpc.mutations import mutate
from holdfast_server.rpc.paging import copying, page_limit
from holdfast_server.rpc.searching import PageRequest, read_page
from holdfast_server.rpc.watches import Begun, WatchSender
from holdfast_server.services import experiments
from holdfast_server.services.cursors import begin_watch, resume_watch
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.services.search import fields
from holdfast_server.services.search.filter import parse_filter
from holdfast_server.services.search.order import parse_order_by
from holdfast_server.services.search.query import Found, Position, SearchQuery
from holdfast_server.services.search.walk import walk


class ExperimentServicer(service_grpc.ExperimentServiceServicer):
    """Keeps experiments."""

    def __init__(self, database: Database, watches: WatchSender) -> None:
        self._database, self._watches = database, watches

    async def CreateExperiment(self, request: pb.CreateExperimentRequest, context: Any) -> pb.CreateExperimentResponse:
        """Create one."""

        def job(tx: Transaction) -> pb.CreateExperimentResponse:
            tags = tag_pairs(request.tags)
            created = experiments.create_experiment(tx, request.name, tags, request.artifact_location)
            return pb.CreateExperimentResponse(experiment=experiment_to_proto(created))

        return await mutate(self._database, request, pb.CreateExperimentResponse, job)

    async def GetExperiment(self, request: pb.GetExperimentRequest, context: Any) -> pb.GetExperimentResponse:
        """Read one by id or by name."""

        def job(tx: Transaction) -> pb.GetExperimentResponse:
            selector = request.WhichOneof("selector")
            if selector == "experiment_id":
                found = experiments.get_experiment(tx, request.experiment_id)
            elif selector == "name":
                found = experiments.find_experiment(tx, request.name)
            else:
                raise InvalidArgument("Set experiment_id or name to say which experiment.", field="selector")
            return pb.GetExperimentResponse(experiment=experiment_to_proto(found))

        return await self._database.read(job)

    async def SearchExperiments(
        self, request: pb.SearchExperimentsRequest, context: Any
    ) -> pb.SearchExperimentsResponse:
        """Page through those that match."""
        query = SearchQuery(
            conditions=parse_filter(request.filter, fields.EXPERIMENTS),
            order=parse_order_by(request.order_by, fields.EXPERIMENTS),
            view=view_from_proto(request.view_type),
        )
        limit = page_limit(request.page_size, default=1_000, maximum=50_000)
        page = PageRequest("SearchExperiments", query, request.page_token, limit)

        def job(tx: Transaction) -> pb.SearchExperimentsResponse:
            response = pb.SearchExperimentsResponse()
            found = partial(walk, tx.experiments.search)
            return read_page(tx, page, found, response, items=response.experiments, write=copying(experiment_to_proto))

        return await self._database.read(job)

    async def UpdateExperiment(self, request: pb.UpdateExperimentRequest, context: Any) -> pb.UpdateExperimentResponse:
        """Rename one."""

        def job(tx: Transaction) -> pb.UpdateExperimentResponse:
            name = request.name if request.HasField("name") else None
            updated = experiments.rename_experiment(tx, request.experiment_id, name)
            return pb.UpdateExperimentResponse(experiment=experiment_to_proto(updated))

        return await mutate(self._database, request, pb.UpdateExperimentResponse, job)

    async def DeleteExperiment(self, request: pb.DeleteExperimentRequest, context: Any) -> pb.DeleteExperimentResponse:
        """Mark one and its runs as deleted."""

        def job(tx: Transaction) -> pb.DeleteExperimentResponse:
            experiments.delete_experiment(tx, request.experiment_id)
            return pb.DeleteExperimentResponse()

        return await mutate(self._database, request, pb.DeleteExperimentResponse, job)

    async def RestoreExperiment(
        self, request: pb.RestoreExperimentRequest, context: Any
    ) -> pb.RestoreExperimentResponse:
        """Undo DeleteExperiment."""

        def job(tx: Transaction) -> pb.RestoreExperimentResponse:
            experiments.restore_experiment(tx, request.experiment_id)
            return pb.RestoreExperimentResponse()

        return await mutate(self._database, request, pb.RestoreExperimentResponse, job)

    async def SetExperimentTags(
        self, request: pb.SetExperimentTagsRequest, context: Any
    ) -> pb.SetExperimentTagsResponse:
        """Set and remove tags."""

        def job(tx: Transaction) -> pb.SetExperimentTagsResponse:
            tags = tag_pairs(request.tags)
            experiments.set_experiment_tags(tx, request.experiment_id, tags, request.deleted_tag_keys)
            return pb.SetExperimentTagsResponse()

        return await mutate(self._database, request, pb.SetExperimentTagsResponse, job)

    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Any) -> pb.ListDatasetsResponse:
        """Page through what runs read."""
        limit = page_limit(request.page_size, default=1_000, maximum=10_000)
        experiment_ids = experiment_ids_from_proto(request.experiment_ids)
        if not experiment_ids:
            raise InvalidArgument("Name at least one experiment whose datasets to list.", field="experiment_ids")
        page = PageRequest("ListDatasets", SearchQuery(experiment_ids=experiment_ids), request.page_token, limit)

        def job(tx: Transaction) -> pb.ListDatasetsResponse:
            response = pb.ListDatasetsResponse()

            def find(query: SearchQuery, after: Position | None, most: int) -> Iterable[Found[DatasetSummary]]:
                return tx.experiments.list_datasets(query.experiment_ids, query.visible_to, after, most)

            return read_page(tx, page, find, response, items=response.datasets, write=copying(dataset_summary_to_proto))

        return await self._database.read(job)

    def WatchExperiment(
        self, request: pb.WatchExperimentRequest, context: Any
    ) -> AsyncIterator[pb.WatchExperimentResponse]:
        """Stream an experiment and the changes in it."""
        watched = ("WatchExperiment", request.experiment_id)
        wanted = wanted_from_proto(request.types)

        def begin(tx: Transaction) -> Begun:
            if request.cursor:
                return resume_watch(tx, watched, request.cursor), {}
            experiment = experiments.get_experiment(tx, request.experiment_id)
            start = begin_watch(tx, watched, Scope.experiment(experiment.id))
            return start, {"experiment": experiment_to_proto(experiment)}

        return self._watches.send(begin, pb.WatchExperimentResponse, wanted)
