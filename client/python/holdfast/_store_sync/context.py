"""What the parts of one sync share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from holdfast._channel import Channel
from holdfast._store_sync.files import TreeCopy
from holdfast._store_sync.tally import Tally
from holdfast._transfer.progress import Progress
from holdfast.v1 import artifact_pb2, live_artifact_service_pb2
from holdfast.v1.experiment_service_pb2_grpc import ExperimentServiceStub
from holdfast.v1.live_artifact_service_pb2_grpc import LiveArtifactServiceStub
from holdfast.v1.model_service_pb2_grpc import ModelServiceStub
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

Response = TypeVar("Response")
# Experiments that one search names.
_TOGETHER = 100
# Makes sure that the target has a logged model of the source, by its id; False when it is gone for good.
HasModel = Callable[[str], bool]


class Side:
    """One of the two servers."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.experiments = channel.stub(ExperimentServiceStub)
        self.runs = channel.stub(RunServiceStub)
        self.models = channel.stub(ModelServiceStub)

    def call(self, method: Any, request: Any) -> Any:
        """Call a method of one of the stubs; raises as ``Channel.call`` does."""
        return self.channel.call(method, request)


@dataclass(slots=True)
class StoreSync:
    """One sync.

    Attributes:
        source: Where everything is.
        target: Where it is to be.
        store_id: Names the source's data.
        tally: What was done.
        progress: Shows it.
        include_deleted: Whether runs and models that are deleted at the source are sent, and deleted at the target.
        is_dry_run: Whether nothing is sent.
        is_selective: Whether only some experiments were asked for.
        experiment_ids: The target's id of each of the source's experiments; of one that a dry run would create, "".
    """

    source: Side
    target: Side
    store_id: str
    tally: Tally
    progress: Progress
    include_deleted: bool
    is_dry_run: bool
    is_selective: bool
    experiment_ids: dict[str, str] = field(default_factory=dict)

    def experiments_in_parts(self) -> Iterator[list[str]]:
        """The source's ids of the experiments that are to be sent, as many as one search should name."""
        ids = list(self.experiment_ids)
        for start in range(0, len(ids), _TOGETHER):
            yield ids[start : start + _TOGETHER]

    @property
    def files(self) -> TreeCopy:
        """Copies from source to target."""
        return TreeCopy(self.source.channel, self.target.channel, self.progress)

    def count_open_files(self, owner: artifact_pb2.TreeOwner) -> None:
        """Count what is being written at the source: it is no file yet, and is sent when it is."""
        request = live_artifact_service_pb2.ListLiveArtifactsRequest(owner=owner)
        stub = self.source.channel.stub(LiveArtifactServiceStub)
        self.tally.left_open_files += len(self.source.call(stub.ListLiveArtifacts, request).live_artifacts)

    def send(self, method: Any, request: Any, *, changes: int = 1) -> None:
        """Make a change at the target, unless nothing is to be sent, and count it."""
        if not self.is_dry_run:
            self.target.call(method, request)
        self.tally.changes += changes
        self.progress.advance(request.ByteSize())


def pages(fetch: Callable[[Any], Response], request: Any) -> Iterator[Response]:
    """The responses to a request and its further pages.

    Args:
        fetch: Makes the call.
        request: Has a ``page_token``, and the response a ``next_page_token``.
    """
    while True:
        response: Any = fetch(request)
        yield response
        if not response.next_page_token:
            return
        request.page_token = response.next_page_token
