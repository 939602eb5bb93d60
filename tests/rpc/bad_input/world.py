"""A server of its own with something of everything, in which no bad request may change anything."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from tests.server_process import ServerProcess

from holdfast.v1 import access_pb2, artifact_pb2, experiment_pb2, run_pb2
from holdfast.v1 import access_service_pb2 as access
from holdfast.v1 import artifact_service_pb2 as artifacts
from holdfast.v1 import experiment_service_pb2 as experiments
from holdfast.v1 import live_artifact_service_pb2 as live
from holdfast.v1 import model_registry_service_pb2 as registry
from holdfast.v1 import model_service_pb2 as models
from holdfast.v1 import run_service_pb2 as runs
from holdfast.v1.access_service_pb2_grpc import AccessServiceStub
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast.v1.experiment_service_pb2_grpc import ExperimentServiceStub
from holdfast.v1.live_artifact_service_pb2_grpc import LiveArtifactServiceStub
from holdfast.v1.model_registry_service_pb2_grpc import ModelRegistryServiceStub
from holdfast.v1.model_service_pb2_grpc import ModelServiceStub
from holdfast.v1.run_service_pb2_grpc import RunServiceStub
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.storage.sql.connection import connect

RUN, DELETED_RUN, NO_RUN = "ab" * 16, "de" * 16, "99" * 16
MODEL, PENDING_MODEL, DELETED_MODEL, NO_MODEL = (f"m-{pair * 16}" for pair in ("cd", "ce", "cf", "99"))
EXPERIMENT, DELETED_EXPERIMENT, NO_EXPERIMENT = "1", "2", "999"
NAME, ALIAS, USED_ALIAS_VERSION = "name", "champion", 1
PRINCIPAL, OTHER_PRINCIPAL = "ada@example", "bob"
OWNER, MODEL_OWNER = {"run_id": RUN}, {"model_id": MODEL}
BLOCK = b"a block of the file" * 10_000
BLOCK_DIGEST = hashlib.sha256(BLOCK).digest()
LAST_SECOND = 253_402_300_799  # of the year 9999, the last one that a Timestamp has
USED_REQUEST_ID = "used-before"
WAIT = 60.0
_COMPLAINT = re.compile(r"\bERROR\b|\bCRITICAL\b|Traceback|error id")


class Rows:
    """The rows of a database's tables, read again only when somebody has written: most calls change none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Any = None
        self._version, self._rows = -1, dict[str, Any]()

    def read(self) -> dict[str, Any]:
        """All rows by table, but for what is no content: a planner's statistics, and when a token was last used."""
        if self._connection is None:
            self._connection = connect(self._path, read_only=True)
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version, self._rows = version, {name: self._table(name) for name in self._names()}
        return self._rows

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _names(self) -> list[str]:
        found = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return [name for (name,) in map(tuple, found) if not name.startswith("sqlite_stat")]

    def _table(self, name: str) -> list[str]:
        kept = [row[1] for row in self._connection.execute(f'PRAGMA table_info("{name}")') if row[1] != "last_use_time"]
        selected = ", ".join(f'"{column}"' for column in kept)
        return sorted(map(repr, map(tuple, self._connection.execute(f'SELECT {selected} FROM "{name}"'))))


@dataclass(slots=True)
class World:
    """A server with runs, models and files, and what of it only the server knew.

    Attributes:
        objects: The store of its blocks, to look into from outside.
        live_id: An open live artifact at ``logs/live.log`` of the run, with its ``writer``.
        tokens: Page tokens and cursors by the method that gave them.
        secrets: Secrets of tokens of ``PRINCIPAL``, by their descriptions, with their ids.
    """

    server: ServerProcess
    data_dir: Path
    channel: grpc.Channel
    objects: ObjectStore
    live_id: str = ""
    writer: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, tuple[str, str]] = field(default_factory=dict)
    rows: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.rows = Rows(self.data_dir / "holdfast.db")

    def build(self) -> None:
        """Make something of everything."""
        self._make_runs()
        self._make_files()
        self._make_models()
        self._make_access()
        self._keep_tokens()

    def check_works(self) -> None:
        """The process is there, answers, reads a file from its store and takes a write."""
        assert self.server.process.poll() is None, self.server.lines
        assert RunServiceStub(self.channel).GetRun(runs.GetRunRequest(run_id=RUN), timeout=WAIT).run.run_id == RUN
        read = artifacts.ReadFileRequest(owner=artifact_pb2.TreeOwner(**OWNER), path="dir/file")
        parts = list(ArtifactServiceStub(self.channel).ReadFile(read, timeout=WAIT))
        assert b"".join(part.chunk.data for part in parts) == BLOCK
        RunServiceStub(self.channel).RenewLeases(runs.RenewLeasesRequest(run_ids=[NO_RUN]), timeout=WAIT)

    def until_answered(self) -> None:
        """Wait while gRPC turns calls away because too many have begun; the suite's time limit ends it."""
        request = runs.GetRunRequest(run_id=RUN)
        while RunServiceStub(self.channel).GetRun.future(request, timeout=WAIT).code() is grpc.StatusCode.CANCELLED:
            time.sleep(0.05)

    def contents(self) -> dict[str, Any]:
        """All that is kept: the rows of each table, the objects of the store, and what waits in files."""
        rows = self.rows.read()
        return {**rows, "objects": sorted((found.key, found.size) for found in self.objects.list_objects())}

    def complaints(self) -> list[str]:
        """What the server wrote that tells of a defect."""
        return [line for line in self.server.lines if _COMPLAINT.search(line)]

    def _make_runs(self) -> None:
        for name in ("second", "gone"):
            made = experiments.CreateExperimentRequest(name=name, tags=[experiment_pb2.Tag(key="k", value="v")])
            ExperimentServiceStub(self.channel).CreateExperiment(made, timeout=WAIT)
        stub = RunServiceStub(self.channel)
        for run_id in (RUN, DELETED_RUN):
            stub.CreateRun(runs.CreateRunRequest(run_id=run_id, run_name="run"), timeout=WAIT)
        stub.LogBatch(
            runs.LogBatchRequest(
                run_id=RUN,
                metrics=[run_pb2.Metric(key="m", value=step, step=step) for step in range(3)],
                params=[run_pb2.Param(key="p", value="1")],
                tags=[experiment_pb2.Tag(key="t", value="v")],
                request_id=USED_REQUEST_ID,
            ),
            timeout=WAIT,
        )
        datasets = [run_pb2.DatasetInput(dataset=run_pb2.Dataset(name=n, digest="d")) for n in ("data", "more")]
        stub.LogInputs(runs.LogInputsRequest(run_id=RUN, datasets=datasets), timeout=WAIT)
        stub.DeleteRun(runs.DeleteRunRequest(run_id=DELETED_RUN), timeout=WAIT)
        gone = experiments.DeleteExperimentRequest(experiment_id=DELETED_EXPERIMENT)
        ExperimentServiceStub(self.channel).DeleteExperiment(gone, timeout=WAIT)

    def _make_files(self) -> None:
        stub, owner = ArtifactServiceStub(self.channel), artifact_pb2.TreeOwner(**OWNER)
        block = artifact_pb2.Block(digest=BLOCK_DIGEST, data=BLOCK)
        list(stub.WriteBlocks(iter([artifacts.WriteBlocksRequest(blocks=[block])]), timeout=WAIT))
        entries = [
            artifacts.NewEntry(path="dir/file", kind=1, size=len(BLOCK), block_digests=[BLOCK_DIGEST]),
            artifacts.NewEntry(path="small.txt", kind=1, size=1, inline_data=b"s"),
            artifacts.NewEntry(path="caf\u00e9", kind=2),
        ]
        stub.CommitFiles(iter(commit({"owner": owner}, entries)), timeout=WAIT)
        request = live.OpenLiveArtifactRequest(owner=owner, path="logs/live.log", mode=1)
        opened = LiveArtifactServiceStub(self.channel).OpenLiveArtifact(request, timeout=WAIT)
        self.live_id, self.writer = opened.live_artifact.live_id, opened.writer

    def _make_models(self) -> None:
        stub = ModelServiceStub(self.channel)
        for model_id in (MODEL, PENDING_MODEL, DELETED_MODEL):
            new = models.CreateLoggedModelRequest(model_id=model_id, source_run_id=RUN, name="logged")
            stub.CreateLoggedModel(new, timeout=WAIT)
            if model_id != PENDING_MODEL:
                stub.FinalizeLoggedModel(models.FinalizeLoggedModelRequest(model_id=model_id, status=2), timeout=WAIT)
        stub.DeleteLoggedModel(models.DeleteLoggedModelRequest(model_id=DELETED_MODEL), timeout=WAIT)
        versions = ModelRegistryServiceStub(self.channel)
        for name in (NAME, NAME, "other"):
            new_version = registry.CreateModelVersionRequest(
                name=name, source=f"models:/{MODEL}", create_registered_model=True
            )
            versions.CreateModelVersion(new_version, timeout=WAIT)
        versions.SetAlias(registry.SetAliasRequest(name=NAME, alias=ALIAS, version=1), timeout=WAIT)

    def _make_access(self) -> None:
        stub = AccessServiceStub(self.channel)
        resource = access_pb2.AccessResource(experiment_id=EXPERIMENT)
        for name in (PRINCIPAL, OTHER_PRINCIPAL):
            stub.SetPrincipal(access.SetPrincipalRequest(name=name, role=access_pb2.ROLE_READ), timeout=WAIT)
            stub.SetGrant(access.SetGrantRequest(principal=name, resource=resource, role=4), timeout=WAIT)
        for description in ("good", "revoked", "expired"):
            new = access.CreateTokenRequest(
                principal=PRINCIPAL, description=description, expire_time={"seconds": LAST_SECOND}
            )
            made = stub.CreateToken(new, timeout=WAIT)
            self.secrets[description] = (made.token.token_id, made.secret)
        stub.RevokeToken(access.RevokeTokenRequest(token_id=self.secrets["revoked"][0]), timeout=WAIT)
        connection = connect(self.data_dir / "holdfast.db")
        expired = self.secrets["expired"][:1]
        connection.execute("UPDATE tokens SET expire_time = 1 WHERE token_id = ?", expired)  # as if its time had passed
        connection.close()

    def _keep_tokens(self) -> None:
        callers = AccessServiceStub(self.channel)
        run, owner = RunServiceStub(self.channel), artifact_pb2.TreeOwner(**OWNER)
        versions, files = ModelRegistryServiceStub(self.channel), ArtifactServiceStub(self.channel)
        answers: Iterable[tuple[str, Callable[..., Any], Any]] = (
            ("SearchRuns", run.SearchRuns, runs.SearchRunsRequest(experiment_ids=["0"], page_size=1, view_type=3)),
            (
                "ListMetricHistory",
                run.ListMetricHistory,
                runs.ListMetricHistoryRequest(run_id=RUN, key="m", page_size=1),
            ),
            ("ListFiles", files.ListFiles, artifacts.ListFilesRequest(owner=owner, page_size=1)),
            (
                "SearchModelVersions",
                versions.SearchModelVersions,
                registry.SearchModelVersionsRequest(page_size=1),
            ),
            (
                "ListRegistryHistory",
                versions.ListRegistryHistory,
                registry.ListRegistryHistoryRequest(name=NAME, page_size=1),
            ),
            ("ListTokens", callers.ListTokens, access.ListTokensRequest(page_size=1)),
            ("ListPrincipals", callers.ListPrincipals, access.ListPrincipalsRequest(page_size=1)),
            ("ListGrants", callers.ListGrants, access.ListGrantsRequest(page_size=1)),
        )
        for method, call, request in answers:
            self.tokens[method] = call(request, timeout=WAIT).next_page_token
            assert self.tokens[method], method
        watch = run.WatchRun(runs.WatchRunRequest(run_id=RUN), timeout=WAIT)
        self.tokens["WatchRun"] = next(watch).cursor
        watch.cancel()
        stream = run.StreamRuns(runs.StreamRunsRequest(experiment_ids=["0"]), timeout=WAIT)
        self.tokens["StreamRuns"] = next(stream).resume_token
        stream.cancel()


def commit(header: dict[str, Any], entries: list[Any], count: int | None = None) -> list[artifacts.CommitFilesRequest]:
    """The messages of a commit; ``count`` is the number that its end tells, when it is not that of the entries."""
    return [
        artifacts.CommitFilesRequest(header=artifacts.CommitHeader(**header)),
        artifacts.CommitFilesRequest(entries=artifacts.CommitEntries(entries=entries)),
        artifacts.CommitFilesRequest(end=artifacts.CommitEnd(entry_count=len(entries) if count is None else count)),
    ]
