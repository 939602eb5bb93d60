"""ArtifactService over gRPC: parse, call, convert."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version
from typing import Any

from holdfast.format.digests import BLOCK_SIZE, DIGEST_SIZE, block_count
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import artifact_service_pb2_grpc as service_grpc
from holdfast_server.domain.artifacts import MAX_INLINE, NewEntry, Owner
from holdfast_server.domain.names import check_count, check_request_id
from holdfast_server.domain.paths import check_path
from holdfast_server.errors import Conflict, InvalidArgument
from holdfast_server.rpc.byte_budget import ByteBudget, Share
from holdfast_server.rpc.commit_stream import CommitStream
from holdfast_server.rpc.convert import artifacts as convert
from holdfast_server.rpc.downloads import FileSender
from holdfast_server.rpc.inline_data import InlineData
from holdfast_server.rpc.interceptor import raw_requests, raw_responses
from holdfast_server.rpc.mutations import mutate, request_key
from holdfast_server.rpc.page_tokens import (
    decode_path_token,
    decode_position_token,
    encode_path_token,
    invalid_page_token,
)
from holdfast_server.rpc.paging import page_limit
from holdfast_server.rpc.uploads import BlockReceiver
from holdfast_server.services.artifact_uris import resolve_model
from holdfast_server.services.artifacts import ArtifactService
from holdfast_server.services.callers import current_caller
from holdfast_server.services.commits import BlocksMissing, InlineEntry, delete_files
from holdfast_server.services.ports.database import Database
from holdfast_server.services.ports.spool import Spool
from holdfast_server.services.workers import check_entry

MAX_DIGESTS = 16_384
MAX_REMOVED = 1_000
MAX_FILE_BLOCKS = 65_536  # in a page: 2.2 MB
READ_PAGE = 1_000
PAGE_BYTES = 2 << 20


class ArtifactServicer(service_grpc.ArtifactServiceServicer):
    """Implements ``holdfast.v1.ArtifactService``."""

    def __init__(
        self,
        database: Database,
        service: ArtifactService,
        spool: Spool,
        small_writes: ByteBudget,
        *,
        uploads: ByteBudget,
        downloads: ByteBudget,
        max_message: int,
        authenticates: bool = False,
    ) -> None:
        self._authenticates = authenticates
        self._database, self._service, self._max_message = database, service, max_message
        self._receiver = BlockReceiver(service, uploads, spool)
        self._sender = FileSender(service, downloads)
        self._small_writes = small_writes

    async def GetCapabilities(self, request: pb.GetCapabilitiesRequest, context: Any) -> pb.GetCapabilitiesResponse:
        """Answer what the server is."""
        return pb.GetCapabilitiesResponse(
            server_version=version("holdfast"),
            block_size=BLOCK_SIZE,
            max_inline_size=MAX_INLINE,
            max_message_size=self._max_message,
            max_digests=MAX_DIGESTS,
            store_id=await self._database.read(lambda tx: tx.store_id),
            authentication_enabled=self._authenticates,
            principal=current_caller().principal,
        )

    async def FindMissingBlocks(
        self, request: pb.FindMissingBlocksRequest, context: Any
    ) -> pb.FindMissingBlocksResponse:
        """Answer which blocks must be written."""
        check_count(len(request.digests), MAX_DIGESTS, what="digests", field="digests")
        if any(len(digest) != DIGEST_SIZE for digest in request.digests):
            raise InvalidArgument(f"A digest has {DIGEST_SIZE} bytes.", field="digests")
        missing = await self._service.find_missing_blocks(list(request.digests))
        return pb.FindMissingBlocksResponse(missing_digests=missing)

    @raw_requests
    async def WriteBlocks(self, request: AsyncIterator[bytes], context: Any) -> AsyncIterator[pb.WriteBlocksResponse]:
        """Store blocks and answer each."""
        async with contextlib.aclosing(self._receiver.receive(request)) as responses:  # type: ignore[type-var]
            async for response in responses:
                yield response

    async def CommitFiles(self, request: AsyncIterator[pb.CommitFilesRequest], context: Any) -> pb.CommitFilesResponse:
        """Make entries visible at once, or answer which blocks are missing."""
        stream = CommitStream(request)
        header = await stream.read_header()
        owner = convert.owner_from_proto(header.owner)
        if header.request_id:
            check_request_id(header.request_id)
        commit = self._service.begin_commit(owner)
        inline = InlineData(Share(self._small_writes), commit)
        try:
            async for entries in stream.read_entries(inline.give_way):
                _check_worker(entries, owner)
                await inline.add(entries)
            commit.key = request_key(header.request_id, pb.CommitFilesResponse, stream.payload)
            sequence = await commit.finish()
        except BlocksMissing as missing:
            await commit.abandon()
            return pb.CommitFilesResponse(missing=pb.MissingBlocks(digests=missing.digests))
        except BaseException:
            await commit.abandon()
            raise
        finally:
            inline.close()
        if header.return_tree_digest and current_caller().worker is None:  # which would tell what else is there
            tree = convert.tree_to_proto(await self._service.get_tree(owner, sequence))
        else:
            tree = artifact_pb.Tree(owner=header.owner, sequence=sequence)
        return pb.CommitFilesResponse(committed=tree)

    async def GetTree(self, request: pb.GetTreeRequest, context: Any) -> pb.GetTreeResponse:
        """Describe a snapshot."""
        tree = await self._service.get_tree(convert.owner_from_proto(request.owner), _sequence(request))
        return pb.GetTreeResponse(tree=convert.tree_to_proto(tree))

    async def ListFiles(self, request: pb.ListFilesRequest, context: Any) -> pb.ListFilesResponse:
        """Page through a snapshot."""
        owner, path = convert.owner_from_proto(request.owner), _path(request.path)
        limit = page_limit(request.page_size, default=1_000, maximum=10_000)
        query = f"{owner.id}\0{path}\0{request.recursive}"
        sequence, after = _sequence(request), ""
        if request.page_token:
            sequence, after = decode_path_token(request.page_token, query)
        at, entries = await self._service.list_entries(
            owner, sequence, path, recursive=request.recursive, after=after, limit=limit
        )
        response, size = pb.ListFilesResponse(sequence=at), 0
        for entry in entries:
            message = convert.entry_to_proto(entry)
            size += message.ByteSize()
            if size > PAGE_BYTES:
                break
            response.entries.append(message)
        if len(response.entries) < len(entries) or len(entries) == limit:
            response.next_page_token = encode_path_token(at, response.entries[-1].path, query)
        return response

    async def ResolveArtifact(self, request: pb.ResolveArtifactRequest, context: Any) -> pb.ResolveArtifactResponse:
        """Find the trees that a URI names."""
        resolution = await self._database.read(lambda tx: resolve_model(tx, request.uri))
        return convert.resolution_to_proto(resolution)

    @raw_responses
    async def ReadFile(self, request: pb.ReadFileRequest, context: Any) -> AsyncIterator[bytes]:
        """Stream a file or a range of it."""
        entry = await self._service.get_file(
            convert.owner_from_proto(request.owner), _sequence(request), _path(request.path)
        )
        if request.expected_digest and convert.digest_from_proto(request, "expected_digest") != entry.digest:
            raise Conflict(
                "The file has another digest than expected: it was replaced. Read it anew from the beginning."
            )
        if not 0 <= request.offset <= entry.size:
            raise InvalidArgument(f"The file has {entry.size} bytes; an offset is between 0 and that.", field="offset")
        if request.limit < 0:
            raise InvalidArgument(f"A limit is 0, which means to the end, or more; not {request.limit}.", field="limit")
        end = min(entry.size, request.offset + request.limit) if request.limit else entry.size
        first, last = request.offset // BLOCK_SIZE, block_count(end)
        header = pb.ReadFileHeader(
            entry=convert.entry_to_proto(entry),
            start_offset=min(first * BLOCK_SIZE, entry.size),
            end_offset=min(last * BLOCK_SIZE, entry.size),
        )
        yield pb.ReadFileResponse(header=header).SerializeToString()
        async with contextlib.aclosing(self._sender.send_range(entry, first, last)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk

    async def ReadFiles(self, request: pb.ReadFilesRequest, context: Any) -> AsyncIterator[pb.ReadFilesResponse]:
        """Stream all files at or below a path."""
        owner, path = convert.owner_from_proto(request.owner), _path(request.path)
        after = _path(request.start_after, field="start_after")
        if request.max_data_size < 0:
            raise InvalidArgument(f"A size is 0 or more, not {request.max_data_size}.", field="max_data_size")
        sequence, max_data_size = _sequence(request), min(request.max_data_size, 2 * BLOCK_SIZE)
        while True:
            sequence, entries = await self._service.list_entries(
                owner, sequence, path, recursive=True, after=after, limit=READ_PAGE
            )
            async with contextlib.aclosing(self._sender.send_files(entries, max_data_size)) as messages:  # type: ignore[type-var]
                async for message in messages:
                    message.sequence = sequence
                    yield message
            if len(entries) < READ_PAGE:
                return
            after = entries[-1].path

    async def ListFileBlocks(self, request: pb.ListFileBlocksRequest, context: Any) -> pb.ListFileBlocksResponse:
        """Page through the blocks of a file."""
        owner, path = convert.owner_from_proto(request.owner), _path(request.path)
        limit = page_limit(request.page_size, default=16_384, maximum=MAX_FILE_BLOCKS)
        query, sequence, first = f"{owner.id}\0{path}\0blocks", _sequence(request), 0
        if request.page_token:
            sequence, first = decode_position_token(request.page_token, query)
        at, entry = await self._service.get_snapshot_file(owner, sequence, path)
        if first > block_count(entry.size):
            raise invalid_page_token()
        last = min(block_count(entry.size), first + limit)
        digests = [block.digest async for block in self._service.list_blocks(entry, first, last)]
        more = encode_path_token(at, str(last), query) if last < block_count(entry.size) else ""
        return pb.ListFileBlocksResponse(
            entry=convert.entry_to_proto(entry), block_digests=digests, next_page_token=more, sequence=at
        )

    async def DeleteFiles(self, request: pb.DeleteFilesRequest, context: Any) -> pb.DeleteFilesResponse:
        """Remove files by a commit."""
        owner = convert.owner_from_proto(request.owner)
        if not check_count(len(request.paths), MAX_REMOVED, what="paths", field="paths"):
            raise InvalidArgument("Name at least one path to remove; an empty one is everything.", field="paths")
        everything = list(request.paths) == [""]
        paths = [""] if everything else [check_path(path, field="paths") for path in request.paths]
        return await mutate(
            self._database,
            request,
            pb.DeleteFilesResponse,
            lambda tx: pb.DeleteFilesResponse(tree=convert.tree_to_proto(delete_files(tx, owner, paths))),
        )


def _check_worker(entries: Sequence[NewEntry | InlineEntry], owner: Owner) -> None:
    for entry in entries:
        check_entry(entry.entry if isinstance(entry, InlineEntry) else entry, in_run=not owner.is_model)


def _sequence(request: Any) -> int | None:
    return request.sequence if request.HasField("sequence") else None


def _path(path: str, *, field: str = "path") -> str:
    return check_path(path, field=field) if path else ""
