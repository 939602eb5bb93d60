"""The driver of Holdfast's conformance suite in Python: does what it is told by lines of JSON, with ``holdfast`` alone.

``client/conformance/README.md`` says what each op takes and answers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import holdfast
from holdfast import errors
from holdfast.entities import Metric
from holdfast.format import digests
from holdfast.v1 import artifact_pb2, artifact_service_pb2, server_service_pb2
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast.v1.server_service_pb2_grpc import ServerServiceStub

# Names of gRPC's statuses by the errors that stand for them, a subclass before its base.
CODES: tuple[tuple[type[Exception], str], ...] = (
    (errors.InvalidArgumentError, "INVALID_ARGUMENT"),
    (errors.NotFoundError, "NOT_FOUND"),
    (errors.AlreadyExistsError, "ALREADY_EXISTS"),
    (errors.ConflictError, "ABORTED"),
    (errors.FailedPreconditionError, "FAILED_PRECONDITION"),
    (errors.PermissionDeniedError, "PERMISSION_DENIED"),
    (errors.UnauthenticatedError, "UNAUTHENTICATED"),
    (errors.ResourceExhaustedError, "RESOURCE_EXHAUSTED"),
    (errors.OutOfRangeError, "OUT_OF_RANGE"),
    (errors.DataLossError, "DATA_LOSS"),
    (errors.UnavailableError, "UNAVAILABLE"),
    (errors.DeadlineExceededError, "DEADLINE_EXCEEDED"),
    (errors.UnimplementedError, "UNIMPLEMENTED"),
    (errors.InternalError, "INTERNAL"),
    (errors.LocalFileError, "FAILED_PRECONDITION"),
    (FileNotFoundError, "NOT_FOUND"),
)


class Operations:
    """What a driver can be told to do; each public method is an op."""

    def __init__(self) -> None:
        self._connected: holdfast.Client | None = None
        self._watch: Iterator[Any] | None = None

    def connect(self, uri: str, token: str = "", ca_file: str = "") -> dict[str, Any]:
        for name, value in (("HOLDFAST_TOKEN", token), ("HOLDFAST_TLS_CA_FILE", ca_file)):
            os.environ[name] = value
        # What cannot be sent is an error here, and waits in no journal.
        self._connected = holdfast.Client(uri, strict=True)
        info = self._client.channel.call(
            self._client.channel.stub(ServerServiceStub).GetServerInfo, server_service_pb2.GetServerInfoRequest()
        )
        return {"server_version": info.server_version}

    def file_digest(self, path: str) -> dict[str, Any]:
        blocks = []
        with open(path, "rb") as file:  # noqa: PTH123 - as it comes
            while block := file.read(digests.BLOCK_SIZE):
                blocks.append(hashlib.sha256(block).digest())
        return {"digest": digests.file_digest(blocks).hex()}

    def tree_digest(self, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        items = [
            _TreeEntry(e["path"], e["directory"], e["executable"], e["size"], bytes.fromhex(e["digest"]))
            for e in sorted(entries, key=lambda entry: str(entry["path"]).encode())
        ]
        return {"digest": digests.tree_digest(items).hex()}

    def create_experiment(self, name: str) -> dict[str, Any]:
        return {"experiment_id": self._client.create_experiment(name)}

    def create_run(self, experiment_id: str, name: str = "") -> dict[str, Any]:
        return {"run_id": self._client.create_run(experiment_id, run_name=name or None).info.run_id}

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        self._client.log_params(run_id, params)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._client.set_tags(run_id, tags)

    def log_metrics(self, run_id: str, metrics: Sequence[Mapping[str, Any]]) -> None:
        points = [Metric(m["key"], float(m["value"]), m["timestamp"], m["step"]) for m in metrics]
        self._client.log_batch(run_id, metrics=points)

    def finish_run(self, run_id: str, status: str) -> None:
        self._client.set_terminated(run_id, status)

    def get_run(self, run_id: str) -> dict[str, Any]:
        run = self._client.get_run(run_id)
        return {
            "run_id": run.info.run_id,
            "experiment_id": run.info.experiment_id,
            "name": run.info.run_name,
            "status": run.info.status,
            "params": dict(run.data.params),
            "tags": dict(run.data.tags),
            "metrics": {key: _number(value) for key, value in run.data.metrics.items()},
        }

    def metric_history(self, run_id: str, key: str) -> dict[str, Any]:
        points = self._client.get_metric_history(run_id, key)
        return {"points": [{"value": _number(p.value), "step": p.step, "timestamp": p.timestamp} for p in points]}

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        self._client.log_artifact(run_id, local_path, artifact_path)

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        self._client.log_artifacts(run_id, local_dir, artifact_path)

    def list_artifacts(self, uri: str, recursive: bool = False) -> dict[str, Any]:
        found = {
            entry.path: {
                "path": entry.path,
                "directory": entry.kind == artifact_pb2.ENTRY_KIND_DIRECTORY,
                "executable": entry.executable,
                "size": entry.size,
                "digest": entry.digest.hex(),
            }
            for entry in self._entries(uri, recursive)
        }
        return {"entries": [found[path] for path in sorted(found, key=str.encode)]}

    def download(self, uri: str, destination: str) -> dict[str, Any]:
        return {"path": self._client.download_artifacts(artifact_uri=uri, dst_path=destination)}

    def read_range(self, uri: str, offset: int, length: int) -> dict[str, Any]:
        with self._client.artifacts.open(uri) as file:
            file.seek(offset)
            data = file.read(length)
        return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}

    def log_model(self, run_id: str, name: str, local_dir: str) -> dict[str, Any]:
        experiment_id = self._client.get_run(run_id).info.experiment_id
        model = self._client.create_logged_model(experiment_id, name, source_run_id=run_id)
        try:
            self._client.log_model_artifacts(model.model_id, local_dir)
        except BaseException:
            self._client.finalize_logged_model(model.model_id, "FAILED")
            raise
        self._client.finalize_logged_model(model.model_id, "READY")
        return {"model_id": model.model_id, "model_uri": f"models:/{model.model_id}"}

    def register_model(self, name: str, model_uri: str) -> dict[str, Any]:
        version = self._client.create_model_version(name, model_uri, create_registered_model=True)
        return {"version": version.version}

    def set_alias(self, name: str, alias: str, version: str, expected_version: str | None = None) -> None:
        self._client.set_registered_model_alias(name, alias, version, expected_version=expected_version)

    def get_alias(self, name: str, alias: str) -> dict[str, Any]:
        return {"version": self._client.get_model_version_by_alias(name, alias).version}

    def watch_model(self, name: str) -> None:
        self._watch = self._client.watch_model(name)
        next(self._watch)  # how it is

    def next_alias_change(self, alias: str) -> dict[str, Any]:
        assert self._watch is not None
        event = next(event for event in self._watch if event.alias == alias)
        return {"version": event.version or ""}

    def close(self) -> None:
        self._client.close()

    @property
    def _client(self) -> holdfast.Client:
        assert self._connected is not None, "connect comes first"
        return self._connected

    def _entries(self, uri: str, recursive: bool) -> Iterator[artifact_pb2.Entry]:
        channel = self._client.channel
        stub = channel.stub(ArtifactServiceStub)
        resolved = channel.call(stub.ResolveArtifact, artifact_service_pb2.ResolveArtifactRequest(uri=uri))
        for location in resolved.locations:
            request = artifact_service_pb2.ListFilesRequest(
                owner=location.owner, sequence=location.sequence, path=location.path, recursive=recursive
            )
            while True:
                page = channel.call(stub.ListFiles, request)
                yield from page.entries
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token


@dataclass(frozen=True)
class _TreeEntry:
    path: str
    is_directory: bool
    executable: bool
    size: int
    digest: bytes


def serve(operations: Operations, requests: TextIO, answers: TextIO) -> None:
    """Do what each line asks for, and answer by a line."""
    for line in requests:
        request = json.loads(line)
        op = request.pop("op")
        if op.startswith("_"):
            raise ValueError(f"there is no op {op}")
        do: Callable[..., dict[str, Any] | None] = getattr(operations, op)
        try:
            answer: dict[str, Any] = {"ok": do(**request) or {}}
        except (errors.HoldfastError, FileNotFoundError) as error:
            answer = {"error": _error(error)}
        print(json.dumps(answer, allow_nan=False), file=answers, flush=True)


def _error(error: Exception) -> dict[str, str]:
    code = next(code for kind, code in CODES if isinstance(error, kind))
    return {
        "code": code,
        "reason": getattr(error, "reason", ""),
        "message": getattr(error, "message", str(error)),
        "request_id": getattr(error, "request_id", ""),
    }


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


if __name__ == "__main__":
    serve(Operations(), sys.stdin, sys.stdout)
