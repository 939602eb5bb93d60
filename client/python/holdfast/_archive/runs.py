"""Runs as archives: params, tags, all metrics, links, files, and the logged models that belong to them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast._archive.documents import from_document, to_document
from holdfast._archive.members import FORMAT, FORMAT_VERSION, HEAD, not_ours
from holdfast._archive.models import IMPORT_TAG, carried, export_model, import_model
from holdfast._archive.reader import Archive
from holdfast._archive.trees import TreeEntry, TreeExport, import_tree, read_entries
from holdfast._archive.writer import ArchiveWriter, new_archive
from holdfast._calls import MAX_BATCH_LINKS, MAX_BATCH_METRICS, MAX_BATCH_PARAMS, MAX_BATCH_TAGS, batches, build
from holdfast._rpc_errors import is_interruption
from holdfast._times import ms_from_proto, ms_to_proto
from holdfast._transfer.progress import Progress
from holdfast._wholes import read_model, read_run, whole_tree
from holdfast.entities import Experiment, Run
from holdfast.errors import AlreadyExistsError, FailedPreconditionError, HoldfastError, NotFoundError
from holdfast.v1 import artifact_pb2, experiment_pb2, model_pb2, run_pb2
from holdfast.v1 import run_service_pb2 as messages
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

if TYPE_CHECKING:
    from holdfast._client import Client

KIND = "run"
GOING_ON = " (not complete)"


def export_run(client: Client, run_id: str, path: Path) -> Run:
    """Write a run with all that belongs to it to ``path``; returns what was exported."""
    exported = client.get_run(run_id)  # first: it waits for what was logged before
    run = read_run(client.channel, run_id)
    experiment = client.get_experiment(run.experiment_id)
    with Progress("exporting") as shown, new_archive(path) as archive:
        archive.add_document(HEAD, {"format": FORMAT, "format_version": FORMAT_VERSION, "kind": KIND, "run_id": run_id})
        location = {"artifact_location": experiment.artifact_location} if experiment.artifact_location else {}
        archive.add_document("experiment.json", {"name": experiment.name, **location})
        archive.add_document("run.json", to_document(run, "metrics", "truncated", "lost", "lifecycle_stage"))
        measured = _add_metrics(client, archive, run)
        trees = TreeExport(client.channel, archive, shown)
        trees.add("entries.jsonl", whole_tree(client.channel, artifact_pb2.TreeOwner(run_id=run_id)))
        for model in _models_of(client, run, measured):
            export_model(client, archive, trees, model)
    return exported


def import_run(client: Client, path: Path, experiment_name: str | None) -> Run:
    """Make the run that an archive holds, under the id that it had, once, however often it is imported.

    Until all is there the run is RUNNING, and its tag says so; the same import goes on where another one ended.
    """
    archive = Archive(path)
    if archive.head.get("kind") != KIND:
        raise not_ours(f"it holds no run, but {archive.head.get('kind')!r:.40}")
    run = from_document(archive.document("run.json"), run_pb2.Run())
    entries = read_entries(archive, "entries.jsonl")
    models = dict(_read_models(archive))
    everything = [*entries, *(entry for _, some in models.values() for entry in some)]
    if {entry.digest for entry in everything if not entry.is_directory} != archive.digests:
        raise not_ours("it has files that nothing names")
    for line in archive.lines("metrics.jsonl"):
        _metric(line)  # so that nothing begins that cannot end
    if _begin(client, archive, run, experiment_name):
        try:
            _RunImport(client, archive, run).fill(entries, models)
        except HoldfastError as error:
            if not is_interruption(error):  # after which the same import can go on
                _give_up(client, run.run_id)
            raise
    return client.get_run(run.run_id)


def _give_up(client: Client, run_id: str) -> None:
    """Delete a run that cannot become complete, unless the same import, somewhere else, made it so."""
    with contextlib.suppress(HoldfastError):
        if client.get_run(run_id).data.tags.get(IMPORT_TAG, "").endswith(GOING_ON):
            client.delete_run(run_id)


def _add_metrics(client: Client, archive: ArchiveWriter, run: run_pb2.Run) -> set[str]:
    """Add every point; returns the logged models that any of them is about."""
    models: set[str] = set()
    method = client.channel.stub(RunServiceStub).ListMetricHistory
    with archive.lines("metrics.jsonl") as write:
        for key in sorted(metric.key for metric in run.metrics):
            request = messages.ListMetricHistoryRequest(run_id=run.run_id, key=key)
            while True:
                page = client.channel.call(method, request)
                models.update(metric.model_id for metric in page.metrics if metric.model_id)
                write(b"".join(map(_metric_line, page.metrics)))
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
    return models


def _models_of(client: Client, run: run_pb2.Run, measured: Iterable[str]) -> Iterator[model_pb2.LoggedModel]:
    """Logged models that a run logged, read, produced or measured, so that no link leads nowhere; not those gone."""
    logged = client.search_logged_models(source_run_id=run.run_id, max_results=None)
    wanted = {model.model_id for model in logged}
    wanted.update(link.model_id for link in run.model_inputs)
    wanted.update(link.model_id for link in run.model_outputs)
    wanted.update(measured)
    for model_id in sorted(wanted):
        with contextlib.suppress(NotFoundError):
            yield read_model(client.channel, model_id)


def _read_models(archive: Archive) -> Iterator[tuple[str, tuple[model_pb2.LoggedModel, list[TreeEntry]]]]:
    for folder in archive.folders:
        model = from_document(archive.document(f"{folder}model.json"), model_pb2.LoggedModel())
        if f"models/{model.model_id}/" != folder:
            raise not_ours(f"{folder} has another model in it")
        yield model.model_id, (model, read_entries(archive, f"{folder}entries.jsonl"))


def _begin(client: Client, archive: Archive, run: run_pb2.Run, experiment_name: str | None) -> bool:
    """Create the run, or find it begun; whether anything of it is missing.

    Raises:
        AlreadyExistsError: Another run has the id, or what was imported earlier is another archive of it.
    """
    try:
        known = client.get_run(run.run_id)
    except NotFoundError:
        experiment = _experiment(client, archive, experiment_name)
        request = build(
            messages.CreateRunRequest,
            experiment_id=experiment.experiment_id,
            run_name=run.run_name,
            user_id=run.user_id,
            start_time=run.start_time,
            tags=[experiment_pb2.Tag(key=IMPORT_TAG, value=archive.id + GOING_ON)],
            run_id=run.run_id,
        )
        client.channel.call(client.channel.stub(RunServiceStub).CreateRun, request)
        return True
    tag = known.data.tags.get(IMPORT_TAG)
    if tag not in {archive.id, archive.id + GOING_ON}:
        raise AlreadyExistsError(
            f"There is a run {run.run_id} that this archive did not make. To replace it, delete it for good: "
            "delete the run, then `holdfast gc --purge-deleted 0`.",
            reason="ALREADY_EXISTS",
            metadata={"run_id": run.run_id},
        )
    if known.info.lifecycle_stage == "deleted":
        if tag == archive.id:
            raise FailedPreconditionError(f"Run {run.run_id} is deleted; restore it first.", reason="DELETED")
        client.restore_run(run.run_id)  # which an import deleted that did not succeed
    return tag != archive.id


def _experiment(client: Client, archive: Archive, name: str | None) -> Experiment:
    document = archive.document("experiment.json")
    wanted, location = name or document.get("name"), None if name else document.get("artifact_location")
    if not isinstance(wanted, str):
        raise not_ours("its experiment has no name")
    if not isinstance(location, str | None):
        raise not_ours("its experiment's artifact location is no text")
    found = client.get_experiment_by_name(wanted)
    if found is None:
        try:
            return client.get_experiment(client.create_experiment(wanted, location))
        except AlreadyExistsError:  # since we looked
            found = client.get_experiment_by_name(wanted)
            assert found is not None
    return found


class _RunImport:
    """Gives a run all that an archive has of it; each step may be repeated."""

    def __init__(self, client: Client, archive: Archive, run: run_pb2.Run) -> None:
        self._client, self._archive, self._run = client, archive, run
        self._runs = client.channel.stub(RunServiceStub)

    def fill(self, entries: list[TreeEntry], models: dict[str, tuple[model_pb2.LoggedModel, list[TreeEntry]]]) -> None:
        """Import everything, and then say that the import is complete."""
        client, run = self._client, self._run
        experiment_id = client.get_run(run.run_id).info.experiment_id
        tags = carried(run.tags)
        for params in batches(list(run.params), MAX_BATCH_PARAMS):
            self._log(messages.LogBatchRequest(params=params))
        for some in batches(tags, MAX_BATCH_TAGS):
            self._log(messages.LogBatchRequest(tags=some))
        import_tree(client.channel, self._archive, entries, artifact_pb2.TreeOwner(run_id=run.run_id))
        for model, files in models.values():
            own = run.run_id if model.source_run_id == run.run_id else ""
            import_model(client, self._archive, model, files, experiment_id=experiment_id, source_run_id=own)
        self._link(set(models))
        self._add_metrics(set(models))
        end = run.end_time if run.HasField("end_time") else None
        client.channel.call(
            self._runs.UpdateRun, messages.UpdateRunRequest(run_id=run.run_id, status=run.status, end_time=end)
        )
        self._log(messages.LogBatchRequest(tags=[experiment_pb2.Tag(key=IMPORT_TAG, value=self._archive.id)]))

    def _log(self, request: messages.LogBatchRequest) -> None:
        request.run_id = self._run.run_id
        self._client.channel.call(self._runs.LogBatch, request)

    def _link(self, models: set[str]) -> None:
        """Links to models that are gone for good are left out: there is nothing that they could lead to."""
        run, call = self._run, self._client.channel.call
        for datasets in batches(list(run.dataset_inputs), MAX_BATCH_LINKS):
            call(self._runs.LogInputs, messages.LogInputsRequest(run_id=run.run_id, datasets=datasets))
        inputs = [link for link in run.model_inputs if link.model_id in models]
        for some in batches(inputs, MAX_BATCH_LINKS):
            call(self._runs.LogInputs, messages.LogInputsRequest(run_id=run.run_id, models=some))
        outputs = [link for link in run.model_outputs if link.model_id in models]
        for produced in batches(outputs, MAX_BATCH_LINKS):
            call(self._runs.LogOutputs, messages.LogOutputsRequest(run_id=run.run_id, models=produced))

    def _add_metrics(self, models: set[str]) -> None:
        """Points count as a stream of this archive's own, so that a repetition adds none twice."""
        position = 0
        batch: list[run_pb2.Metric] = []

        def send() -> None:
            nonlocal position
            writer_id = f"import-{self._archive.id}"
            self._log(messages.LogBatchRequest(metrics=batch, writer_id=writer_id, writer_sequence=position))
            position += len(batch)
            batch.clear()

        for line in self._archive.lines("metrics.jsonl"):
            metric = _metric(line)
            if metric.model_id not in models:
                metric.model_id = ""
            batch.append(metric)
            if len(batch) == MAX_BATCH_METRICS:
                send()
        if batch:
            send()


def _metric_line(metric: run_pb2.Metric) -> bytes:
    """Key, value, milliseconds, step, then model and dataset where there are some; protobuf's JSON takes far longer."""
    value: Any = metric.value
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - NaN, which JSON cannot hold
        value = repr(value)
    fields = [metric.key, value, ms_from_proto(metric.timestamp), metric.step]
    if metric.model_id or metric.dataset_name or metric.dataset_digest:
        fields += [metric.model_id, metric.dataset_name, metric.dataset_digest]
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def _metric(line: Any) -> run_pb2.Metric:
    try:
        key, value, timestamp, step, *about = line
        model_id, dataset_name, dataset_digest = about or ("", "", "")
        return run_pb2.Metric(
            key=key,
            value=float(value),
            timestamp=ms_to_proto(timestamp),
            step=step,
            model_id=model_id,
            dataset_name=dataset_name,
            dataset_digest=dataset_digest,
        )
    except (TypeError, ValueError):
        raise not_ours("metrics.jsonl has a line that is none of an export") from None
