"""Asks which blocks the server lacks, some windows ahead of those that are sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import grpc

from holdfast._channel import CALL_TIMEOUT, Channel
from holdfast._transfer.following import END_SECONDS, LOOK_SECONDS, answer_of
from holdfast._transfer.hashing import HashedBlock
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

# Blocks whose presence is asked for together, and how many such windows are asked for ahead: over a slow network the
# answers come while earlier windows are sent. In memory are these, what is hashed ahead and what is unanswered.
WINDOW_BYTES = 8 << 20
WINDOW_BLOCKS = 512
# Fewer at first, so that something is sent soon.
FIRST_WINDOW_BLOCKS = 256
ASK_AHEAD = 1
MAX_DIGESTS = 16_384

Window = list[HashedBlock]


def find_missing(channel: Channel, digests: list[bytes]) -> list[bytes]:
    """Those of ``digests`` that the server lacks."""
    method = channel.stub(ArtifactServiceStub).FindMissingBlocks
    missing: list[bytes] = []
    for start in range(0, len(digests), MAX_DIGESTS):
        request = pb.FindMissingBlocksRequest(digests=digests[start : start + MAX_DIGESTS])
        missing.extend(answer_of(channel, partial(method.future, request, timeout=CALL_TIMEOUT)).missing_digests)
    return missing


class MissingBlocks:
    """Windows of blocks, each with the digests of those that the server lacks.

    Iterate it once, in any thread, and close it, in any thread.

    Args:
        channel: The server.
        batches: The blocks; those without data, of empty files, are never missing.
        recover: Asks again when the connection broke; None: the gRPC error is for the caller, who begins anew.
    """

    def __init__(
        self,
        channel: Channel,
        batches: Iterable[list[HashedBlock]],
        *,
        recover: Callable[[list[bytes]], list[bytes]] | None = None,
    ) -> None:
        self._channel, self._method = channel, channel.stub(ArtifactServiceStub).FindMissingBlocks
        self._batches, self._recover = batches, recover
        self._asked: deque[tuple[Window, list[bytes], Future[Any]]] = deque()
        # Calls are begun and waited for in threads, where Ctrl-C does not fall upon them (see ``following``).
        self._pool = ThreadPoolExecutor(ASK_AHEAD + 1, thread_name_prefix="holdfast-ask")
        self._calls: set[Any] = set()
        self._closed = False

    def __iter__(self) -> Iterator[tuple[Window, set[bytes]]]:
        """The windows in order."""
        for window in _windows(self._batches):
            self._ask(window)
            if len(self._asked) > ASK_AHEAD:
                yield self._answer()
        while self._asked:
            yield self._answer()

    def close(self) -> None:
        """Ask no more; who waits for an answer gets ``grpc.FutureCancelledError``."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for call in list(self._calls):
            call.cancel()
        wait([asked for _, _, asked in list(self._asked) if not asked.cancelled()], END_SECONDS)

    def _ask(self, window: Window) -> None:
        digests = list({block.digest for block in window if block.data})
        request = pb.FindMissingBlocksRequest(digests=digests)
        self._asked.append((window, digests, self._pool.submit(self._call, request)))

    def _call(self, request: pb.FindMissingBlocksRequest) -> pb.FindMissingBlocksResponse:
        call = self._method.future(request, timeout=CALL_TIMEOUT)
        self._calls.add(call)
        if self._closed:
            call.cancel()
        try:
            response: pb.FindMissingBlocksResponse = call.result()
        finally:
            self._calls.discard(call)
        self._channel.note_answer()
        return response

    def _answer(self) -> tuple[Window, set[bytes]]:
        window, digests, asked = self._asked[0]
        while wait([asked], LOOK_SECONDS).not_done:
            pass
        self._asked.popleft()
        try:
            missing = asked.result().missing_digests
        except grpc.RpcError:
            if self._recover is None:
                raise
            missing = self._recover(digests)
        return window, set(missing)


def _windows(batches: Iterable[list[HashedBlock]]) -> Iterator[Window]:
    window: Window = []
    size, limit = 0, FIRST_WINDOW_BLOCKS
    for batch in batches:
        window = window + batch
        size += sum(len(block.data) for block in batch)
        if size >= WINDOW_BYTES or len(window) >= limit:
            yield window
            window, size, limit = [], 0, WINDOW_BLOCKS
    if window:
        yield window
