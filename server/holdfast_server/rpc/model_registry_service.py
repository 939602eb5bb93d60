"""ModelRegistryService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from functools import partial
from typing import Any

from holdfast.v1 import model_registry_service_pb2 as pb
from holdfast.v1 import model_registry_service_pb2_grpc as service_grpc
from holdfast_server.domain.event import Scope
from holdfast_server.domain.experiment import TagChanges, TagLimit
from holdfast_server.domain.names import check_alias, check_count, check_registered_model_name, check_version
from holdfast_server.domain.registry import MAX_ALIASES_PER_REQUEST, ModelVersion
from holdfast_server.domain.registry_history import Actor
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert import registry as convert
from holdfast_server.rpc.convert.events import wanted_from_proto
from holdfast_server.rpc.convert.experiments import tag_pairs
from holdfast_server.rpc.convert.registry_history import change_to_proto
from holdfast_server.rpc.mutations import mutate
from holdfast_server.rpc.paging import copying, fill_page, page_limit
from holdfast_server.rpc.searching import PageRequest, read_page
from holdfast_server.rpc.watches import Begun, WatchSender
from holdfast_server.services import registry
from holdfast_server.services.artifact_uris import describe_large_source, resolve_model_source
from holdfast_server.services.callers import current_caller
from holdfast_server.services.commits import STAGE_SIZE
from holdfast_server.services.cursors import begin_watch, resume_watch
from holdfast_server.services.ports.artifacts import LargeSnapshot
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.services.promotion import AliasChange, Promotion, promote
from holdfast_server.services.registry_history import walk_history
from holdfast_server.services.search import fields
from holdfast_server.services.search.filter import parse_filter
from holdfast_server.services.search.order import parse_order_by
from holdfast_server.services.search.page_token import open_token, seal_token
from holdfast_server.services.search.query import SearchQuery
from holdfast_server.services.search.walk import walk
from holdfast_server.services.version_copies import copy_version


class ModelRegistryServicer(service_grpc.ModelRegistryServiceServicer):
    """Keeps registered models and their versions."""

    def __init__(self, database: Database, watches: WatchSender) -> None:
        self._database, self._watches = database, watches

    async def CreateRegisteredModel(
        self, request: pb.CreateRegisteredModelRequest, context: Any
    ) -> pb.CreateRegisteredModelResponse:
        """Create one."""
        tags = TagChanges.parse(tag_pairs(request.tags), (), TagLimit.MODEL).tags
        actor = _actor(request.user_id)

        def job(tx: Transaction) -> pb.CreateRegisteredModelResponse:
            created = registry.create_registered_model(tx, actor, request.name, request.description, tags)
            return pb.CreateRegisteredModelResponse(registered_model=convert.registered_model_to_proto(created))

        return await mutate(self._database, request, pb.CreateRegisteredModelResponse, job)

    async def GetRegisteredModel(
        self, request: pb.GetRegisteredModelRequest, context: Any
    ) -> pb.GetRegisteredModelResponse:
        """Read one."""

        def job(tx: Transaction) -> pb.GetRegisteredModelResponse:
            found = registry.get_registered_model(tx, request.name)
            return pb.GetRegisteredModelResponse(registered_model=convert.registered_model_to_proto(found))

        return await self._database.read(job)

    async def UpdateRegisteredModel(
        self, request: pb.UpdateRegisteredModelRequest, context: Any
    ) -> pb.UpdateRegisteredModelResponse:
        """Change name, description and tags."""
        tags = TagChanges.parse(tag_pairs(request.tags), request.deleted_tag_keys, TagLimit.MODEL)
        actor = _actor(request.user_id)

        def job(tx: Transaction) -> pb.UpdateRegisteredModelResponse:
            updated = registry.update_registered_model(
                tx,
                actor,
                request.name,
                new_name=request.new_name if request.HasField("new_name") else None,
                description=request.description if request.HasField("description") else None,
                tags=tags,
                pickle_forbidden=request.pickle_forbidden if request.HasField("pickle_forbidden") else None,
            )
            return pb.UpdateRegisteredModelResponse(registered_model=convert.registered_model_to_proto(updated))

        return await mutate(self._database, request, pb.UpdateRegisteredModelResponse, job)

    async def DeleteRegisteredModel(
        self, request: pb.DeleteRegisteredModelRequest, context: Any
    ) -> pb.DeleteRegisteredModelResponse:
        """Delete one with its versions and aliases."""
        actor = _actor(request.user_id)

        def job(tx: Transaction) -> pb.DeleteRegisteredModelResponse:
            registry.delete_registered_model(tx, actor, request.name)
            return pb.DeleteRegisteredModelResponse()

        return await mutate(self._database, request, pb.DeleteRegisteredModelResponse, job)

    async def SearchRegisteredModels(
        self, request: pb.SearchRegisteredModelsRequest, context: Any
    ) -> pb.SearchRegisteredModelsResponse:
        """Page through those that match."""
        query = SearchQuery(
            conditions=parse_filter(request.filter, fields.REGISTERED_MODELS),
            order=parse_order_by(request.order_by, fields.REGISTERED_MODELS),
        )
        limit = page_limit(request.page_size, default=100, maximum=1_000)
        page = PageRequest("SearchRegisteredModels", query, request.page_token, limit)

        def job(tx: Transaction) -> pb.SearchRegisteredModelsResponse:
            response = pb.SearchRegisteredModelsResponse()
            found = partial(walk, tx.registry.search)
            return read_page(
                tx,
                page,
                found,
                response,
                items=response.registered_models,
                write=copying(convert.registered_model_to_proto),
            )

        return await self._database.read(job)

    async def CreateModelVersion(
        self, request: pb.CreateModelVersionRequest, context: Any
    ) -> pb.CreateModelVersionResponse:
        """Register a snapshot under the next number."""
        new = registry.NewVersion(
            name=request.name,
            source=request.source,
            description=request.description,
            tags=TagChanges.parse(tag_pairs(request.tags), (), TagLimit.MODEL).tags,
            run_id=request.run_id,
            create_registered_model=request.create_registered_model,
            import_id=request.import_id,
            run_link=request.run_link,
            aliases=tuple(request.aliases),
            actor=_actor(request.user_id),
        )

        def job(tx: Transaction, most_entries: int | None = None) -> pb.CreateModelVersionResponse:
            resolve = partial(resolve_model_source, most_entries=most_entries)
            created = registry.create_version(tx, new, resolve)
            return pb.CreateModelVersionResponse(model_version=convert.version_to_proto(created))

        try:
            quick = partial(job, most_entries=STAGE_SIZE)
            return await mutate(self._database, request, pb.CreateModelVersionResponse, quick)
        except LargeSnapshot:
            await describe_large_source(self._database, new.source)
            return await mutate(self._database, request, pb.CreateModelVersionResponse, job)

    async def GetModelVersion(self, request: pb.GetModelVersionRequest, context: Any) -> pb.GetModelVersionResponse:
        """Read one by number, alias, or as the newest."""

        def job(tx: Transaction) -> pb.GetModelVersionResponse:
            return pb.GetModelVersionResponse(model_version=convert.version_to_proto(_select_version(tx, request)))

        return await self._database.read(job)

    async def UpdateModelVersion(
        self, request: pb.UpdateModelVersionRequest, context: Any
    ) -> pb.UpdateModelVersionResponse:
        """Change description, stage and tags."""
        changes, actor = _version_changes(request), _actor(request.user_id)

        def job(tx: Transaction) -> pb.UpdateModelVersionResponse:
            updated = registry.update_version(tx, actor, request.name, request.version, changes)
            return pb.UpdateModelVersionResponse(model_version=convert.version_to_proto(updated))

        return await mutate(self._database, request, pb.UpdateModelVersionResponse, job)

    async def DeleteModelVersion(
        self, request: pb.DeleteModelVersionRequest, context: Any
    ) -> pb.DeleteModelVersionResponse:
        """Delete one with the aliases that name it."""
        actor = _actor(request.user_id)

        def job(tx: Transaction) -> pb.DeleteModelVersionResponse:
            registry.delete_version(tx, actor, request.name, request.version)
            return pb.DeleteModelVersionResponse()

        return await mutate(self._database, request, pb.DeleteModelVersionResponse, job)

    async def SearchModelVersions(
        self, request: pb.SearchModelVersionsRequest, context: Any
    ) -> pb.SearchModelVersionsResponse:
        """Page through those that match."""
        query = SearchQuery(
            conditions=parse_filter(request.filter, fields.MODEL_VERSIONS),
            order=parse_order_by(request.order_by, fields.MODEL_VERSIONS),
        )
        limit = page_limit(request.page_size, default=1_000, maximum=10_000)
        page = PageRequest("SearchModelVersions", query, request.page_token, limit)

        def job(tx: Transaction) -> pb.SearchModelVersionsResponse:
            response = pb.SearchModelVersionsResponse()
            found = partial(walk, tx.registry.search_versions)
            return read_page(
                tx, page, found, response, items=response.model_versions, write=copying(convert.version_to_proto)
            )

        return await self._database.read(job)

    async def SetAlias(self, request: pb.SetAliasRequest, context: Any) -> pb.SetAliasResponse:
        """Make an alias name a version."""
        expected, actor = _expected(request), _actor(request.user_id)

        def job(tx: Transaction) -> pb.SetAliasResponse:
            registry.set_alias(tx, actor, request.name, request.alias, request.version, expected=expected)
            return pb.SetAliasResponse()

        return await mutate(self._database, request, pb.SetAliasResponse, job)

    async def DeleteAlias(self, request: pb.DeleteAliasRequest, context: Any) -> pb.DeleteAliasResponse:
        """Remove an alias."""
        expected, actor = _expected(request), _actor(request.user_id)

        def job(tx: Transaction) -> pb.DeleteAliasResponse:
            registry.delete_alias(tx, actor, request.name, request.alias, expected=expected)
            return pb.DeleteAliasResponse()

        return await mutate(self._database, request, pb.DeleteAliasResponse, job)

    def WatchRegisteredModel(
        self, request: pb.WatchRegisteredModelRequest, context: Any
    ) -> AsyncIterator[pb.WatchRegisteredModelResponse]:
        """Stream a registered model and the changes of it, its versions and aliases."""
        watched = ("WatchRegisteredModel", request.name)
        wanted = wanted_from_proto(request.types, check_alias(request.alias) if request.alias else "")

        def begin(tx: Transaction) -> Begun:
            if request.cursor:
                return resume_watch(tx, watched, request.cursor), {}
            model = registry.get_registered_model(tx, request.name)
            start = begin_watch(tx, watched, Scope.registered_model(model.number))
            return start, {"registered_model": convert.registered_model_to_proto(model)}

        return self._watches.send(begin, pb.WatchRegisteredModelResponse, wanted)

    async def CopyModelVersion(self, request: pb.CopyModelVersionRequest, context: Any) -> pb.CopyModelVersionResponse:
        """Register what another version pins."""
        actor = _actor(request.user_id)

        def job(tx: Transaction) -> pb.CopyModelVersionResponse:
            copied = copy_version(tx, actor, request.source, request.name)
            return pb.CopyModelVersionResponse(model_version=convert.version_to_proto(copied))

        return await mutate(self._database, request, pb.CopyModelVersionResponse, job)

    async def PromoteModelVersion(
        self, request: pb.PromoteModelVersionRequest, context: Any
    ) -> pb.PromoteModelVersionResponse:
        """Move aliases to a version and change it."""
        wanted = Promotion(
            name=request.name,
            version=request.version,
            moved=_alias_changes(request.aliases, "aliases"),
            removed=_alias_changes(request.removed_aliases, "removed_aliases"),
            changes=_version_changes(request),
        )
        actor = _actor(request.user_id)

        def job(tx: Transaction) -> pb.PromoteModelVersionResponse:
            return pb.PromoteModelVersionResponse(model_version=convert.version_to_proto(promote(tx, actor, wanted)))

        return await mutate(self._database, request, pb.PromoteModelVersionResponse, job)

    async def ListRegistryHistory(
        self, request: pb.ListRegistryHistoryRequest, context: Any
    ) -> pb.ListRegistryHistoryResponse:
        """Page through all changes, newest first."""
        name = check_registered_model_name(request.name)
        version = check_version(request.version) if request.version else 0
        limit = page_limit(request.page_size, default=100, maximum=1_000)
        bound = ("ListRegistryHistory", name, version)

        def job(tx: Transaction) -> pb.ListRegistryHistoryResponse:
            after = open_token(tx.page_token_key, bound, request.page_token) if request.page_token else None
            response = pb.ListRegistryHistoryResponse()
            found = walk_history(tx, name, version, after, limit + 1)
            last = fill_page(response.changes, found, copying(change_to_proto), limit=limit)
            if last is not None:
                response.next_page_token = seal_token(tx.page_token_key, bound, last)
            return response

        return await self._database.read(job)


def _actor(user_id: str) -> Actor:
    return Actor(current_caller().principal, user_id)


def _expected(request: pb.SetAliasRequest | pb.DeleteAliasRequest | pb.AliasChange) -> int | None:
    if not request.HasField("expected_version"):
        return None
    if request.expected_version:  # 0: no version
        check_version(request.expected_version, field="expected_version")
    return request.expected_version


def _alias_changes(changes: Collection[pb.AliasChange], field: str) -> tuple[AliasChange, ...]:
    check_count(len(changes), MAX_ALIASES_PER_REQUEST, what="aliases", field=field)
    return tuple(AliasChange(change.alias, _expected(change)) for change in changes)


def _version_changes(request: pb.UpdateModelVersionRequest | pb.PromoteModelVersionRequest) -> registry.VersionChanges:
    return registry.VersionChanges(
        description=request.description if request.HasField("description") else None,
        stage=convert.stage_from_proto(request.stage),
        archive_existing=request.archive_existing_versions,
        tags=TagChanges.parse(tag_pairs(request.tags), request.deleted_tag_keys, TagLimit.MODEL),
    )


def _select_version(tx: Transaction, request: pb.GetModelVersionRequest) -> ModelVersion:
    selector = request.WhichOneof("selector")
    if selector == "version":
        return registry.get_version(tx, request.name, request.version)
    if selector == "alias":
        return registry.get_version_by_alias(tx, request.name, request.alias)
    if selector == "latest" and request.latest:
        return registry.get_latest_version(tx, request.name)
    if selector == "latest_in_stage":
        stage = convert.stage_from_proto(request.latest_in_stage, field="latest_in_stage")
        if stage is not None:
            return registry.get_latest_version(tx, request.name, stage)
    raise InvalidArgument(
        "Say which version: set version, alias, latest (to true) or latest_in_stage.", field="selector"
    )
