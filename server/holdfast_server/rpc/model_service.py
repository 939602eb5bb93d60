"""ModelService over gRPC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.message import Message

from holdfast.v1 import model_pb2
from holdfast.v1 import model_service_pb2 as pb
from holdfast.v1 import model_service_pb2_grpc as service_grpc
from holdfast_server.domain.experiment import TagChanges, TagLimit
from holdfast_server.domain.model import ModelInfo
from holdfast_server.domain.names import check_run_id, named_model
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert import models as convert
from holdfast_server.rpc.convert.experiments import experiment_ids_from_proto, tag_pairs, tag_to_proto, view_from_proto
from holdfast_server.rpc.convert.runs import metric_to_proto, param_to_proto, params_from_proto
from holdfast_server.rpc.mutations import mutate
from holdfast_server.rpc.paging import copying, drop_largest_lists, fill_parts, page_limit
from holdfast_server.rpc.searching import PageRequest, read_page
from holdfast_server.rpc.workers import told_model
from holdfast_server.services import models
from holdfast_server.services.callers import current_caller
from holdfast_server.services.parts import model_parts
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.services.search import fields
from holdfast_server.services.search.filter import parse_filter
from holdfast_server.services.search.mask import MODEL_LISTS, parse_mask
from holdfast_server.services.search.order import parse_order_by
from holdfast_server.services.search.page_token import open_token, seal_token
from holdfast_server.services.search.query import SearchQuery
from holdfast_server.services.search.walk import walk_models

_PARTS: dict[str, Callable[[Any], Message]] = {
    "params": param_to_proto,
    "tags": tag_to_proto,
    "metrics": metric_to_proto,
    "registrations": convert.registration_to_proto,
}


class ModelServicer(service_grpc.ModelServiceServicer):
    """Keeps logged models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateLoggedModel(
        self, request: pb.CreateLoggedModelRequest, context: Any
    ) -> pb.CreateLoggedModelResponse:
        """Begin one, PENDING."""
        new = models.NewModel(
            experiment_id=request.experiment_id,
            name=request.name,
            source_run_id=request.source_run_id,
            model_type=request.model_type,
            params=params_from_proto(request.params),
            tags=TagChanges.parse(tag_pairs(request.tags), (), TagLimit.MODEL).tags,
            model_id=request.model_id,
            principal="" if request.origin_unknown else current_caller().principal,
            origin_unknown=request.origin_unknown,
        )

        def job(tx: Transaction) -> pb.CreateLoggedModelResponse:
            created = models.create_model(tx, new)
            return pb.CreateLoggedModelResponse(model=told_model(_first_page(tx, created)))

        return await mutate(self._database, request, pb.CreateLoggedModelResponse, job)

    async def GetLoggedModel(self, request: pb.GetLoggedModelRequest, context: Any) -> pb.GetLoggedModelResponse:
        """Read one that is not deleted, or a page of it."""
        model_id = named_model(request.model_id)
        bound = ("GetLoggedModel", model_id)

        def job(tx: Transaction) -> pb.GetLoggedModelResponse:
            after = open_token(tx.page_token_key, bound, request.page_token) if request.page_token else None
            model = (models.get_model if request.allow_deleted else models.get_visible_model)(tx, model_id)
            response = pb.GetLoggedModelResponse(model=convert.model_to_proto(model))
            last = fill_parts(response.model, model_parts(tx, model, after), _PARTS)
            if last is not None:
                response.next_page_token = seal_token(tx.page_token_key, bound, last)
            return response

        return await self._database.read(job)

    async def FinalizeLoggedModel(
        self, request: pb.FinalizeLoggedModelRequest, context: Any
    ) -> pb.FinalizeLoggedModelResponse:
        """End writing."""
        status = convert.model_status_from_proto(request.status)

        def job(tx: Transaction) -> pb.FinalizeLoggedModelResponse:
            final = models.finalize_model(tx, request.model_id, status, request.status_message)
            return pb.FinalizeLoggedModelResponse(model=told_model(_first_page(tx, final)))

        return await mutate(self._database, request, pb.FinalizeLoggedModelResponse, job)

    async def UpdateLoggedModel(
        self, request: pb.UpdateLoggedModelRequest, context: Any
    ) -> pb.UpdateLoggedModelResponse:
        """Add params and change tags."""
        params = params_from_proto(request.params)
        changes = TagChanges.parse(tag_pairs(request.tags), request.deleted_tag_keys, TagLimit.MODEL)

        def job(tx: Transaction) -> pb.UpdateLoggedModelResponse:
            models.update_model(tx, request.model_id, params, changes)
            return pb.UpdateLoggedModelResponse()

        return await mutate(self._database, request, pb.UpdateLoggedModelResponse, job)

    async def DeleteLoggedModel(
        self, request: pb.DeleteLoggedModelRequest, context: Any
    ) -> pb.DeleteLoggedModelResponse:
        """Mark one as deleted."""

        def job(tx: Transaction) -> pb.DeleteLoggedModelResponse:
            models.delete_model(tx, request.model_id)
            return pb.DeleteLoggedModelResponse()

        return await mutate(self._database, request, pb.DeleteLoggedModelResponse, job)

    async def RestoreLoggedModel(
        self, request: pb.RestoreLoggedModelRequest, context: Any
    ) -> pb.RestoreLoggedModelResponse:
        """Undo DeleteLoggedModel."""

        def job(tx: Transaction) -> pb.RestoreLoggedModelResponse:
            models.restore_model(tx, request.model_id)
            return pb.RestoreLoggedModelResponse()

        return await mutate(self._database, request, pb.RestoreLoggedModelResponse, job)

    async def SearchLoggedModels(
        self, request: pb.SearchLoggedModelsRequest, context: Any
    ) -> pb.SearchLoggedModelsResponse:
        """Page through the models of some experiments or of a run."""
        if not request.experiment_ids and not request.source_run_id:
            raise InvalidArgument("Name at least one experiment, or a run, to search in.", field="experiment_ids")
        if request.source_run_id:
            check_run_id(request.source_run_id, field="source_run_id")
        query = SearchQuery(
            conditions=parse_filter(request.filter, fields.LOGGED_MODELS),
            order=parse_order_by(request.order_by, fields.LOGGED_MODELS),
            view=view_from_proto(request.view_type),
            experiment_ids=experiment_ids_from_proto(request.experiment_ids),
            source_run_id=request.source_run_id,
            datasets=convert.dataset_names_from_proto(request.datasets),
        )
        limit = page_limit(request.page_size, default=100, maximum=10_000)
        page = PageRequest("SearchLoggedModels", query, request.page_token, limit)
        mask, shrink = parse_mask(request.fields, MODEL_LISTS), drop_largest_lists(*MODEL_LISTS)

        def job(tx: Transaction) -> pb.SearchLoggedModelsResponse:
            response = pb.SearchLoggedModelsResponse()
            found = partial(walk_models, tx, mask)
            return read_page(
                tx,
                page,
                found,
                response,
                items=response.models,
                write=copying(lambda pair: convert.model_to_proto(*pair)),
                shrink=shrink,
            )

        return await self._database.read(job)


def _first_page(tx: Transaction, model: ModelInfo) -> model_pb2.LoggedModel:
    """The model with what fits into one message; GetLoggedModel has the rest."""
    message = convert.model_to_proto(model)
    message.truncated = fill_parts(message, model_parts(tx, model, None), _PARTS) is not None
    return message
