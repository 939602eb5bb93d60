"""Random sequences of calls against plain dictionaries, on two servers that share their data and are killed at times.

Each change is sent to both servers at the same moment, with one request id: it must have one effect, and both callers
must get the same answer, be it a refusal.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.faults.machines import ServerPair, outcome, run_machine
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing

from holdfast.v1 import experiment_pb2, run_pb2
from holdfast.v1 import experiment_service_pb2 as experiment_service
from holdfast.v1 import experiment_service_pb2_grpc as experiment_grpc
from holdfast.v1 import model_registry_service_pb2 as registry_service
from holdfast.v1 import model_registry_service_pb2_grpc as registry_grpc
from holdfast.v1 import run_service_pb2 as run_service
from holdfast.v1 import run_service_pb2_grpc as run_grpc

pytestmark = pytest.mark.slow

EXAMPLES = 4
STEPS = 40

# Few of each, so that calls meet.
NAMES = st.sampled_from(["a", "b", "c"])
KEYS = st.sampled_from(["k", "l"])
VALUES = st.sampled_from(["1", "2"])
NUMBERS = st.sampled_from([0.0, 1.0, -2.5, math.inf, -math.inf, math.nan])
POINTS = st.lists(st.tuples(KEYS, NUMBERS, st.integers(0, 5)), max_size=3)
DRAWS = st.integers(0, 1_000)


@dataclass
class Run:
    experiment: str
    name: str
    status: int = run_pb2.RUN_STATUS_RUNNING
    deleted: bool = False
    deleted_with_experiment: bool = False
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: list[tuple[str, float, int]] = field(default_factory=list)


@dataclass
class Experiment:
    name: str
    deleted: bool = False
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Registered:
    versions: dict[int, dict[str, str]] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    next_version: int = 1


class Tracking(RuleBasedStateMachine):
    """Experiments, runs and registered models, and what dictionaries say they should be."""

    servers: ServerPair

    @initialize()
    def begin(self) -> None:
        self.prefix = self.servers.new_prefix()
        self.experiments: dict[str, Experiment] = {}
        self.runs: dict[str, Run] = {}
        self.registered: dict[str, Registered] = {}
        self.source = self.servers.source

    # Experiments.

    @rule(name=NAMES, value=VALUES)
    def create_experiment(self, name: str, value: str) -> None:
        request = experiment_service.CreateExperimentRequest(
            name=self.full(name), tags=[experiment_pb2.Tag(key="k", value=value)]
        )
        taken = any(experiment.name == name for experiment in self.experiments.values())
        answer = self.change(
            experiment_grpc.ExperimentServiceStub, "CreateExperiment", request, taken and "ALREADY_EXISTS"
        )
        if answer:
            self.experiments[answer.experiment.experiment_id] = Experiment(name, tags={"k": value})

    @rule(draw=DRAWS)
    def delete_experiment(self, draw: int) -> None:
        if experiment_id := self.one_of(self.experiments, draw):
            experiment = self.experiments[experiment_id]
            request = experiment_service.DeleteExperimentRequest(experiment_id=experiment_id)
            refusal = experiment.deleted and "DELETED"
            if self.change(experiment_grpc.ExperimentServiceStub, "DeleteExperiment", request, refusal) is not None:
                experiment.deleted = True
                for run in self.runs.values():
                    if run.experiment == experiment_id and not run.deleted:
                        run.deleted = run.deleted_with_experiment = True

    @rule(draw=DRAWS)
    def restore_experiment(self, draw: int) -> None:
        if experiment_id := self.one_of(self.experiments, draw):
            request = experiment_service.RestoreExperimentRequest(experiment_id=experiment_id)
            self.change(experiment_grpc.ExperimentServiceStub, "RestoreExperiment", request)
            was_deleted, self.experiments[experiment_id].deleted = self.experiments[experiment_id].deleted, False
            for run in self.runs.values():
                if was_deleted and run.experiment == experiment_id and run.deleted_with_experiment:
                    run.deleted = run.deleted_with_experiment = False

    @rule(draw=DRAWS, key=KEYS, value=st.none() | VALUES)
    def tag_experiment(self, draw: int, key: str, value: str | None) -> None:
        if experiment_id := self.one_of(self.experiments, draw):
            experiment = self.experiments[experiment_id]
            request = experiment_service.SetExperimentTagsRequest(
                experiment_id=experiment_id,
                tags=[] if value is None else [experiment_pb2.Tag(key=key, value=value)],
                deleted_tag_keys=[key] if value is None else [],
            )
            refusal = experiment.deleted and "DELETED"
            if self.change(experiment_grpc.ExperimentServiceStub, "SetExperimentTags", request, refusal) is not None:
                experiment.tags.pop(key, None)
                if value is not None:
                    experiment.tags[key] = value

    # Runs.

    @rule(draw=DRAWS, name=NAMES)
    def create_run(self, draw: int, name: str) -> None:
        if experiment_id := self.one_of(self.experiments, draw):
            request = run_service.CreateRunRequest(experiment_id=experiment_id, run_name=name)
            refusal = self.experiments[experiment_id].deleted and "DELETED"
            answer = self.change(run_grpc.RunServiceStub, "CreateRun", request, refusal)
            if answer:
                self.runs[answer.run.run_id] = Run(experiment_id, name, tags={"mlflow.runName": name})

    @rule(draw=DRAWS, points=POINTS, param=st.none() | st.tuples(KEYS, VALUES), tag=st.none() | st.tuples(KEYS, VALUES))
    def log_batch(
        self,
        draw: int,
        points: list[tuple[str, float, int]],
        param: tuple[str, str] | None,
        tag: tuple[str, str] | None,
    ) -> None:
        if run_id := self.one_of(self.runs, draw):
            run = self.runs[run_id]
            request = run_service.LogBatchRequest(
                run_id=run_id,
                metrics=[run_pb2.Metric(key=key, value=value, step=step) for key, value, step in points],
                params=[run_pb2.Param(key=param[0], value=param[1])] if param else [],
                tags=[experiment_pb2.Tag(key=tag[0], value=tag[1])] if tag else [],
            )
            for metric in request.metrics:
                metric.timestamp.GetCurrentTime()
            changes_param = param and run.params.get(param[0], param[1]) != param[1]
            refusal = (run.deleted and "DELETED") or (changes_param and "PARAM_IMMUTABLE")
            if self.change(run_grpc.RunServiceStub, "LogBatch", request, refusal) is not None:
                run.points += points
                run.params.update([param] if param else [])
                run.tags.update([tag] if tag else [])

    @rule(draw=DRAWS, key=KEYS)
    def remove_tag(self, draw: int, key: str) -> None:
        if run_id := self.one_of(self.runs, draw):
            run = self.runs[run_id]
            request = run_service.LogBatchRequest(run_id=run_id, deleted_tag_keys=[key])
            refusal = (run.deleted and "DELETED") or (key not in run.tags and "TAG_NOT_FOUND")
            if self.change(run_grpc.RunServiceStub, "LogBatch", request, refusal) is not None:
                del run.tags[key]

    @rule(draw=DRAWS, status=st.sampled_from([run_pb2.RUN_STATUS_RUNNING, run_pb2.RUN_STATUS_FINISHED]), name=NAMES)
    def update_run(self, draw: int, status: Any, name: str) -> None:
        if run_id := self.one_of(self.runs, draw):
            run = self.runs[run_id]
            request = run_service.UpdateRunRequest(run_id=run_id, status=status, run_name=name)
            if self.change(run_grpc.RunServiceStub, "UpdateRun", request, run.deleted and "DELETED"):
                run.status, run.name, run.tags["mlflow.runName"] = status, name, name

    @rule(draw=DRAWS)
    def delete_run(self, draw: int) -> None:
        if run_id := self.one_of(self.runs, draw):
            self.change(run_grpc.RunServiceStub, "DeleteRun", run_service.DeleteRunRequest(run_id=run_id))
            self.runs[run_id].deleted = True

    @rule(draw=DRAWS)
    def restore_run(self, draw: int) -> None:
        if run_id := self.one_of(self.runs, draw):
            run = self.runs[run_id]
            refusal = run.deleted and self.experiments[run.experiment].deleted and "DELETED"
            request = run_service.RestoreRunRequest(run_id=run_id)
            if self.change(run_grpc.RunServiceStub, "RestoreRun", request, refusal) is not None:
                run.deleted = run.deleted_with_experiment = False

    # The registry.

    @rule(name=NAMES, value=VALUES)
    def create_version(self, name: str, value: str) -> None:
        request = registry_service.CreateModelVersionRequest(
            name=self.full(name),
            source=self.source,
            create_registered_model=True,
            tags=[experiment_pb2.Tag(key="k", value=value)],
        )
        answer = self.change(registry_grpc.ModelRegistryServiceStub, "CreateModelVersion", request)
        model = self.registered.setdefault(name, Registered())
        assert answer.model_version.version == model.next_version, "numbers are not used again"
        model.versions[model.next_version] = {"k": value}
        model.next_version += 1

    @rule(draw=DRAWS, alias=NAMES, version=st.integers(1, 4), expected=st.none() | st.integers(0, 3))
    def set_alias(self, draw: int, alias: str, version: int, expected: int | None) -> None:
        if name := self.one_of(self.registered, draw):
            model = self.registered[name]
            request = registry_service.SetAliasRequest(
                name=self.full(name), alias=alias, version=version, expected_version=expected
            )
            refusal = version not in model.versions and "MODEL_VERSION_NOT_FOUND"
            if not refusal and expected is not None and model.aliases.get(alias, 0) != expected:
                refusal = "CONFLICT"
            if self.change(registry_grpc.ModelRegistryServiceStub, "SetAlias", request, refusal) is not None:
                model.aliases[alias] = version

    @rule(draw=DRAWS, alias=NAMES)
    def delete_alias(self, draw: int, alias: str) -> None:
        if name := self.one_of(self.registered, draw):
            request = registry_service.DeleteAliasRequest(name=self.full(name), alias=alias)
            self.change(registry_grpc.ModelRegistryServiceStub, "DeleteAlias", request)
            self.registered[name].aliases.pop(alias, None)

    @rule(draw=DRAWS, version=st.integers(1, 4))
    def delete_version(self, draw: int, version: int) -> None:
        if name := self.one_of(self.registered, draw):
            model = self.registered[name]
            request = registry_service.DeleteModelVersionRequest(name=self.full(name), version=version)
            refusal = version not in model.versions and "MODEL_VERSION_NOT_FOUND"
            if self.change(registry_grpc.ModelRegistryServiceStub, "DeleteModelVersion", request, refusal) is not None:
                del model.versions[version]
                model.aliases = {alias: of for alias, of in model.aliases.items() if of != version}

    # What goes wrong, and what must be true whatever did.

    @rule(number=st.integers(0, 1))
    def kill_a_server(self, number: int) -> None:
        self.servers.kill_and_start(number)

    def teardown(self) -> None:
        """Each example ends with a kill, as few draw one, and all is there behind it."""
        number = len(self.runs) % 2
        self.servers.kill_and_start(number)
        self.experiments_and_models_are_those_of_the_dictionaries()
        for draw in range(number, 2 * len(self.runs), 2):
            self.read_a_run(draw)

    @rule(draw=DRAWS)
    def read_a_run(self, draw: int) -> None:
        if run_id := self.one_of(self.runs, draw):
            run, stub = self.runs[run_id], self.stub(run_grpc.RunServiceStub, draw % 2)
            found = stub.GetRun(run_service.GetRunRequest(run_id=run_id)).run
            assert (found.experiment_id, found.run_name, found.status) == (run.experiment, run.name, run.status)
            assert (found.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED) == run.deleted
            assert {param.key: param.value for param in found.params} == run.params
            assert {tag.key: tag.value for tag in found.tags} == run.tags
            assert {metric.key for metric in found.metrics} == {key for key, _, _ in run.points}
            for metric in found.metrics:
                self.check_metric(stub, run_id, metric, [p for p in run.points if p[0] == metric.key])

    def check_metric(self, stub: Any, run_id: str, latest: Any, points: list[tuple[str, float, int]]) -> None:
        history = stub.ListMetricHistory(run_service.ListMetricHistoryRequest(run_id=run_id, key=latest.key)).metrics
        assert sorted((repr(p.value), p.step) for p in history) == sorted((repr(v), step) for _, v, step in points)
        assert latest.step == max(step for _, _, step in points)
        request = run_service.GetMetricChartRequest(run_id=run_id, key=latest.key, max_buckets=1)
        (bucket,) = stub.GetMetricChart(request).buckets
        numbers = [value for _, value, _ in points if not math.isnan(value)]
        assert (bucket.point_count, bucket.nan_count) == (len(points), len(points) - len(numbers))
        assert bucket.last_step == latest.step
        if numbers:
            assert (bucket.minimum, bucket.maximum) == (min(numbers), max(numbers))

    @rule(draw=DRAWS, limit=NUMBERS.filter(math.isfinite), value=VALUES)
    def search_runs(self, draw: int, limit: float, value: str) -> None:
        if self.experiments:
            request = run_service.StreamRunsRequest(
                experiment_ids=list(self.experiments), filter=f"metrics.k >= {limit} AND params.l = '{value}'"
            )
            parts = self.stub(run_grpc.RunServiceStub, draw % 2).StreamRuns(request)
            names = sorted(run.run_id for part in parts for run in part.runs)
            assert names == sorted(
                run_id
                for run_id, run in self.runs.items()
                if not run.deleted and run.params.get("l") == value and self.latest_may_be(run, limit, names, run_id)
            )

    def latest_may_be(self, run: Run, limit: float, found: list[str], run_id: str) -> bool:
        """Whether the newest point of ``k`` meets the limit; of points in one millisecond any may be the newest."""
        steps = [step for key, _, step in run.points if key == "k"]
        newest = {value >= limit for key, value, step in run.points if key == "k" and step == max(steps)}
        return (run_id in found) if len(newest) == 2 else True in newest

    @invariant()
    def experiments_and_models_are_those_of_the_dictionaries(self) -> None:
        if not hasattr(self, "experiments"):
            return
        request = experiment_service.SearchExperimentsRequest(
            filter=f"name LIKE '{self.full('')}%'", view_type=experiment_pb2.VIEW_TYPE_ALL
        )
        answer = self.stub(experiment_grpc.ExperimentServiceStub, 0).SearchExperiments(request)
        assert {
            found.experiment_id: (
                found.name,
                found.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED,
                {tag.key: tag.value for tag in found.tags},
            )
            for found in answer.experiments
        } == {key: (self.full(known.name), known.deleted, known.tags) for key, known in self.experiments.items()}
        models = self.stub(registry_grpc.ModelRegistryServiceStub, 1).SearchRegisteredModels(
            registry_service.SearchRegisteredModelsRequest(filter=f"name LIKE '{self.full('')}%'")
        )
        assert {found.name: {a.alias: a.version for a in found.aliases} for found in models.registered_models} == {
            self.full(name): known.aliases for name, known in self.registered.items()
        }

    def full(self, name: str) -> str:
        """The name that this example uses, of which there may be others."""
        return f"{self.prefix}-{name}"

    @staticmethod
    def one_of(things: dict[str, Any], draw: int) -> str | None:
        return sorted(things)[draw % len(things)] if things else None

    def stub(self, kind: Any, number: int) -> Any:
        return kind(self.servers.channels[number])

    def change(self, kind: Any, method: str, request: Any, refusal: str | bool | None = None) -> Any:
        """Send a change to both servers at once; returns the one answer, or None when it was refused as expected."""
        request.request_id = uuid.uuid4().hex
        calls = [getattr(self.stub(kind, number), method).future(request, timeout=60) for number in (0, 1)]
        answers = [outcome(call) for call in calls]
        assert answers[0] == answers[1], "one change, one answer"
        # And once more, as a client does that missed the answer.
        assert outcome(getattr(self.stub(kind, 0), method).future(request, timeout=60)) == answers[0]
        if refusal:
            assert answers[0] == refusal
            return None
        assert not isinstance(answers[0], str), f"{method} was refused: {answers[0]}"
        return answers[0]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[ServerPair]:
    servers = ServerPair(tmp_path / "data")
    yield servers
    servers.close()


@pytest.mark.timeout(7200)
def test_two_servers_are_dictionaries_that_survive_kills(
    servers: ServerPair, sizing: Sizing, scoreboard: Scoreboard
) -> None:
    try:
        run_machine(Tracking, sizing, examples=EXAMPLES, steps=STEPS, servers=servers)
    finally:
        scoreboard.injected("kill: one of two, between calls", count=servers.kills)
