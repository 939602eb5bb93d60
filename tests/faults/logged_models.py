"""Changes of logged models, and of what is around runs: the names of their experiments, and aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.faults.logged_world import Change, Model, RefusedError, World

from holdfast.v1 import experiment_service_pb2 as experiment_service
from holdfast.v1 import experiment_service_pb2_grpc as experiment_grpc
from holdfast.v1 import model_registry_service_pb2 as registry_service
from holdfast.v1 import model_registry_service_pb2_grpc as registry_grpc
from holdfast.v1 import model_service_pb2 as model_service
from holdfast.v1 import model_service_pb2_grpc as model_grpc


@dataclass(frozen=True)
class RenameExperiment(Change):
    service, method = experiment_grpc.ExperimentServiceStub, "UpdateExperiment"
    experiment: int
    name: str

    def request(self, world: World) -> Any:
        return experiment_service.UpdateExperimentRequest(
            experiment_id=list(world.names)[self.experiment], name=world.prefix + self.name
        )

    def apply(self, world: World) -> None:
        experiment_id = list(world.names)[self.experiment]
        if any(name == self.name for other, name in world.names.items() if other != experiment_id):
            raise RefusedError("ALREADY_EXISTS")
        world.names[experiment_id] = self.name


@dataclass(frozen=True)
class CreateModel(Change):
    """By an id of the caller's."""

    service, method = model_grpc.ModelServiceStub, "CreateLoggedModel"
    model: int
    run: int | None

    def request(self, world: World) -> Any:
        run_id = "" if self.run is None else world.run_id(self.run)
        return model_service.CreateLoggedModelRequest(model_id=world.model_ids[self.model], source_run_id=run_id)

    def apply(self, world: World) -> None:
        model_id, run_id = world.model_ids[self.model], "" if self.run is None else world.run_id(self.run)
        known = world.models.get(model_id)
        if known is not None:
            if known.run_id != run_id:
                raise RefusedError("ALREADY_EXISTS")
            return
        if self.run is not None:
            world.active_run(self.run)
        world.models[model_id] = Model(run_id)


@dataclass(frozen=True)
class UpdateModel(Change):
    """A param, and a tag, which is removed without a value."""

    service, method = model_grpc.ModelServiceStub, "UpdateLoggedModel"
    model: int
    param: str
    tag: str | None

    def request(self, world: World) -> Any:
        request = model_service.UpdateLoggedModelRequest(model_id=world.model_ids[self.model])
        request.params.add(key="k", value=self.param)
        if self.tag is None:
            request.deleted_tag_keys.append("k")
        else:
            request.tags.add(key="k", value=self.tag)
        return request

    def apply(self, world: World) -> None:
        model = world.active_model(self.model)
        if model.params.setdefault("k", self.param) != self.param:
            raise RefusedError("PARAM_IMMUTABLE")
        model.tags.pop("k", None)
        if self.tag is not None:
            model.tags["k"] = self.tag


@dataclass(frozen=True)
class FinalizeModel(Change):
    service, method = model_grpc.ModelServiceStub, "FinalizeLoggedModel"
    model: int
    status: str

    def request(self, world: World) -> Any:
        return model_service.FinalizeLoggedModelRequest(
            model_id=world.model_ids[self.model], status=f"LOGGED_MODEL_STATUS_{self.status}"
        )

    def apply(self, world: World) -> None:
        model = world.active_model(self.model)
        if model.status not in {"PENDING", self.status}:
            raise RefusedError("MODEL_FINALIZED")
        model.status = self.status


@dataclass(frozen=True)
class DeleteModel(Change):
    service, method = model_grpc.ModelServiceStub, "DeleteLoggedModel"
    model: int

    def request(self, world: World) -> Any:
        return model_service.DeleteLoggedModelRequest(model_id=world.model_ids[self.model])

    def apply(self, world: World) -> None:
        world.model(self.model).deleted = True


@dataclass(frozen=True)
class RestoreModel(Change):
    service, method = model_grpc.ModelServiceStub, "RestoreLoggedModel"
    model: int

    def request(self, world: World) -> Any:
        return model_service.RestoreLoggedModelRequest(model_id=world.model_ids[self.model])

    def apply(self, world: World) -> None:
        world.model(self.model).deleted = False


@dataclass(frozen=True)
class MoveAlias(Change):
    """On condition of what it names, or without one."""

    service, method = registry_grpc.ModelRegistryServiceStub, "SetAlias"
    alias: str
    version: int
    expected: int | None

    def request(self, world: World) -> Any:
        return registry_service.SetAliasRequest(
            name=f"{world.prefix}m", alias=self.alias, version=self.version, expected_version=self.expected
        )

    def apply(self, world: World) -> None:
        if self.expected is not None and world.aliases.get(self.alias, 0) != self.expected:
            raise RefusedError("CONFLICT")
        world.aliases[self.alias] = self.version
