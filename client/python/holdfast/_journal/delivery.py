"""Sends what a journal holds, so that it arrives once however often it is sent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from holdfast._channel import Channel
from holdfast._journal.columns import as_taken, passed_over
from holdfast._journal.named import experiment_id_of, is_named
from holdfast._journal.reading import Outgoing
from holdfast.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    HoldfastError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnimplementedError,
)
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

logger = logging.getLogger(__name__)

# Seconds for the server to answer. It may be busy; whatever is sent may be sent again.
ANSWER_SECONDS = 30.0

# Sending the same again would end the same way, until somebody changes something at the server.
REFUSALS = (
    NotFoundError,
    FailedPreconditionError,
    InvalidArgumentError,
    AlreadyExistsError,
    PermissionDeniedError,
)
# These may be this request's, whose repetitions end the same way, or pass: a defect, a proxy that says so of all
# requests while its server is being replaced. So a request is sent this often before others pass it by.
PERHAPS_REFUSALS = (InternalError, UnimplementedError, PermissionDeniedError)
ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class _Continuation:
    """A stream that goes on under another name, since the server lacks what came before."""

    writer_id: str
    start: int


@dataclass(slots=True)
class Delivery:
    """Sends requests one after the other.

    What its methods raise is no refusal: the same request may be sent again.

    Attributes:
        channel: The connection.
        on_refusal: Is told what the server refused for good, and why.
        attempts: How often a request is sent that fails for what may be its own fault or not.
    """

    channel: Channel
    on_refusal: Callable[[Outgoing, HoldfastError], None]
    attempts: int = ATTEMPTS
    _failing: tuple[object, ...] = ()
    _failures: int = 0
    _continued: dict[str, _Continuation] = field(default_factory=dict)

    def begin(self, outgoing: Outgoing) -> Callable[[], None]:
        """Send a request once, and return what waits for its answer."""
        self._prepare(outgoing)
        if _is_of_named(outgoing):
            return lambda: self.send(outgoing, patience=0)
        try:
            future = self._method(outgoing).future(outgoing.request, timeout=ANSWER_SECONDS)
        except ValueError:
            # The connection was closed or replaced at this moment; a call finds out which.
            return lambda: self.send(outgoing, patience=0)
        return lambda: self._receive(outgoing, future.result, patience=0)

    def send(self, outgoing: Outgoing, *, patience: float | None = None) -> None:
        """Send a request and wait for its answer.

        Args:
            outgoing: The request.
            patience: Seconds to try again while the server is away; None for a client's usual ones.
        """
        self._prepare(outgoing)

        def answer() -> Any:
            request = outgoing.request
            if _is_of_named(outgoing):
                request.experiment_id = experiment_id_of(self.channel, request.experiment_id, patience=patience)
            return self._method(outgoing)(request, timeout=ANSWER_SECONDS)

        self._receive(outgoing, answer, patience=patience)

    def _receive(self, outgoing: Outgoing, answer: Callable[[], Any], *, patience: float | None) -> None:
        try:
            response = self.channel.run(answer, patience=patience)
            if outgoing.method == "LogBatch":
                rest = passed_over(self.channel, outgoing.request, response)
                if rest is not None:
                    outgoing.request = rest
                    self.send(outgoing, patience=patience)
        except ConflictError as error:
            if self._goes_on(outgoing, error):
                self.send(outgoing, patience=patience)
            else:
                self.on_refusal(outgoing, error)
        except (*REFUSALS, *PERHAPS_REFUSALS) as error:
            if self.channel.closed or not self._is_final(outgoing, error):
                raise
            # A tag to remove that is not there was removed by an earlier attempt.
            if error.reason != "TAG_NOT_FOUND":
                self.on_refusal(outgoing, error)

    def _is_final(self, outgoing: Outgoing, error: HoldfastError) -> bool:
        """Whether to send the same again is of no use; a proxy's refusal, which has no reason, may pass."""
        if not isinstance(error, PERHAPS_REFUSALS) or (isinstance(error, REFUSALS) and error.reason):
            return True
        # A batch may have more points when it is read again; where it begins stays.
        names = ("run_id", "request_id", "writer_id", "writer_sequence")
        request = (outgoing.method, *(getattr(outgoing.request, name, None) for name in names))
        self._failures = self._failures + 1 if request == self._failing else 1
        self._failing = request
        return self._failures >= self.attempts

    def _method(self, outgoing: Outgoing) -> Any:
        return getattr(self.channel.stub(RunServiceStub), outgoing.method)

    def _prepare(self, outgoing: Outgoing) -> None:
        """Name the stream as it is called since a gap, and put its points as the server takes them."""
        if outgoing.method == "LogBatch":
            outgoing.request = as_taken(self.channel, outgoing.request)
        request = outgoing.request
        found = self._continued.get(getattr(request, "writer_id", ""))
        if found is not None and request.writer_sequence >= found.start:
            request.writer_id, request.writer_sequence = found.writer_id, request.writer_sequence - found.start

    def _goes_on(self, outgoing: Outgoing, error: ConflictError) -> bool:
        """Let a stream go on under a name that follows from the gap, so that every attempt finds the same one."""
        request = outgoing.request
        if "next_writer_sequence" not in error.metadata or not request.writer_sequence:
            return False
        logger.warning(
            "Points %s to %d of what stream %s logged for run %s did not arrive at %s; those after them are sent.",
            error.metadata["next_writer_sequence"],
            request.writer_sequence - 1,
            request.writer_id,
            request.run_id,
            self.channel.target.uri,
        )
        start = request.writer_sequence
        self._continued[request.writer_id] = _Continuation(f"{request.writer_id}+{start}", start)
        return True


def _is_of_named(outgoing: Outgoing) -> bool:
    """Whether it begins a run in an experiment whose id is not known yet."""
    return outgoing.method == "CreateRun" and is_named(outgoing.request.experiment_id)
