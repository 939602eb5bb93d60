"""Logged models, with their files."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast._store_sync.context import StoreSync, pages
from holdfast._store_sync.experiments import Places
from holdfast._store_sync.marks import Record, TagMarks
from holdfast._store_sync.params import note_refused, sync_params
from holdfast._store_sync.runs import Runs
from holdfast._wholes import read_model, whole_tree
from holdfast.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError
from holdfast.v1 import artifact_pb2, experiment_pb2, model_pb2, run_pb2
from holdfast.v1 import model_service_pb2 as messages

_DELETED = experiment_pb2.LIFECYCLE_STAGE_DELETED
_READY, _PENDING = model_pb2.LOGGED_MODEL_STATUS_READY, model_pb2.LOGGED_MODEL_STATUS_PENDING


class Models:
    """Sends the logged models of a store."""

    def __init__(self, sync: StoreSync, places: Places, runs: Runs) -> None:
        self._sync, self._places, self._runs = sync, places, runs
        self._known: dict[str, bool] = {}

    def sync(self) -> None:
        """Send all models of the experiments that are to be sent, the earliest first."""
        sync = self._sync
        view = experiment_pb2.VIEW_TYPE_ALL if sync.include_deleted else experiment_pb2.VIEW_TYPE_ACTIVE_ONLY
        for model_id in list(self._list(view)):
            with sync.tally.noting("model", model_id):
                self.ensure(model_id)
        if not sync.include_deleted:
            sync.tally.left_deleted_models = sum(1 for _ in self._list(experiment_pb2.VIEW_TYPE_DELETED_ONLY))

    def ensure(self, model_id: str) -> bool:
        """Send a model, once in a sync, so that others can name it; False when it is gone for good.

        Where points name a model, they must find it when they arrive: what the target keeps of them never changes. So
        one of another experiment than was asked for is sent too, and of one that is deleted the name, deleted.

        Raises:
            AlreadyExistsError: There is a model of this id that did not come from this store.
        """
        found = self._known.get(model_id)
        if found is None:
            found = self._known[model_id] = self._send(model_id)
        return found

    def _send(self, model_id: str) -> bool:
        sync = self._sync
        try:
            model = read_model(sync.source.channel, model_id, allow_deleted=True)
        except NotFoundError:  # gone for good
            return self._is_there(model_id)
        place = self._places.of(model.experiment_id)
        is_gone = place.is_gone or model.lifecycle_stage == _DELETED
        is_wanted = model.experiment_id in sync.experiment_ids and (sync.include_deleted or not is_gone)
        before = sync.tally.sent
        try:
            _Model(sync, model, self._runs, place.experiment_id, is_gone=is_gone).send(whole=is_wanted or not is_gone)
        except AlreadyExistsError:
            if is_wanted:
                raise  # otherwise it is enough that it is there
        if is_wanted or not is_gone:
            sync.tally.models += sync.tally.sent > before
        else:
            sync.tally.partial += sync.tally.sent > before
        return True

    def _is_there(self, model_id: str) -> bool:
        try:
            read_model(self._sync.target.channel, model_id, allow_deleted=True)
        except NotFoundError:
            return False
        return True

    def _list(self, view: experiment_pb2.ViewType) -> Iterator[str]:
        source = self._sync.source
        for ids in self._sync.experiments_in_parts():
            request = messages.SearchLoggedModelsRequest(
                experiment_ids=ids,
                view_type=view,
                order_by=["creation_timestamp ASC"],
                page_size=10_000,
                fields=["attributes"],
            )
            for page in pages(lambda r: source.channel.call(source.models.SearchLoggedModels, r), request):
                yield from (model.model_id for model in page.models)


class _Model:
    """One logged model on its way; each step may be repeated."""

    def __init__(
        self, sync: StoreSync, model: model_pb2.LoggedModel, runs: Runs, experiment_id: str, *, is_gone: bool
    ) -> None:
        self._sync, self._model, self._runs = sync, model, runs
        self._experiment_id, self._is_gone = experiment_id, is_gone
        self._owner = artifact_pb2.TreeOwner(model_id=model.model_id)

    def send(self, *, whole: bool) -> None:
        """Send what the target lacks.

        Args:
            whole: Whether that is more than the name of a model that is deleted.

        Raises:
            AlreadyExistsError: There is a model of this id that did not come from this store.
        """
        sync, model = self._sync, self._model
        there = self._find()
        is_there = there is not None
        if there is None:
            record = Record(sync.store_id)
            there = self._create(record)
        else:
            record = self._record_of(there)
        if there.lifecycle_stage == _DELETED and not self._restore(record, whole=whole):
            return
        if whole:
            self._send_params(there)
            self._send_tags(there)
        if there.status == _PENDING:
            if model.source_run_id:
                self._runs.settle(model.source_run_id)
            if whole:
                self._finish(is_there=is_there)
        record.stage = ("deleted" if whole else "part") if self._is_gone else "active"
        if record.is_changed:
            request = messages.UpdateLoggedModelRequest(model_id=model.model_id, tags=[record.to_tag()])
            sync.send(sync.target.models.UpdateLoggedModel, request, changes=0)
        if self._is_gone:
            request_end = messages.DeleteLoggedModelRequest(model_id=model.model_id)
            sync.send(sync.target.models.DeleteLoggedModel, request_end)

    def _restore(self, record: Record, *, whole: bool) -> bool:
        """Restore a model that is deleted at the target; False when it is to be left so."""
        if record.stage == "active":  # by somebody there
            self._sync.tally.deleted_at_target += not self._is_gone
            return False
        if self._is_gone and (record.stage == "deleted" or not whole):
            return False
        # It was deleted here because it was at the source, where it was restored since, or is asked for now.
        request = messages.RestoreLoggedModelRequest(model_id=self._model.model_id)
        self._sync.send(self._sync.target.models.RestoreLoggedModel, request)
        return True

    def _record_of(self, there: model_pb2.LoggedModel) -> Record:
        found = Record.of({tag.key: tag.value for tag in there.tags})
        if found is None or found.store_id != self._sync.store_id:
            raise AlreadyExistsError(
                f"There is a logged model {self._model.model_id} at the server that this store did not send: it was "
                "imported, or came from another store.",
                reason="ALREADY_EXISTS",
            )
        return found

    def _finish(self, *, is_there: bool) -> None:
        """Complete it, unless another sync, at the same time, was first."""
        try:
            self._complete(is_there=is_there)
        except FailedPreconditionError:
            now = self._find()
            if now is None or now.status != self._model.status:
                raise

    def _find(self) -> model_pb2.LoggedModel | None:
        try:
            return read_model(self._sync.target.channel, self._model.model_id, allow_deleted=True)
        except NotFoundError:
            return None

    def _create(self, record: Record) -> model_pb2.LoggedModel:
        sync, model = self._sync, self._model
        own = model.source_run_id if model.source_run_id and self._runs.ensure(model.source_run_id) else ""
        request = messages.CreateLoggedModelRequest(
            experiment_id=self._experiment_id,
            name=model.name,
            source_run_id=own,
            model_type=model.model_type,
            tags=[record.to_tag()],
            model_id=model.model_id,
            origin_unknown=True,  # who logged it at the source is no principal of the target
        )
        sync.send(sync.target.models.CreateLoggedModel, request)
        return model_pb2.LoggedModel(model_id=model.model_id, status=_PENDING)

    def _send_params(self, there: model_pb2.LoggedModel) -> None:
        def send(params: list[run_pb2.Param]) -> None:
            request = messages.UpdateLoggedModelRequest(model_id=self._model.model_id, params=params)
            self._sync.send(self._sync.target.models.UpdateLoggedModel, request, changes=len(params))

        refused = sync_params(self._model.params, there.params, send)
        note_refused(self._sync.tally, "model", self._model.model_id, refused)

    def _send_tags(self, there: model_pb2.LoggedModel) -> None:
        tags = {tag.key: tag.value for tag in there.tags}
        source = {tag.key: tag.value for tag in self._model.tags}
        for change in TagMarks(tags).changes(source, tags):
            request = messages.UpdateLoggedModelRequest(
                model_id=self._model.model_id, tags=change.tags, deleted_tag_keys=change.removed
            )
            self._sync.send(self._sync.target.models.UpdateLoggedModel, request, changes=change.count)

    def _complete(self, *, is_there: bool) -> None:
        """Send the files, and say that these are all."""
        sync, model = self._sync, self._model
        self._send_files(is_there=is_there)
        if model.status == _PENDING:
            sync.count_open_files(self._owner)
        else:
            request = messages.FinalizeLoggedModelRequest(model_id=model.model_id, status=model.status)
            if model.status != _READY:
                request.status_message = model.status_message
            sync.send(sync.target.models.FinalizeLoggedModel, request)

    def _send_files(self, *, is_there: bool) -> None:
        """Send the files of a model that is not final at the target: they cannot have been changed by anybody else."""
        sync = self._sync
        location = whole_tree(sync.source.channel, self._owner)
        entries = sync.files.lacking(location, self._owner if is_there else None)
        if entries:
            sync.tally.bytes += sync.files.copy(location, entries, None if sync.is_dry_run else self._owner)
            sync.tally.files += len(entries)
