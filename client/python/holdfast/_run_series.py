"""What a client reads of runs that is too much to be read as it is: all of many runs, and metrics of many points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from holdfast._calls import Calls, build, texts
from holdfast._experiments import view_type_to_proto
from holdfast._metrics import metric_bucket_from_proto
from holdfast._runs import run_from_proto
from holdfast._transfer.streams import Messages
from holdfast.entities import MetricBucket, Run, ViewType
from holdfast.v1 import run_pb2
from holdfast.v1 import run_service_pb2 as messages
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

if TYPE_CHECKING:
    from holdfast._client import Client


class RunSeriesCalls(Calls):
    """The part of ``RunCalls`` that streams runs and draws charts."""

    def iterate_runs(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str = "",
        run_view_type: ViewType | int = ViewType.ACTIVE_ONLY,
        order_by: Sequence[str] | None = None,
        *,
        fields: Sequence[str] | None = None,
        search_all_experiments: bool = False,
    ) -> Iterator[Run]:
        """Go through all runs that ``search_runs`` would find, however many, in bounded memory.

        The runs come as a stream, which goes on where it was when the connection breaks. A run that changes meanwhile
        may be seen as it was before or as it is after.

        Args:
            experiment_ids: As in ``search_runs``.
            filter_string: The same.
            run_view_type: The same.
            order_by: The same.
            fields: The same; the fewer, the faster.
            search_all_experiments: The same.
        """
        request = build(
            messages.StreamRunsRequest,
            experiment_ids=texts(experiment_ids),
            all_experiments=search_all_experiments,
            filter=filter_string or "",
            order_by=texts(order_by),
            view_type=view_type_to_proto(run_view_type),
            fields=texts(fields),
            in_columns=True,
        )
        self._settle()
        return self._iterate(request)

    def get_metric_chart(
        self,
        run_id: str,
        key: str,
        buckets: int = 1_000,
        *,
        min_step: int | None = None,
        max_step: int | None = None,
    ) -> list[MetricBucket]:
        """Read a metric as a chart shows it: ranges of steps with least, greatest and last value, in order of steps.

        Args:
            run_id: The run.
            key: The metric.
            buckets: At most this many ranges, up to 5,000; those without points are left out.
            min_step: Only points of this step or later; None from the first on.
            max_step: Only points of this step or earlier; None to the last.
        """
        request = build(
            messages.GetMetricChartRequest,
            run_id=run_id,
            key=key,
            max_buckets=buckets,
            min_step=min_step,
            max_step=max_step,
        )
        self._settle()
        response = self._channel.call(self._runs.GetMetricChart, request)
        return [metric_bucket_from_proto(bucket) for bucket in response.buckets]

    def _iterate(self, request: messages.StreamRunsRequest) -> Iterator[Run]:
        stream: Messages | None = None

        def close() -> None:
            nonlocal stream
            broken, stream = stream, None
            if broken is not None:
                broken.close()

        def next_part() -> messages.StreamRunsResponse | None:
            nonlocal stream
            try:
                if stream is None:
                    stream = Messages(self._runs.StreamRuns(request))
                return next(stream, None)
            except BaseException:
                close()
                raise

        try:
            while (part := self._channel.run(next_part)) is not None:
                request.resume_token = part.resume_token
                yield from map(self._found_run, part.runs)
        finally:
            close()

    def _found_run(self, proto: run_pb2.Run) -> Run:
        """A run that was found; one that was too large for an answer came without some of its lists."""
        return cast("Client", self).get_run(proto.run_id) if proto.truncated else self._run(proto)

    @property
    def _runs(self) -> RunServiceStub:
        return self._channel.stub(RunServiceStub)

    def _run(self, proto: run_pb2.Run) -> Run:
        return run_from_proto(proto).bind(cast("Client", self))
