"""Changes of runs that are made now, or held in the journal when the server is away."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from holdfast._background import Uploads
from holdfast._calls import Calls, build
from holdfast._journal.columns import log_batch
from holdfast._journal.limits import check_limits
from holdfast._journal.named import experiment_id_of, is_named, named
from holdfast._journal.processes import unsent, warn_of_unsent
from holdfast._journal.sender import AWAY, Sender
from holdfast.entities import Experiment
from holdfast.errors import HoldfastError, UnauthenticatedError, UnavailableError
from holdfast.v1 import experiment_pb2, run_pb2
from holdfast.v1 import run_service_pb2 as messages
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

# Seconds that a change waits for a server that is away before it goes to the journal, and for one that does not answer.
PATIENCE = 2.0
ANSWER_SECONDS = 15.0
# What a token that was good when a run began may be refused for. That does not stop a training, as an outage does not:
# what it logs waits for a good one.
_LAPSED = {"TOKEN_EXPIRED", "TOKEN_REVOKED"}


class KeptCalls(Calls):
    """Base of calls that a server which is away does not fail.

    Attributes:
        strict: Whether they fail all the same.
    """

    strict: bool
    _sender: Sender

    def _keep(self, method: str, request: Any) -> Any:
        """Make a change of a run, or hold it in the journal while the server is away.

        Args:
            method: Of the run service.
            request: Gets its request id here, so that however often it is sent it happens once.

        Returns:
            The answer; None when there is none yet.

        Raises:
            HoldfastError: As the server says.
            UnavailableError: It is away, and the client is strict.
            UnauthenticatedError: The token is not good, and not because it was and is not any more.
            InvalidArgumentError: LIMIT_EXCEEDED, also while the server is away.
        """
        request.request_id = secrets.token_hex(16)
        if method == "LogBatch" and (request.metrics or request.metric_columns.values):
            # A request id is kept for seven days, a stream's positions for ever.
            request.writer_id = request.request_id
        if self.strict or self._channel.target.data_dir is not None:
            # An embedded server is started when it is needed. Why that cannot be done is not to be learned later.
            return self._make(method, request)
        self._channel.refuse_if_closed()
        if self._has_to_wait or _is_of_unknown_experiment(request):
            self._hold(method, request)
            return None
        try:
            return self._make(method, request, timeout=ANSWER_SECONDS, patience=PATIENCE)
        except (*AWAY, UnauthenticatedError) as error:
            if isinstance(error, UnauthenticatedError) and (method == "CreateRun" or error.reason not in _LAPSED):
                raise
            self._hold(method, request, error)
            return None

    def _hold(self, method: str, request: Any, error: HoldfastError | None = None) -> None:
        check_limits(method, request)
        self._sender.hold_change(method, request.SerializeToString(), error)

    def _make(self, method: str, request: Any, **limits: float) -> Any:
        call = getattr(self._channel.stub(RunServiceStub), method)
        if method == "LogBatch":
            return log_batch(self._channel, request, lambda batch: self._channel.call(call, batch, **limits))
        return self._channel.call(call, request, **limits)

    @property
    def _has_to_wait(self) -> bool:
        """Whether what is logged now goes to the journal, behind what waits there for a server that is away."""
        return not self.strict and (self._sender.is_away or self._sender.holds_changes)

    def _without_id(self, name: str, error: HoldfastError) -> Experiment:
        """An experiment to begin runs in whose id the server could not say; the first of them finds or creates it."""
        self._sender.note_outage(error)
        return Experiment(experiment_id=named(name), name=name)

    def _with_id(self, experiment_id: str) -> str:
        """The id of an experiment that was chosen by name while the server was away, if it is back.

        Raises:
            UnavailableError: It is not, and the client is strict.
        """
        if not is_named(experiment_id) or (self._sender.is_away and not self.strict):
            return experiment_id
        try:
            return experiment_id_of(self._channel, experiment_id, patience=PATIENCE)
        except UnavailableError as error:
            if self.strict:
                raise
            self._sender.note_outage(error)
            return experiment_id

    def _log(
        self,
        run_id: str,
        *,
        metrics: Iterable[run_pb2.Metric] = (),
        params: Iterable[run_pb2.Param] = (),
        tags: Iterable[experiment_pb2.Tag] = (),
    ) -> None:
        self._keep(
            "LogBatch", build(messages.LogBatchRequest, run_id=run_id, metrics=metrics, params=params, tags=tags)
        )

    def _tell_unsent(self, uploads: Uploads) -> None:
        """Say what remains of what was logged.

        Raises:
            UnsentError: Something does, and the client is strict.
        """
        if not self.strict:
            warn_of_unsent(self._sender, uploads)
            return
        failure = unsent(self._sender, uploads)
        if failure is not None:
            raise failure


def _is_of_unknown_experiment(request: Any) -> bool:
    """Whether only the sender can say what the id of its experiment is, once the server is back."""
    return isinstance(request, messages.CreateRunRequest) and is_named(request.experiment_id)
