"""What a client watches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from holdfast._calls import Calls, build
from holdfast._events import event_types_to_proto
from holdfast._experiments import experiment_from_proto
from holdfast._registry import registered_model_from_proto
from holdfast._runs import run_from_proto
from holdfast.entities import Event
from holdfast.v1 import experiment_service_pb2, model_registry_service_pb2, run_service_pb2
from holdfast.v1.experiment_service_pb2_grpc import ExperimentServiceStub
from holdfast.v1.model_registry_service_pb2_grpc import ModelRegistryServiceStub
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

if TYPE_CHECKING:
    from holdfast._client import Client
    from holdfast._watching import Watch


class WatchCalls(Calls):
    """What a client watches. Each watch tells first how things are, then each change, whoever makes it."""

    def watch_run(
        self,
        run_id: str,
        cursor: str | None = None,
        *,
        types: str | Iterable[str] | None = None,
        retry_for: float | None = None,
    ) -> Watch:
        """Watch a run: its status, params, tags, metrics, links, artifacts and liveness. It has no end of its own.

        That the run's experiment is deleted or restored is told as an event of the experiment.

        Args:
            run_id: The run.
            cursor: ``cursor`` of an event or watch of this run, to go on behind it; None begins with the run as it is,
                as ``state`` of an event of type ``"STATE"``.
            types: Only events of these types, such as ``["UPDATED", "LOST"]``; None for all.
            retry_for: Seconds to look for a server that went away; None for as long as it takes.
        """
        request = build(
            run_service_pb2.WatchRunRequest, run_id=run_id, cursor=cursor or "", types=event_types_to_proto(types)
        )

        def state(response: run_service_pb2.WatchRunResponse) -> Event:
            client = cast("Client", self)
            # A run that is too large for one message is read whole; it may then show what later events tell again.
            run = client.get_run(run_id) if response.run.truncated else run_from_proto(response.run).bind(client)
            return Event(
                type="STATE",
                subject="RUN",
                cursor=response.cursor,
                experiment_id=run.info.experiment_id,
                run_id=run_id,
                state=run,
            )

        return self._watch(self._channel.stub(RunServiceStub).WatchRun, request, state, retry_for)

    def watch_experiment(
        self,
        experiment_id: str,
        cursor: str | None = None,
        *,
        types: str | Iterable[str] | None = None,
        retry_for: float | None = None,
    ) -> Watch:
        """Watch an experiment with its runs and logged models. It has no end of its own.

        Who searches runs after the first event misses none: what changes later is told.

        Args:
            experiment_id: The experiment.
            cursor: As for ``watch_run``.
            types: As for ``watch_run``; without ``"METRICS"`` a busy experiment says much less.
            retry_for: As for ``watch_run``.
        """
        request = build(
            experiment_service_pb2.WatchExperimentRequest,
            experiment_id=str(experiment_id),
            cursor=cursor or "",
            types=event_types_to_proto(types),
        )

        def state(response: experiment_service_pb2.WatchExperimentResponse) -> Event:
            experiment = experiment_from_proto(response.experiment)
            return Event(
                type="STATE",
                subject="EXPERIMENT",
                cursor=response.cursor,
                experiment_id=experiment.experiment_id,
                state=experiment,
            )

        return self._watch(self._channel.stub(ExperimentServiceStub).WatchExperiment, request, state, retry_for)

    def watch_model(
        self,
        name: str,
        alias: str | None = None,
        cursor: str | None = None,
        *,
        types: str | Iterable[str] | None = None,
        retry_for: float | None = None,
    ) -> Watch:
        """Watch a registered model with its versions and aliases, also under another name, until it is deleted.

        ::

            for event in client.watch_model("churn", alias="prod"):
                version = event.state.aliases.get("prod") if event.state else event.version

        Args:
            name: The registered model; when going on, the name with which the watch began.
            alias: Only what concerns this alias: what it names, and a new name or the end of the registered model.
            cursor: As for ``watch_run``.
            types: As for ``watch_run``.
            retry_for: As for ``watch_run``.
        """
        request = build(
            model_registry_service_pb2.WatchRegisteredModelRequest,
            name=name,
            alias=alias or "",
            cursor=cursor or "",
            types=event_types_to_proto(types),
        )

        def state(response: model_registry_service_pb2.WatchRegisteredModelResponse) -> Event:
            model = registered_model_from_proto(response.registered_model)
            return Event(type="STATE", subject="REGISTERED_MODEL", cursor=response.cursor, name=model.name, state=model)

        method = self._channel.stub(ModelRegistryServiceStub).WatchRegisteredModel
        return self._watch(method, request, state, retry_for)

    def _watch(self, method: Any, request: Any, state: Any, retry_for: float | None) -> Watch:
        from holdfast._watching import Watch

        if self._sender.holds_changes:
            self._settle()  # what is to be watched may not be there yet
        return Watch(self._channel, method, request, state, retry_for=retry_for)
