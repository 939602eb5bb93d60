"""Changes of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.faults.logged_world import Change, RefusedError, World

from holdfast.v1 import experiment_pb2, run_pb2
from holdfast.v1 import run_service_pb2 as run_service
from holdfast.v1 import run_service_pb2_grpc as run_grpc

# Key, value, step, and the logged model that it describes, by its index, or None.
Point = tuple[str, float, int, "int | None"]


@dataclass(frozen=True)
class LogPoints(Change):
    """A batch of a stream; ``sequence`` may be behind or beyond what the server has of it."""

    service, method = run_grpc.RunServiceStub, "LogBatch"
    run: int
    writer: str
    sequence: int
    points: tuple[Point, ...]
    columns: bool

    def request(self, world: World) -> Any:
        request = run_service.LogBatchRequest(
            run_id=world.run_id(self.run), writer_id=self.writer, writer_sequence=self.sequence
        )
        for key, value, step, model in self.points:
            model_id = "" if model is None else world.model_ids[model]
            if self.columns:
                columns = request.metric_columns
                columns.series_positions.append(len(columns.series))
                columns.series.add(key=key, model_id=model_id)
                columns.values.append(value)
                columns.steps.append(step)
                columns.times_ms.append(1_000 * step)
            else:
                metric = request.metrics.add(key=key, value=value, step=step, model_id=model_id)
                metric.timestamp.FromMilliseconds(1_000 * step)
        return request

    def apply(self, world: World) -> tuple[int, int]:
        run = world.active_run(self.run)
        mark = run.marks.get(self.writer, 0)
        if self.sequence > mark:
            raise RefusedError("CONFLICT")
        new = self.points[mark - self.sequence :]
        found = [
            (key, value, step, "" if model is None else world.model(model) and world.model_ids[model])
            for key, value, step, model in new
        ]
        if found:
            run.marks[self.writer] = self.sequence + len(self.points)
        run.points += found
        return run.marks.get(self.writer, 0), len(found)

    def answer(self, response: run_service.LogBatchResponse) -> tuple[int, int]:
        return response.next_writer_sequence, response.new_metric_count


@dataclass(frozen=True)
class LogParam(Change):
    service, method = run_grpc.RunServiceStub, "LogBatch"
    run: int
    key: str
    value: str

    def request(self, world: World) -> Any:
        params = [run_pb2.Param(key=self.key, value=self.value)]
        return run_service.LogBatchRequest(run_id=world.run_id(self.run), params=params)

    def apply(self, world: World) -> None:
        if world.active_run(self.run).params.setdefault(self.key, self.value) != self.value:
            raise RefusedError("PARAM_IMMUTABLE")

    def answer(self, response: Any) -> None:
        assert response.new_metric_count == 0


@dataclass(frozen=True)
class SetTag(Change):
    """Of a run; without a value it is removed."""

    service, method = run_grpc.RunServiceStub, "LogBatch"
    run: int
    key: str
    value: str | None

    def request(self, world: World) -> Any:
        request = run_service.LogBatchRequest(run_id=world.run_id(self.run))
        if self.value is None:
            request.deleted_tag_keys.append(self.key)
        else:
            request.tags.add(key=self.key, value=self.value)
        return request

    def apply(self, world: World) -> None:
        tags = world.active_run(self.run).tags
        if self.value is not None:
            tags[self.key] = self.value
        elif tags.pop(self.key, None) is None:
            raise RefusedError("TAG_NOT_FOUND")


@dataclass(frozen=True)
class LogInputs(Change):
    service, method = run_grpc.RunServiceStub, "LogInputs"
    run: int
    datasets: tuple[tuple[str, str], ...]
    models: tuple[int, ...]

    def request(self, world: World) -> Any:
        request = run_service.LogInputsRequest(run_id=world.run_id(self.run))
        for name, label in self.datasets:
            item = request.datasets.add(tags=[experiment_pb2.Tag(key="label", value=label)])
            item.dataset.name, item.dataset.digest, item.dataset.source = name, "1", "/data"
        for model in self.models:
            request.models.add(model_id=world.model_ids[model])
        return request

    def apply(self, world: World) -> None:
        run = world.active_run(self.run)
        read = {world.model(model) and world.model_ids[model] for model in self.models}
        run.datasets |= {name: {"label": label} for name, label in self.datasets}
        run.read |= read


@dataclass(frozen=True)
class LogOutputs(Change):
    service, method = run_grpc.RunServiceStub, "LogOutputs"
    run: int
    model: int
    step: int

    def request(self, world: World) -> Any:
        models = [run_pb2.ModelOutput(model_id=world.model_ids[self.model], step=self.step)]
        return run_service.LogOutputsRequest(run_id=world.run_id(self.run), models=models)

    def apply(self, world: World) -> None:
        run = world.active_run(self.run)
        world.model(self.model)
        run.produced[world.model_ids[self.model]] = self.step


@dataclass(frozen=True)
class EndRun(Change):
    """Or let it go on."""

    service, method = run_grpc.RunServiceStub, "UpdateRun"
    run: int
    running: bool

    def request(self, world: World) -> Any:
        status = run_pb2.RUN_STATUS_RUNNING if self.running else run_pb2.RUN_STATUS_FINISHED
        return run_service.UpdateRunRequest(run_id=world.run_id(self.run), status=status)

    def apply(self, world: World) -> None:
        world.active_run(self.run).running = self.running


@dataclass(frozen=True)
class DeleteRun(Change):
    service, method = run_grpc.RunServiceStub, "DeleteRun"
    run: int

    def request(self, world: World) -> Any:
        return run_service.DeleteRunRequest(run_id=world.run_id(self.run))

    def apply(self, world: World) -> None:
        world.runs[world.run_id(self.run)].deleted = True


@dataclass(frozen=True)
class RestoreRun(Change):
    service, method = run_grpc.RunServiceStub, "RestoreRun"
    run: int

    def request(self, world: World) -> Any:
        return run_service.RestoreRunRequest(run_id=world.run_id(self.run))

    def apply(self, world: World) -> None:
        world.runs[world.run_id(self.run)].deleted = False


@dataclass(frozen=True)
class RenewLeases(Change):
    """Of all runs: of those that go on a lease is held."""

    service, method = run_grpc.RunServiceStub, "RenewLeases"

    def request(self, world: World) -> Any:
        return run_service.RenewLeasesRequest(run_ids=list(world.runs))

    def apply(self, world: World) -> list[str]:
        return [run_id for run_id, run in world.runs.items() if run.running and not run.deleted]

    def answer(self, response: Any) -> list[str]:
        return list(response.held_run_ids)
