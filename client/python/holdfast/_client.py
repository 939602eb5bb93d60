"""The client: every call of the service as a method, without global state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from holdfast import _open_files
from holdfast._access import AccessCalls
from holdfast._archives import ArchiveCalls
from holdfast._artifacts import ArtifactCalls
from holdfast._audit import AuditCalls
from holdfast._background import NO_UPLOADS, Background
from holdfast._channel import Channel
from holdfast._checks import check_seconds
from holdfast._config import Target, is_strict, parse_target
from holdfast._experiments import ExperimentCalls
from holdfast._flushing import flush_client
from holdfast._journal.processes import END_SECONDS, hold_sender, release_sender
from holdfast._journal.sender import Sender
from holdfast._live_artifacts import LiveArtifactCalls
from holdfast._logged_models import LoggedModelCalls
from holdfast._metric_calls import MetricCalls
from holdfast._patience import RetryPolicy
from holdfast._promotion import PromotionCalls
from holdfast._run_calls import RunCalls
from holdfast._storage import StorageCalls
from holdfast._syncs import SyncCalls
from holdfast._watch_calls import WatchCalls

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class Client(
    ExperimentCalls,
    RunCalls,
    MetricCalls,
    LoggedModelCalls,
    PromotionCalls,
    ArtifactCalls,
    LiveArtifactCalls,
    StorageCalls,
    WatchCalls,
    ArchiveCalls,
    SyncCalls,
    AccessCalls,
    AuditCalls,
):
    """A client of one server, for any number of threads; a forked process opens a connection of its own.

    Method names and arguments are those of MLflow's ``MlflowClient``.

    Args:
        tracking_uri: As ``holdfast.connect`` takes it; None for ``HOLDFAST_URI``, or the server of ``./.holdfast``.
        retry: How long to try when the server cannot be reached.
        strict: Whether calls that log fail when it cannot, in place of waiting in the journal; None for what
            ``HOLDFAST_STRICT`` says, or else not.

    Raises:
        InvalidArgumentError: ``tracking_uri`` names no server.
    """

    def __init__(
        self,
        tracking_uri: str | os.PathLike[str] | Target | None = None,
        *,
        retry: RetryPolicy | None = None,
        strict: bool | None = None,
    ) -> None:
        target = tracking_uri if isinstance(tracking_uri, Target) else parse_target(tracking_uri)
        self.strict = is_strict() if strict is None else strict
        self._channel = Channel(target, retry=retry)
        self._sender = hold_sender(target)
        self._background = Background(target.uri)

    @property
    def tracking_uri(self) -> str:
        """The server, in a form that connects to it again."""
        return self._channel.target.uri

    @property
    def channel(self) -> Channel:
        """The connection, for calls that have no method here: ``client.channel.call(stub.Method, request)``."""
        return self._channel

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was logged for this server by this process is durable there.

        So are uploads in the background that were begun through this client.

        Args:
            timeout: Most seconds to wait in all, also for a server that is away; None for 30.

        Raises:
            UnsentError: Something is not, or an upload failed; it says how much, and where that waits.
        """
        seconds = check_seconds(timeout, "timeout")
        flush_client(self._sender, self._background, END_SECONDS if seconds is None else seconds)

    def close(self) -> None:
        """Close the artifacts that are open for writing, send what was logged, and refuse further calls.

        Uploads in the background are waited for as long as they take. What cannot be sent soon is told by a warning,
        and waits in the journal for ``holdfast sync``.
        """
        if self._channel.closed:
            return
        uploads = NO_UPLOADS
        try:
            uploads = self._background.close()
            _open_files.close_of_channel(self._channel)
        finally:
            release_sender(self._channel.target, uploads)
            # Others may go on with that one.
            self._sender = Sender(self._channel.target)
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.tracking_uri!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by address: the other process connects for itself, with the credentials it has."""
        return (_connect_again, (self.tracking_uri, self.strict))


def _connect_again(tracking_uri: str, strict: bool) -> Client:
    return Client(tracking_uri, strict=strict)
