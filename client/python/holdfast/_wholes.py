"""Runs, logged models and trees read whole, however many pages that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast._calls import build
from holdfast.v1 import artifact_pb2, artifact_service_pb2, model_pb2, model_service_pb2, run_pb2, run_service_pb2
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast.v1.model_service_pb2_grpc import ModelServiceStub
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

if TYPE_CHECKING:
    from holdfast._channel import Channel


def read_run(channel: Channel, run_id: str) -> run_pb2.Run:
    """A run with all its params, tags, newest metrics and links, deleted or not.

    Raises:
        NotFoundError: It is not there.
    """
    whole = run_pb2.Run()
    request = build(run_service_pb2.GetRunRequest, run_id=run_id)
    while True:
        page = channel.call(channel.stub(RunServiceStub).GetRun, request)
        whole.MergeFrom(page.run)
        if not page.next_page_token:
            return whole
        request.page_token = page.next_page_token


def read_model(channel: Channel, model_id: str, *, allow_deleted: bool = False) -> model_pb2.LoggedModel:
    """A logged model with all its params, tags and newest metrics.

    Raises:
        NotFoundError: It is not there, or deleted unless ``allow_deleted``.
    """
    whole = model_pb2.LoggedModel()
    request = build(model_service_pb2.GetLoggedModelRequest, model_id=model_id, allow_deleted=allow_deleted)
    while True:
        page = channel.call(channel.stub(ModelServiceStub).GetLoggedModel, request)
        whole.MergeFrom(page.model)
        if not page.next_page_token:
            return whole
        request.page_token = page.next_page_token


def whole_tree(channel: Channel, owner: artifact_pb2.TreeOwner) -> artifact_pb2.ArtifactLocation:
    """All that the newest snapshot of a tree shows; its sequence is 0 when nothing was ever put there."""
    method = channel.stub(ArtifactServiceStub).GetTree
    tree = channel.call(method, artifact_service_pb2.GetTreeRequest(owner=owner)).tree
    return artifact_pb2.ArtifactLocation(owner=owner, sequence=tree.sequence, kind=artifact_pb2.ENTRY_KIND_DIRECTORY)
