"""The client: every call of the service as a method, without global state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from holdfast import _open_files
from holdfast._archives import ArchiveCalls
from holdfast._artifacts import ArtifactCalls
from holdfast._channel import Channel, RetryPolicy
from holdfast._config import Target, parse_target
from holdfast._experiments import ExperimentCalls
from holdfast._live_artifacts import LiveArtifactCalls
from holdfast._logged_models import LoggedModelCalls
from holdfast._promotion import PromotionCalls
from holdfast._run_calls import RunCalls
from holdfast._storage import StorageCalls

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class Client(
    ExperimentCalls,
    RunCalls,
    LoggedModelCalls,
    PromotionCalls,
    ArtifactCalls,
    LiveArtifactCalls,
    StorageCalls,
    ArchiveCalls,
):
    """A client of one server, for any number of threads; a forked process opens a connection of its own.

    Method names and arguments are those of MLflow's ``MlflowClient``.

    Args:
        tracking_uri: As ``holdfast.connect`` takes it; None for ``HOLDFAST_URI``, or the server of ``./.holdfast``.
        retry: How long to try when the server cannot be reached.

    Raises:
        InvalidArgumentError: ``tracking_uri`` names no server.
    """

    def __init__(
        self, tracking_uri: str | os.PathLike[str] | Target | None = None, *, retry: RetryPolicy | None = None
    ) -> None:
        target = tracking_uri if isinstance(tracking_uri, Target) else parse_target(tracking_uri)
        self._channel = Channel(target, retry=retry)

    @property
    def tracking_uri(self) -> str:
        """The server, in a form that connects to it again."""
        return self._channel.target.uri

    @property
    def channel(self) -> Channel:
        """The connection, for calls that have no method here: ``client.channel.call(stub.Method, request)``."""
        return self._channel

    def close(self) -> None:
        """Close the artifacts that are open for writing, then end calls in progress and refuse further ones."""
        try:
            _open_files.close_of_channel(self._channel)
        finally:
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
        return (Client, (self.tracking_uri,))
