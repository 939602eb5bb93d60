"""Searches for runs: a page, or all of them part by part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from holdfast.v1 import run_pb2
from holdfast.v1 import run_service_pb2 as pb
from holdfast_server.domain.run import RunData, RunInfo
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.experiments import experiment_ids_from_proto, view_from_proto
from holdfast_server.rpc.convert.run_columns import write_columns
from holdfast_server.rpc.convert.runs import write_run, write_run_info, write_run_links
from holdfast_server.rpc.paging import drop_largest_lists, fill_page, page_limit
from holdfast_server.rpc.searching import PageRequest, read_page
from holdfast_server.services.access import current_viewer
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.services.search import fields
from holdfast_server.services.search.filter import parse_filter
from holdfast_server.services.search.mask import RUN_LISTS, parse_mask
from holdfast_server.services.search.order import parse_order_by
from holdfast_server.services.search.page_token import open_token, seal_token
from holdfast_server.services.search.query import Found, SearchQuery
from holdfast_server.services.search.walk import walk_found_runs, walk_runs

# Runs looked for at a time while all of them are sent.
PART = 1_000
# Of a message of a stream: the peer works on one while the next is made.
MESSAGE_BUDGET = 1 << 20
_drop_lists = drop_largest_lists(*RUN_LISTS)


async def search_runs(database: Database, request: pb.SearchRunsRequest) -> pb.SearchRunsResponse:
    """Find a page of runs."""
    limit = page_limit(request.page_size, default=1_000, maximum=50_000)
    page = PageRequest("SearchRuns", _query(request), request.page_token, limit)
    mask = parse_mask(request.fields, RUN_LISTS)

    def job(tx: Transaction) -> pb.SearchRunsResponse:
        response = pb.SearchRunsResponse()
        found = partial(walk_runs, tx, mask)
        write = _write_columns if request.in_columns else _write
        return read_page(tx, page, found, response, items=response.runs, write=write, shrink=_shrink)

    return await database.read(job)


async def stream_runs(database: Database, request: pb.StreamRunsRequest) -> AsyncIterator[pb.StreamRunsResponse]:
    """Find all runs.

    A search may sort all that match, so there is one for each part, which is sent in messages. Every search and every
    message is read by itself, so that a slow peer holds nothing of the database; what waits of a part meanwhile are
    runs without what they logged.
    """
    query, mask = replace(_query(request), visible_to=current_viewer()), parse_mask(request.fields, RUN_LISTS)
    write = _write_columns if request.in_columns else _write
    bound = ("StreamRuns", query)
    token, more = request.resume_token, True

    def find(tx: Transaction) -> list[Found[RunInfo]]:
        after = open_token(tx.page_token_key, bound, token, field="resume_token") if token else None
        return tx.runs.search(query, after, PART)

    def fill(tx: Transaction) -> tuple[pb.StreamRunsResponse, list[Found[RunInfo]]]:
        response = pb.StreamRunsResponse()
        runs = walk_found_runs(tx, mask, query, part)
        last = fill_page(response.runs, runs, write, limit=PART, shrink=_shrink, budget=MESSAGE_BUDGET)
        # Not the number of runs in the message: some may match no more.
        done = len(part) if last is None else [one.position for one in part].index(last) + 1
        response.resume_token = seal_token(tx.page_token_key, bound, part[done - 1].position)
        return response, part[done:]

    while more:
        part = await database.read(find)
        more = len(part) == PART
        while part:
            response, part = await database.read(fill)
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


def _write(message: run_pb2.Run, run: tuple[RunInfo, RunData]) -> None:
    write_run(message, *run)


def _write_columns(message: run_pb2.Run, run: tuple[RunInfo, RunData]) -> None:
    info, data = run
    write_run_info(message, info)
    write_run_links(message, data)
    write_columns(message.columns, data)


def _shrink(message: run_pb2.Run) -> None:
    message.ClearField("columns")
    _drop_lists(message)
