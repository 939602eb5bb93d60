"""What clients log in any order through two servers on one data directory, which are killed at times, as dictionaries.

The requests are those that the client sends: points in columns as well as one by one, each batch with its place in the
stream of its writer, links to datasets and models, and logged models with what is measured of them. Two different
changes at once must have the outcome of the one before the other or of the other before the one.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.faults.logged_models import (
    CreateModel,
    DeleteModel,
    FinalizeModel,
    MoveAlias,
    RenameExperiment,
    RestoreModel,
    UpdateModel,
)
from tests.faults.logged_runs import (
    DeleteRun,
    EndRun,
    LogInputs,
    LogOutputs,
    LogParam,
    LogPoints,
    RenewLeases,
    RestoreRun,
    SetTag,
)
from tests.faults.logged_world import Change, RefusedError, Run, World
from tests.faults.machines import ServerPair, outcome, run_machine
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing

from holdfast.v1 import experiment_pb2, model_pb2, run_pb2
from holdfast.v1 import experiment_service_pb2 as experiment_service
from holdfast.v1 import experiment_service_pb2_grpc as experiment_grpc
from holdfast.v1 import model_registry_service_pb2 as registry_service
from holdfast.v1 import model_registry_service_pb2_grpc as registry_grpc
from holdfast.v1 import model_service_pb2 as model_service
from holdfast.v1 import model_service_pb2_grpc as model_grpc
from holdfast.v1 import run_service_pb2 as run_service
from holdfast.v1 import run_service_pb2_grpc as run_grpc

pytestmark = pytest.mark.slow

EXAMPLES = 6
STEPS = 40

# Few of each, so that calls meet.
RUNS = st.integers(0, 1)
MODELS = st.integers(0, 2)
KEYS = st.sampled_from(["k", "l"])
VALUES = st.sampled_from(["1", "2"])
OLD_OR_NEW = st.none() | VALUES
POINT = st.tuples(KEYS, st.sampled_from([0.0, 1.0, -2.5]), st.integers(0, 5), st.none() | MODELS)
BATCHES = st.builds(
    LogPoints,
    run=RUNS,
    writer=st.sampled_from(["v", "w"]),
    # Relative to what the server has of the stream: said again, said in part, next, and too early.
    sequence=st.sampled_from([-2, -1, 0, 0, 0, 0, 1]),
    points=st.lists(POINT, max_size=3).map(tuple),
    columns=st.booleans(),
)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    BATCHES,
    BATCHES,
    st.builds(LogParam, run=RUNS, key=KEYS, value=VALUES),
    st.builds(SetTag, run=RUNS, key=KEYS, value=OLD_OR_NEW),
    st.builds(
        LogInputs,
        run=RUNS,
        datasets=st.lists(st.tuples(KEYS, VALUES), max_size=2).map(tuple),
        models=st.lists(MODELS, max_size=1).map(tuple),
    ),
    st.builds(LogOutputs, run=RUNS, model=MODELS, step=st.integers(0, 3)),
    st.builds(EndRun, run=RUNS, running=st.booleans()),
    st.builds(DeleteRun, run=RUNS),
    st.builds(RestoreRun, run=RUNS),
    st.builds(RenewLeases),
    st.builds(RenameExperiment, experiment=RUNS, name=KEYS),
    st.builds(CreateModel, model=MODELS, run=st.none() | RUNS),
    st.builds(CreateModel, model=MODELS, run=RUNS),
    st.builds(UpdateModel, model=MODELS, param=VALUES, tag=OLD_OR_NEW),
    st.builds(FinalizeModel, model=MODELS, status=st.sampled_from(["READY", "FAILED"])),
    st.builds(DeleteModel, model=MODELS),
    st.builds(RestoreModel, model=MODELS),
    st.builds(MoveAlias, alias=KEYS, version=st.integers(1, 2), expected=st.none() | st.integers(0, 2)),
)


class Logging(RuleBasedStateMachine):
    """Calls of clients, and what dictionaries say that they do."""

    servers: ServerPair

    @initialize()
    def begin(self) -> None:
        self.killed = False
        prefix = self.servers.new_prefix()
        names, runs = {}, {}
        for number in (0, 1):
            request = experiment_service.CreateExperimentRequest(name=f"{prefix}{number}")
            experiment_id = self.stub(experiment_grpc.ExperimentServiceStub).CreateExperiment(request)
            names[experiment_id.experiment.experiment_id] = str(number)
            run = run_service.CreateRunRequest(experiment_id=list(names)[number], run_id=uuid.uuid4().hex)
            runs[self.stub(run_grpc.RunServiceStub).CreateRun(run).run.run_id] = Run()
            version = registry_service.CreateModelVersionRequest(
                name=f"{prefix}m", source=self.servers.source, create_registered_model=True
            )
            self.stub(registry_grpc.ModelRegistryServiceStub).CreateModelVersion(version)
        self.world = World(prefix, names, runs, [f"m-{uuid.uuid4().hex}" for _ in range(3)])

    @rule(change=CHANGES)
    def make(self, change: Change) -> None:
        """One change, sent to both servers at once under one id, and once more: it has one effect and one answer."""
        change = self.placed(change)
        expected = applied(change, self.world)
        sent = self.sent(change)
        found = [answer(change, call) for call in [self.call(change, sent, 0), self.call(change, sent, 1)]]
        found.append(answer(change, self.call(change, sent, 0)))
        assert found == [expected] * 3

    @rule(first=CHANGES, second=CHANGES)
    def make_two_at_once(self, first: Change, second: Change) -> None:
        """Different changes through different servers: one comes before the other, and nobody sees anything else."""
        changes = [self.placed(first), self.placed(second)]
        sent = [self.sent(change) for change in changes]
        calls = [self.call(change, request, at) for at, (change, request) in enumerate(zip(changes, sent, strict=True))]
        found = [answer(change, call) for change, call in zip(changes, calls, strict=True)]
        possible = [world for answers, world in self.outcomes(changes) if answers == found]
        assert possible, f"{found} is neither of {[answers for answers, _ in self.outcomes(changes)]}"
        there = self.look()
        self.world = next((world for world in possible if told(world) == there), possible[0])
        assert told(self.world) == there
        # As clients do that missed the answer; each at the other server. What was refused may not be by now, as nothing
        # was done that could be kept, and renewing leases is no change, and has no id.
        for at, (change, request) in enumerate(zip(changes, sent, strict=True)):
            if not isinstance(change, RenewLeases) and not isinstance(found[at], str):
                assert answer(change, self.call(change, request, 1 - at)) == found[at]

    @precondition(lambda self: not self.killed)  # starting takes far longer than all else
    @rule(number=st.integers(0, 1))
    def kill_a_server(self, number: int) -> None:
        self.killed = True
        self.servers.kill_and_start(number)
        assert self.look() == told(self.world)

    def teardown(self) -> None:
        """All is there, whatever was drawn, also behind a kill."""
        if not self.killed:
            self.servers.kill_and_start(0)
        assert self.look() == told(self.world)

    def placed(self, change: Change) -> Change:
        """Batches continue their stream, more or less."""
        if not isinstance(change, LogPoints):
            return change
        mark = self.world.runs[self.world.run_id(change.run)].marks.get(change.writer, 0)
        return replace(change, sequence=max(0, mark + change.sequence))

    def sent(self, change: Change) -> Any:
        request = change.request(self.world)
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            request.request_id = uuid.uuid4().hex
        return request

    def call(self, change: Change, request: Any, number: int) -> Any:
        return getattr(self.stub(change.service, number), change.method).future(request, timeout=60)

    def outcomes(self, changes: list[Change]) -> list[tuple[list[Any], World]]:
        """What either order leads to: the answers, in the order of ``changes``, and the world after it."""
        found = []
        for order in ((0, 1), (1, 0)):
            world, answers = copy.deepcopy(self.world), [None, None]
            for at in order:
                answers[at] = applied(changes[at], world)
            found.append((answers, world))
        return found

    def look(self) -> dict[str, Any]:
        """All that is there, through the one server and the other."""
        experiments = self.stub(experiment_grpc.ExperimentServiceStub, 1)
        models = self.stub(model_grpc.ModelServiceStub)
        registry = self.stub(registry_grpc.ModelRegistryServiceStub, 1)
        found: dict[str, Any] = {}
        for experiment_id in self.world.names:
            request = experiment_service.GetExperimentRequest(experiment_id=experiment_id)
            found[experiment_id] = experiments.GetExperiment(request).experiment.name
        for number, run_id in enumerate(self.world.runs):
            found[run_id] = self.look_at_run(self.stub(run_grpc.RunServiceStub, number), run_id)
        for model_id in self.world.model_ids:
            get = model_service.GetLoggedModelRequest(model_id=model_id, allow_deleted=True)
            model = outcome(models.GetLoggedModel.future(get, timeout=60))
            if model != "MODEL_NOT_FOUND":
                found[model_id] = described_model(model.model)
        get_model = registry_service.GetRegisteredModelRequest(name=f"{self.world.prefix}m")
        aliases = registry.GetRegisteredModel(get_model).registered_model.aliases
        found["aliases"] = {alias.alias: alias.version for alias in aliases}
        return found

    def look_at_run(self, stub: Any, run_id: str) -> tuple[Any, ...]:
        run = stub.GetRun(run_service.GetRunRequest(run_id=run_id)).run
        history = [
            (point.key, point.value, point.step, point.model_id)
            for metric in run.metrics
            for point in stub.ListMetricHistory(
                run_service.ListMetricHistoryRequest(run_id=run_id, key=metric.key)
            ).metrics
        ]
        newest = {metric.key: (metric.step, metric.value) for metric in run.metrics}
        assert newest == {
            key: max((step, value) for other, value, step, _ in history if other == key) for key in newest
        }
        return (
            run.status == run_pb2.RUN_STATUS_RUNNING,
            run.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED,
            {param.key: param.value for param in run.params},
            {tag.key: tag.value for tag in run.tags if tag.key != "mlflow.runName"},
            sorted(history),
            {item.dataset.name: {tag.key: tag.value for tag in item.tags} for item in run.dataset_inputs},
            {item.model_id for item in run.model_inputs},
            {item.model_id: item.step for item in run.model_outputs},
        )

    def stub(self, kind: Any, number: int = 0) -> Any:
        return kind(self.servers.channels[number])


def described_model(model: model_pb2.LoggedModel) -> tuple[Any, ...]:
    return (
        model.source_run_id,
        model_pb2.LoggedModelStatus.Name(model.status).removeprefix("LOGGED_MODEL_STATUS_"),
        model.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED,
        {param.key: param.value for param in model.params},
        {tag.key: tag.value for tag in model.tags},
        {metric.key: (metric.step, metric.value) for metric in model.metrics},
    )


def told(world: World) -> dict[str, Any]:
    """What ``look`` finds if the servers are as the dictionaries."""
    found: dict[str, Any] = {key: world.prefix + name for key, name in world.names.items()}
    for run_id, run in world.runs.items():
        found[run_id] = (
            run.running,
            run.deleted,
            run.params,
            run.tags,
            sorted(run.points),
            run.datasets,
            run.read,
            run.produced,
        )
    measured = [point for run in world.runs.values() for point in run.points]
    for model_id, model in world.models.items():
        points = [(key, step, value) for key, value, step, of in measured if of == model_id]
        newest = {key: max((step, value) for other, step, value in points if other == key) for key, _, _ in points}
        found[model_id] = (model.run_id, model.status, model.deleted, model.params, model.tags, newest)
    found["aliases"] = world.aliases
    return found


def applied(change: Change, world: World) -> Any:
    """What a change is answered with, or the reason for which it is refused."""
    try:
        return change.apply(world)
    except RefusedError as refusal:
        return str(refusal)


def answer(change: Change, call: Any) -> Any:
    """The same of a call."""
    found = outcome(call)
    return found if isinstance(found, str) else change.answer(found)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[ServerPair]:
    servers = ServerPair(tmp_path / "data")
    yield servers
    servers.close()


@pytest.mark.timeout(7200)
def test_what_is_logged_at_once_is_logged_one_after_the_other(
    servers: ServerPair, sizing: Sizing, scoreboard: Scoreboard
) -> None:
    try:
        run_machine(Logging, sizing, examples=EXAMPLES, steps=STEPS, servers=servers)
    finally:
        scoreboard.injected("kill: one of two, between calls", count=servers.kills)
