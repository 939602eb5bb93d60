"""Runs, with params, tags, points, links, files, status and stage."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast._store_sync.context import HasModel, StoreSync, pages
from holdfast._store_sync.experiments import Places
from holdfast._store_sync.links import sync_links
from holdfast._store_sync.marks import Record, TagMarks
from holdfast._store_sync.params import note_refused, sync_params
from holdfast._store_sync.points import sync_points
from holdfast._times import ms_from_proto
from holdfast._wholes import read_run, whole_tree
from holdfast.errors import AlreadyExistsError, NotFoundError
from holdfast.v1 import artifact_pb2, experiment_pb2, run_pb2
from holdfast.v1 import run_service_pb2 as messages

_DELETED = experiment_pb2.LIFECYCLE_STAGE_DELETED


class Runs:
    """Sends the runs of a store."""

    def __init__(self, sync: StoreSync, places: Places) -> None:
        self._sync, self._places = sync, places
        self._ensured: dict[str, bool] = {}
        # Those that are deleted at the source and are to be so at the target, once the models that they made are there.
        self._gone: dict[str, _Run] = {}

    def sync(self, has_model: HasModel) -> None:
        """Send all runs of the experiments that are to be sent, the earliest first.

        Args:
            has_model: Makes sure that the target has a model of the source; False when it is gone for good.
        """
        sync = self._sync
        view = experiment_pb2.VIEW_TYPE_ALL if sync.include_deleted else experiment_pb2.VIEW_TYPE_ACTIVE_ONLY
        # Listed first, so that runs that begin meanwhile do not make this endless.
        run_ids = list(self._list(view))
        for number, run_id in enumerate(run_ids, 1):
            sync.progress.relabel(f"run {number:,} of {len(run_ids):,}")
            with sync.tally.noting("run", run_id):
                before, problems = sync.tally.sent, len(sync.tally.problems)
                if self._run(read_run(sync.source.channel, run_id)).send(has_model):
                    is_changed = sync.tally.sent > before
                    sync.tally.runs += is_changed
                    sync.tally.unchanged_runs += not is_changed and len(sync.tally.problems) == problems
        if not sync.include_deleted:
            sync.tally.left_deleted_runs = sum(1 for _ in self._list(experiment_pb2.VIEW_TYPE_DELETED_ONLY))

    def ensure(self, run_id: str) -> bool:
        """Make sure that the target has a run, which a logged model names; False when it is gone for good.

        One that is not to be sent comes without its points and files: they come when it is. One that is deleted is
        active until ``settle``, as no model can be made for it otherwise.

        Raises:
            AlreadyExistsError: There is a run of this id that did not come from this store.
        """
        found = self._ensured.get(run_id)
        if found is None:
            found = self._ensured[run_id] = self._ensure(run_id)
        return found

    def settle(self, run_id: str) -> None:
        """Delete a run at the target that ``ensure`` had to bring though it is deleted at the source."""
        if self.ensure(run_id) and (run := self._gone.pop(run_id, None)):
            run.delete()

    def _ensure(self, run_id: str) -> bool:
        sync = self._sync
        try:
            run = read_run(sync.source.channel, run_id)
        except NotFoundError:  # gone for good
            return False
        is_deleted = run.lifecycle_stage == _DELETED
        if run.experiment_id in sync.experiment_ids and (sync.include_deleted or not is_deleted):
            if not sync.is_dry_run:
                self._run(run).find_or_create()
            return True
        before = sync.tally.sent
        self._run(run).send_head()
        sync.tally.partial += sync.tally.sent > before
        if is_deleted:
            self._gone[run_id] = self._run(run)
        return True

    def _run(self, run: run_pb2.Run) -> _Run:
        return _Run(self._sync, self._places, run)

    def _list(self, view: experiment_pb2.ViewType) -> Iterator[str]:
        source = self._sync.source
        for ids in self._sync.experiments_in_parts():
            request = messages.SearchRunsRequest(
                experiment_ids=ids, view_type=view, order_by=["start_time ASC"], page_size=10_000, fields=["attributes"]
            )
            for page in pages(lambda r: source.channel.call(source.runs.SearchRuns, r), request):
                yield from (run.run_id for run in page.runs)


class _Run:
    """One run on its way; each step may be repeated."""

    def __init__(self, sync: StoreSync, places: Places, run: run_pb2.Run) -> None:
        self._sync, self._places, self._run = sync, places, run
        self._owner = artifact_pb2.TreeOwner(run_id=run.run_id)
        self._is_there = True

    def send(self, has_model: HasModel) -> bool:
        """Send what the target lacks; False when it is deleted there, which is left so.

        Raises:
            AlreadyExistsError: There is a run of this id that did not come from this store.
        """
        run, sync = self._run, self._sync
        there, record = self.find_or_create()
        is_deleted = run.lifecycle_stage == _DELETED
        if there.lifecycle_stage == _DELETED:
            if record.stage == "active":
                sync.tally.deleted_at_target += not is_deleted
                return is_deleted
            if is_deleted and record.stage == "deleted":
                return True
            # It was deleted here because it was at the source, where it was restored since, or is asked for now.
            self._restore()
        self._send_params(there)
        self._send_tags(there)
        # Each by itself: that a file cannot stand at its path is no reason to withhold points and end.
        with sync.tally.noting("run", run.run_id):
            sync_links(sync, run, there, has_model)
        with sync.tally.noting("run", run.run_id):
            self._send_files(record)
        with sync.tally.noting("run", run.run_id):
            record.points = sync_points(sync, run.run_id, record.points, has_model, is_there=self._is_there)
        self._send_end(there, record)
        record.stage = "deleted" if is_deleted else "active"
        self._note(record)
        if is_deleted:
            self._delete()
        return True

    def send_head(self) -> None:
        """Send name, params, tags and end, so that others can name the run; raises as ``send`` does."""
        there, record = self.find_or_create()
        if there.lifecycle_stage == _DELETED:
            if record.stage == "active":  # by somebody there
                return
            self._restore()
        self._send_params(there)
        self._send_tags(there)
        self._send_end(there, record)
        self._note(record)

    def delete(self) -> None:
        """Delete the run at the target, of which only the head was sent."""
        if self._sync.is_dry_run:
            there, record = run_pb2.Run(), Record(self._sync.store_id)
        else:
            there, record = self.find_or_create()
        if there.lifecycle_stage != _DELETED:
            record.stage = "part"
            self._note(record)
            self._delete()

    def _note(self, record: Record) -> None:
        """Let the target say what has arrived: no change that anybody asked for; what it speaks of was counted."""
        if record.is_changed:
            request = messages.LogBatchRequest(run_id=self._run.run_id, tags=[record.to_tag()])
            self._sync.send(self._sync.target.runs.LogBatch, request, changes=0)

    def _delete(self) -> None:
        self._sync.send(self._sync.target.runs.DeleteRun, messages.DeleteRunRequest(run_id=self._run.run_id))

    def _restore(self) -> None:
        self._sync.send(self._sync.target.runs.RestoreRun, messages.RestoreRunRequest(run_id=self._run.run_id))

    def find_or_create(self) -> tuple[run_pb2.Run, Record]:
        """The run at the target, and what of it has arrived; raises as ``send`` does."""
        sync, run = self._sync, self._run
        try:
            there = read_run(sync.target.channel, run.run_id)
        except NotFoundError:
            self._is_there = not sync.is_dry_run
            return self._create()
        record = Record.of({tag.key: tag.value for tag in there.tags})
        if record is None or record.store_id != sync.store_id:
            raise AlreadyExistsError(
                f"There is a run {run.run_id} at the server that this store did not send: it was imported, or came "
                "from another store. To send it anew, delete it there for good: delete the run, then "
                "`holdfast gc --purge-deleted 0`.",
                reason="ALREADY_EXISTS",
            )
        return there, record

    def _create(self) -> tuple[run_pb2.Run, Record]:
        sync, run = self._sync, self._run
        record = Record(sync.store_id)
        tag = record.to_tag()
        request = messages.CreateRunRequest(
            experiment_id=self._places.of(run.experiment_id).experiment_id,
            run_name=run.run_name,
            user_id=run.user_id,
            start_time=run.start_time,
            tags=[tag],
            run_id=run.run_id,
        )
        sync.send(sync.target.runs.CreateRun, request)
        name = experiment_pb2.Tag(key="mlflow.runName", value=run.run_name)
        there = run_pb2.Run(run_id=run.run_id, status=run_pb2.RUN_STATUS_RUNNING, tags=[tag, name])
        return there, record

    def _send_params(self, there: run_pb2.Run) -> None:
        def send(params: list[run_pb2.Param]) -> None:
            request = messages.LogBatchRequest(run_id=self._run.run_id, params=params)
            self._sync.send(self._sync.target.runs.LogBatch, request, changes=len(params))

        note_refused(self._sync.tally, "run", self._run.run_id, sync_params(self._run.params, there.params, send))

    def _send_tags(self, there: run_pb2.Run) -> None:
        tags = {tag.key: tag.value for tag in there.tags}
        source = {tag.key: tag.value for tag in self._run.tags}
        for change in TagMarks(tags).changes(source, tags):
            request = messages.LogBatchRequest(
                run_id=self._run.run_id, tags=change.tags, deleted_tag_keys=change.removed
            )
            self._sync.send(self._sync.target.runs.LogBatch, request, changes=change.count)

    def _send_files(self, record: Record) -> None:
        sync = self._sync
        location = whole_tree(sync.source.channel, self._owner)
        entries = sync.files.lacking(location, self._owner if self._is_there else None, after=record.tree)
        if entries:
            sync.tally.bytes += sync.files.copy(location, entries, None if sync.is_dry_run else self._owner)
            sync.tally.files += len(entries)
        record.tree = max(record.tree, location.sequence)
        sync.count_open_files(self._owner)

    def _send_end(self, there: run_pb2.Run, record: Record) -> None:
        """Send status and end, or that it is lost, if they changed at the source since they were sent."""
        end = _end_of(self._run)
        if record.end != end and _end_of(there) != end:
            request = messages.UpdateRunRequest(run_id=self._run.run_id, status=self._run.status)
            if self._run.HasField("end_time"):
                request.end_time.CopyFrom(self._run.end_time)
            if self._run.status == run_pb2.RUN_STATUS_RUNNING:
                request.lost = self._run.lost
            self._sync.send(self._sync.target.runs.UpdateRun, request)
        record.end = end


def _end_of(run: run_pb2.Run) -> str:
    end = ms_from_proto(run.end_time) if run.HasField("end_time") else ""
    lost = "LOST" if run.lost else ""
    return " ".join(filter(None, (run_pb2.RunStatus.Name(run.status).removeprefix("RUN_STATUS_"), str(end), lost)))
