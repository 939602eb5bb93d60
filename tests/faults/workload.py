"""Clients that log, overwrite, delete and register at the same time, each keeping the journal of what it did."""

from __future__ import annotations

import contextlib
import random
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from tests.faults.journal import PARAMS, Journal, State, with_files, without

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.entities import Param
from holdfast.errors import FailedPreconditionError, UnavailableError
from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

NO_RETRIES = RetryPolicy(window=0, first_window=0)
# More entries than one transaction takes: such a commit is staged in parts and then sealed.
MANY = 2_010
# More than the first part of a commit: the others are staged by the transaction that makes all visible.
SEVERAL = 600
KEPT_SETS = 3
# Seconds; far longer than one call of this workload takes.
GRACE = 10.0


class Worker:
    """One client's thread of work in a run of its own."""

    def __init__(self, name: str, journal: Journal, source: random.Random, scratch: Path) -> None:
        self.name, self._journal, self._source = name, journal, source
        self._scratch = scratch / name
        self._scratch.mkdir(parents=True)
        self._run_id = ""
        self._count = 0
        # Written once: making so many files takes longer than a server's life.
        count = {"worker-0": MANY, "worker-1": SEVERAL}.get(name, 0)
        self._many = {f"{i:04}": b"%d" % (i % 7) for i in range(count)}
        self._many_folder = self._write(self._many)

    def begin(self, client: Client) -> None:
        """Make the run."""
        self._run_id = client.create_run("0").info.run_id
        for subject in (self._tree, f"{PARAMS}{self._run_id}"):
            self._journal.begin(subject, {}, "create")
            self._journal.acknowledge(subject)

    def work(self, client: Client) -> None:
        """Make calls until one does not reach the server."""
        operations = [
            self._log_directory,
            self._log_directory,
            self._log_small,
            self._log_small,
            self._log_block,
            self._log_params,
            self._log_model,
            self._delete,
        ]
        while True:
            operation = self._source.choice(operations)
            if self._many and self._source.random() < 0.2:
                operation = self._log_many
            if len(self._sets()) > KEPT_SETS:
                operation = self._delete
            if hasattr(client, "collect_garbage") and self._source.random() < 0.05:
                operation = self._collect_garbage
            try:
                operation(client)
            except UnavailableError:
                return

    @property
    def _tree(self) -> str:
        return f"runs:/{self._run_id}"

    def _sets(self) -> list[str]:
        return sorted(path for path in self._journal.state(self._tree) if path.startswith("set-") and "/" not in path)

    def _change(self, subject: str, after: State, what: str, call: Callable[[], object]) -> None:
        self._journal.begin(subject, after, what)
        call()
        self._journal.acknowledge(subject)

    def _next(self, name: str) -> str:
        self._count += 1
        return f"{name}-{self._count}"

    def _log_directory(self, client: Client) -> None:
        """Small files that share packs and, at times, one of two blocks."""
        name, source = self._next("set"), self._source
        files = {f"small/{i:02}.bin": source.randbytes(source.randrange(1, 9_000)) for i in range(20)}
        if source.random() < 0.3:
            files["large.bin"] = source.randbytes(BLOCK_SIZE + (1 << 20))
        folder = self._write(files)
        try:
            self._log_folder(client, files, folder, name)
        finally:
            shutil.rmtree(folder)

    def _log_many(self, client: Client) -> None:
        """So many files that the commit is staged in parts; one such set at a time."""
        earlier = [path for path in self._sets() if path.startswith("set-many")]
        if earlier:
            self._delete_path(client, earlier[0])
        else:
            self._log_folder(client, self._many, self._many_folder, self._next("set-many"))

    def _log_folder(self, client: Client, files: dict[str, bytes], folder: Path, name: str) -> None:
        after = with_files(self._journal.state(self._tree), {f"{name}/{path}": data for path, data in files.items()})
        self._change(self._tree, after, name, lambda: client.log_artifacts(self._run_id, folder, name))

    def _log_small(self, client: Client) -> None:
        """A file that travels within its commit, often over one that is there."""
        self._log_bytes(client, f"inline/{self._source.randrange(4)}", self._source.randbytes(100))

    def _log_block(self, client: Client) -> None:
        """A file of one block that travels before its commit, often over one that is there."""
        size = self._source.randrange(70_000, 700_000)
        self._log_bytes(client, f"block/{self._source.randrange(3)}", self._source.randbytes(size))

    def _log_bytes(self, client: Client, path: str, data: bytes) -> None:
        after = with_files(self._journal.state(self._tree), {path: data})
        self._change(self._tree, after, path, lambda: client.log_bytes(self._run_id, data, path))

    def _log_params(self, client: Client) -> None:
        subject = f"{PARAMS}{self._run_id}"
        params = {self._next("param"): f"{self._source.random()}" for _ in range(3)}
        batch = [Param(key, value) for key, value in params.items()]
        after = {**self._journal.state(subject), **params}
        self._change(subject, after, "params", lambda: client.log_batch(self._run_id, params=batch))

    def _log_model(self, client: Client) -> None:
        """A logged model and, once it is final, a registered version of it: a snapshot that nothing may change."""
        model_id = client.create_logged_model("0", name=self._next(f"model-{self.name}")).model_id
        subject = f"models:/{model_id}"
        self._change(subject, {}, "create", lambda: None)
        files = {name: self._source.randbytes(2_000) for name in ("MLmodel", "data/weights.bin")}
        folder = self._write(files)
        try:
            after = with_files({}, files)
            self._change(subject, after, "model", lambda: client.log_model_artifacts(model_id, folder))
        finally:
            shutil.rmtree(folder)
        client.finalize_logged_model(model_id, "READY")
        version = client.register_logged_model(f"registered-{self.name}", model_id)
        self._change(f"models:/{version.name}/{version.version}", self._journal.state(subject), "pin", lambda: None)

    def _delete(self, client: Client) -> None:
        paths = self._sets() or [path for path in ("inline", "block") if path in self._journal.state(self._tree)]
        if paths:
            self._delete_path(client, self._source.choice(paths))

    def _delete_path(self, client: Client, path: str) -> None:
        after = without(self._journal.state(self._tree), path)
        self._change(self._tree, after, f"delete {path}", lambda: delete(client, self._run_id, path))

    def _collect_garbage(self, client: Client) -> None:
        """While the others upload; what they sent is younger than the grace."""
        with contextlib.suppress(FailedPreconditionError):  # another collects, or was killed while it did
            client.collect_garbage(grace=GRACE)  # type: ignore[attr-defined]  # present, says the caller

    def _write(self, files: dict[str, bytes]) -> Path:
        folder = self._scratch / self._next("folder")
        folder.mkdir()
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder


def delete(client: Client, run_id: str, path: str) -> None:
    """Delete a path of a run."""
    owner = artifact_pb.TreeOwner(run_id=run_id)
    request = pb.DeleteFilesRequest(owner=owner, paths=[path], request_id=uuid.uuid4().hex)
    client.channel.call(client.channel.stub(ArtifactServiceStub).DeleteFiles, request)
