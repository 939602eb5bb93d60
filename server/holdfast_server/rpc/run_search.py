"""Searches for runs: a page, or all of them part by part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from holdfast.v1 import run_pb2
from holdfast.v1 import run_service_pb2 as pb
from holdfast_server.domain.run import RunData, RunInfo
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.experiments import experiment_ids_from_proto, view_from_proto
from holdfast_server.rpc.convert.runs import run_to_proto
from holdfast_server.rpc.paging import drop_largest_lists, page_limit
from holdfast_server.rpc.searching import PageRequest, read_page, read_part
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.services.search import fields
from holdfast_server.services.search.filter import parse_filter
from holdfast_server.services.search.mask import RUN_LISTS, parse_mask
from holdfast_server.services.search.order import parse_order_by
from holdfast_server.services.search.query import SearchQuery
from holdfast_server.services.search.walk import walk_runs

# Runs looked for at a time while all of them are sent.
PART = 1_000
_shrink = drop_largest_lists(*RUN_LISTS)


async def search_runs(database: Database, request: pb.SearchRunsRequest) -> pb.SearchRunsResponse:
    """Find a page of runs."""
    limit = page_limit(request.page_size, default=1_000, maximum=50_000)
    page = PageRequest("SearchRuns", _query(request), request.page_token, limit)
    mask = parse_mask(request.fields, RUN_LISTS)

    def job(tx: Transaction) -> pb.SearchRunsResponse:
        response = pb.SearchRunsResponse()
        found = partial(walk_runs, tx, mask)
        return read_page(tx, page, found, response, items=response.runs, convert=_to_proto, shrink=_shrink)

    return await database.read(job)


async def stream_runs(database: Database, request: pb.StreamRunsRequest) -> AsyncIterator[pb.StreamRunsResponse]:
    """Find all runs. Each part is read by itself, so that a slow peer holds nothing of the database."""
    query, mask = _query(request), parse_mask(request.fields, RUN_LISTS)
    token, more = request.resume_token, True

    def job(tx: Transaction) -> tuple[pb.StreamRunsResponse, bool]:
        response = pb.StreamRunsResponse()
        part = PageRequest("StreamRuns", query, token, PART)
        found = partial(walk_runs, tx, mask)
        more = read_part(tx, part, found, response, items=response.runs, convert=_to_proto, shrink=_shrink)
        return response, more

    while more:
        response, more = await database.read(job)
        token = response.resume_token
        if response.runs:
            yield response


def _query(request: pb.SearchRunsRequest | pb.StreamRunsRequest) -> SearchQuery:
    if bool(request.experiment_ids) == request.all_experiments:
        raise InvalidArgument(
            "Name at least one experiment to search in, or set all_experiments and name none.", field="experiment_ids"
        )
    return SearchQuery(
        conditions=parse_filter(request.filter, fields.RUNS),
        order=parse_order_by(request.order_by, fields.RUNS),
        view=view_from_proto(request.view_type),
        experiment_ids=experiment_ids_from_proto(request.experiment_ids),
        active_experiments=request.all_experiments,
    )


def _to_proto(run: tuple[RunInfo, RunData]) -> run_pb2.Run:
    return run_to_proto(*run)
