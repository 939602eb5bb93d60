"""What a client does with runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast import _system_metrics
from holdfast._background import Background
from holdfast._calls import (
    MAX_BATCH_PARAMS,
    MAX_BATCH_TAGS,
    SETTLE_SECONDS,
    batches,
    build,
    collect,
    tags_to_proto,
    texts,
)
from holdfast._context import PARENT_TAG, USER_TAG
from holdfast._datasets import dataset_input_to_proto, dataset_inputs
from holdfast._experiments import view_type_to_proto
from holdfast._journal import processes
from holdfast._journal.keeping import KeptCalls
from holdfast._metrics import columns_of, metric_from_proto
from holdfast._patience import time_left
from holdfast._run_series import RunSeriesCalls
from holdfast._runs import param_to_proto, params_to_proto, run_to_be, status_to_proto
from holdfast._times import ms_to_proto, now_ms
from holdfast.entities import (
    DatasetInput,
    LoggedModel,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    PagedList,
    Param,
    Run,
    RunStatus,
    RunTag,
    ViewType,
)
from holdfast.format.names import MAX_RUN_TAG
from holdfast.v1 import run_pb2
from holdfast.v1 import run_service_pb2 as messages

PAGE_SIZE = 1_000
HISTORY_PAGE_SIZE = 25_000


class RunCalls(RunSeriesCalls, KeptCalls):
    """What a client does with runs. Writes to finished runs are accepted, to deleted ones refused.

    While the server is away, runs are begun and ended and params and tags are set in the journal, with one warning, and
    sent when it is back; ``strict`` clients raise ``UnavailableError`` instead.
    """

    _background: Background

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, Any] | None = None,
        run_name: str | None = None,
        *,
        run_id: str | None = None,
        user_id: str | None = None,
        take_lease: bool = False,
    ) -> Run:
        """Create a run, RUNNING.

        Args:
            experiment_id: An active experiment.
            start_time: Milliseconds since 1970; None for now.
            tags: At most 100.
            run_name: None to have one made up.
            run_id: 32 hex digits of one's own, for work begun elsewhere; creating is idempotent by it.
            user_id: Who starts it; None for what the tag ``mlflow.user`` says.
            take_lease: Whether it is lost unless its lease is renewed, which ``holdfast.start_run`` sees to by itself.
        """
        request = build(
            messages.CreateRunRequest,
            experiment_id=self._with_id(str(experiment_id)),
            run_name=run_name or "",
            start_time=ms_to_proto(now_ms() if start_time is None else start_time),
            tags=tags_to_proto(tags, MAX_RUN_TAG),
            user_id=str((tags or {}).get(USER_TAG, "")) if user_id is None else user_id,
            # Chosen here, so that the run can be logged to before the server knows of it.
            run_id=run_id or secrets.token_hex(16),
            take_lease=take_lease,
        )
        answer = self._keep("CreateRun", request)
        run = run_to_be(request) if answer is None else answer.run
        if run.status == run_pb2.RUN_STATUS_RUNNING:
            self._sender.journal.known_runs.add(run.run_id)
        return self._run(run)

    def get_run(self, run_id: str) -> Run:
        """Read a run whole, deleted or not.

        Raises:
            NotFoundError: There is none of this id.
        """
        self._settle()
        whole = run_pb2.Run()
        request = build(messages.GetRunRequest, run_id=run_id)
        while True:
            page = self._channel.call(self._runs.GetRun, request)
            # Merging appends lists, which is how pages of a run continue each other.
            whole.MergeFrom(page.run)
            if not page.next_page_token:
                return self._run(whole)
            request.page_token = page.next_page_token

    def get_parent_run(self, run_id: str) -> Run | None:
        """Read the run that this one is nested in; None when it is in none."""
        parent = self.get_run(run_id).data.tags.get(PARENT_TAG)
        return self.get_run(parent) if parent else None

    def search_runs(  # noqa: PLR0917 - MLflow's own signature
        self,
        experiment_ids: Sequence[str],
        filter_string: str = "",
        run_view_type: ViewType | int = ViewType.ACTIVE_ONLY,
        max_results: int | None = 1_000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
        *,
        fields: Sequence[str] | None = None,
        search_all_experiments: bool = False,
    ) -> PagedList[Run]:
        """Find runs, such as ``"metrics.loss < 0.1 AND params.optimizer = 'adam'"``; newest first without an ordering.

        Args:
            experiment_ids: At least one, unless ``search_all_experiments`` is set.
            filter_string: Conditions joined by AND on ``metrics.*``, ``params.*``, ``tags.*``, ``attributes.*`` and
                ``dataset.*``.
            run_view_type: Which lifecycle stages.
            max_results: None for all; ``iterate_runs`` does not keep them all in memory.
            order_by: Such as ``["metrics.loss ASC", "attributes.start_time DESC"]``.
            page_token: ``token`` of the list before.
            fields: What each run holds besides its attributes, such as ``["metrics.loss", "params", "tags.team"]``;
                ``["attributes"]`` for nothing else, None for everything.
            search_all_experiments: Look in every experiment that is not deleted; ``experiment_ids`` is empty then.
        """
        self._settle()

        def fetch(page_size: int, token: str) -> tuple[Iterable[Run], str]:
            request = build(
                messages.SearchRunsRequest,
                experiment_ids=texts(experiment_ids),
                filter=filter_string or "",
                order_by=texts(order_by),
                view_type=view_type_to_proto(run_view_type),
                page_size=page_size,
                page_token=token,
                all_experiments=search_all_experiments,
                fields=texts(fields),
                in_columns=True,
            )
            page = self._channel.call(self._runs.SearchRuns, request)
            return map(self._found_run, page.runs), page.next_page_token

        return collect(fetch, max_results=max_results, page_size=PAGE_SIZE, token=page_token)

    def update_run(
        self, run_id: str, status: str | None = None, name: str | None = None, *, end_time: int | None = None
    ) -> None:
        """Change a run's status, name or end (milliseconds); None leaves each as it is. RUNNING clears its end.

        Unlike ``set_terminated`` it waits for nothing that was logged.
        """
        end = None if end_time is None else ms_to_proto(end_time)
        request = build(messages.UpdateRunRequest, run_id=run_id, run_name=name, end_time=end)
        if status is not None:
            request.status = status_to_proto(status)
        self._keep("UpdateRun", request)

    def _resume_unread(self, run_id: str, name: str | None = None) -> Run:
        """Set a run RUNNING, and return what the server tells of it: a worker's token gets its ids and status."""
        request = build(messages.UpdateRunRequest, run_id=run_id, run_name=name, status=status_to_proto("RUNNING"))
        return self._run(self._channel.call(self._runs.UpdateRun, request).run)

    def set_terminated(self, run_id: str, status: str | None = None, end_time: int | None = None) -> None:
        """End a run, FINISHED unless ``status`` says otherwise, now unless ``end_time`` (milliseconds) does.

        What was logged is sent before, for 30 s at most, and 3 s while the server is away. Uploads in the background
        are waited for as long as they take, with a word now and then: each gives up by itself when the server does not
        answer. What remains or failed is told by a warning, or by ``UnsentError`` from a strict client, which then does
        not end the run.
        """
        request = build(
            messages.UpdateRunRequest,
            run_id=run_id,
            status=status_to_proto(status or RunStatus.FINISHED),
            end_time=ms_to_proto(now_ms() if end_time is None else end_time),
        )
        # Before what is logged is sent, so that the last point is too; the fluent API has done so already.
        _system_metrics.stop(run_id)
        # Somebody in a hurry is to have time left to record the end.
        uploads = self._background.wait_for_end(f"The end of run {run_id}", time_left() / 2)
        self._sender.flush(SETTLE_SECONDS, away_timeout=processes.AWAY_SECONDS)
        if self.strict:
            self._tell_unsent(uploads)
        self._keep("UpdateRun", request)
        self._sender.journal.forget(run_id)
        self._tell_unsent(uploads)

    def delete_run(self, run_id: str) -> None:
        """Mark a run as deleted; ``restore_run`` undoes it."""
        self._settle()
        self._sender.journal.forget(run_id)
        self._mutate(self._runs.DeleteRun, build(messages.DeleteRunRequest, run_id=run_id))

    def restore_run(self, run_id: str) -> None:
        """Undo ``delete_run``."""
        self._mutate(self._runs.RestoreRun, build(messages.RestoreRunRequest, run_id=run_id))

    def log_batch(
        self,
        run_id: str,
        metrics: Iterable[Metric] = (),
        params: Iterable[Param] = (),
        tags: Iterable[RunTag] = (),
        synchronous: bool | None = None,
    ) -> None:
        """Log up to 1,000 metrics, 100 params and 100 tags at once. This operation is atomic.

        Args:
            run_id: The run.
            metrics: Points; those without a time get this moment's.
            params: New ones; the same value again is fine.
            tags: To set.
            synchronous: Taken for compatibility: what returns is durable, unless the server is away.

        Raises:
            InvalidArgumentError: A param has another value, or a limit is exceeded; nothing of the batch is kept.
        """
        del synchronous
        request = build(
            messages.LogBatchRequest,
            run_id=run_id,
            metric_columns=columns_of(metrics),
            params=[param_to_proto(param) for param in params],
            tags=tags_to_proto({tag.key: tag.value for tag in tags}, MAX_RUN_TAG),
        )
        self._keep("LogBatch", request)

    def log_param(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> Any:
        """Log a param as text and return its value.

        Raises:
            InvalidArgumentError: It has another value already.
        """
        self.log_batch(run_id, params=[Param(key, value)], synchronous=synchronous)
        return value

    def log_params(self, run_id: str, params: Mapping[str, Any], *, synchronous: bool | None = None) -> None:
        """Log params, 100 at a time.

        Raises:
            InvalidArgumentError: One has another value already; nothing of its hundred is kept.
        """
        del synchronous
        for batch in batches(params_to_proto(params), MAX_BATCH_PARAMS):
            self._log(run_id, params=batch)

    def set_tag(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> None:
        """Set a label of a run."""
        self.log_batch(run_id, tags=[RunTag(key, value)], synchronous=synchronous)

    def set_tags(self, run_id: str, tags: Mapping[str, Any], *, synchronous: bool | None = None) -> None:
        """Set labels of a run, 100 at a time."""
        del synchronous
        for batch in batches(tags_to_proto(tags, MAX_RUN_TAG), MAX_BATCH_TAGS):
            self._log(run_id, tags=batch)

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove a label of a run.

        Raises:
            NotFoundError: The run has no such label.
        """
        self._keep("LogBatch", build(messages.LogBatchRequest, run_id=run_id, deleted_tag_keys=[key]))

    def get_metric_history(
        self,
        run_id: str,
        key: str,
        max_results: int | None = None,
        page_token: str | None = None,
        *,
        min_step: int | None = None,
        max_step: int | None = None,
    ) -> PagedList[Metric]:
        """Read the points of a metric in order of step, time and arrival; all of them without ``max_results``.

        Args:
            run_id: The run.
            key: The metric.
            max_results: None for all.
            page_token: ``token`` of the list before.
            min_step: Only points of this step or later; None from the first on.
            max_step: Only points of this step or earlier; None to the last.
        """
        self._settle()

        def fetch(page_size: int, token: str) -> tuple[Iterable[Metric], str]:
            request = build(
                messages.ListMetricHistoryRequest,
                run_id=run_id,
                key=key,
                page_size=page_size,
                page_token=token,
                min_step=min_step,
                max_step=max_step,
            )
            page = self._channel.call(self._runs.ListMetricHistory, request)
            return [metric_from_proto(metric, run_id) for metric in page.metrics], page.next_page_token

        return collect(fetch, max_results=max_results, page_size=HISTORY_PAGE_SIZE, token=page_token)

    def log_input(
        self,
        run_id: str,
        dataset: Any = None,
        context: str | None = None,
        tags: Mapping[str, Any] | None = None,
        model: LoggedModel | LoggedModelInput | None = None,
    ) -> None:
        """Link a dataset, a logged model or both that a run read; see ``holdfast.log_input``."""
        self.log_inputs(
            run_id,
            [] if dataset is None else dataset_inputs([dataset], [context], [tags]),
            [] if model is None else [LoggedModelInput(model.model_id)],
        )

    def log_inputs(
        self,
        run_id: str,
        datasets: Sequence[DatasetInput] | None = None,
        models: Sequence[LoggedModelInput] | None = None,
    ) -> None:
        """Link what a run read: up to 100 datasets and 100 logged models. This operation is atomic."""
        request = build(
            messages.LogInputsRequest,
            run_id=run_id,
            datasets=[dataset_input_to_proto(item) for item in datasets or ()],
            models=[build(run_pb2.ModelInput, model_id=item.model_id) for item in models or ()],
        )
        self._keep("LogInputs", request)

    def log_outputs(self, run_id: str, models: Sequence[LoggedModelOutput]) -> None:
        """Link up to 100 logged models that a run produced. This operation is atomic."""
        outputs = [build(run_pb2.ModelOutput, model_id=item.model_id, step=item.step) for item in models]
        self._keep("LogOutputs", build(messages.LogOutputsRequest, run_id=run_id, models=outputs))
