"""What a client does with artifacts; how bytes move is in ``holdfast._transfer``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from holdfast import _content
from holdfast._background import Background
from holdfast._calls import Calls, build
from holdfast._checks import check_unicode
from holdfast._worker_reads import WorkerTables, is_worker_refusal
from holdfast.entities import FileInfo
from holdfast.errors import ConflictError, InvalidArgumentError, NotFoundError, PermissionDeniedError
from holdfast.v1 import artifact_pb2, artifact_service_pb2
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

if TYPE_CHECKING:
    from holdfast._transfer import Artifacts

# Writers that append to one table at the same time take turns; after so many lost turns something else is wrong.
APPEND_ATTEMPTS = 20


class ArtifactCalls(Calls):
    """What a client does with artifacts.

    Each call that logs returns when its bytes are durable and all of them visible; when it raises, none is. Those that
    take ``synchronous=False`` return a future instead, and upload in the background. ``log_table`` does not, since the
    order in which rows are appended would be lost, nor ``log_stream``, since its caller could not use the stream.
    """

    _transfer: Artifacts | None = None
    _background: Background
    _worker_tables: WorkerTables

    def log_artifact(
        self,
        run_id: str,
        local_path: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        symlinks: str = "inside",
        synchronous: bool | None = None,
    ) -> Future[None] | None:
        """Store a file at ``<artifact_path>/<basename>``, or a directory below ``<artifact_path>/<dirname>``.

        Args:
            run_id: The run.
            local_path: What to store.
            artifact_path: A directory among the run's artifacts; None for their root.
            symlinks: ``"inside"`` follows links that stay inside the directory and refuses others; ``"follow"``
                follows all.
            synchronous: False to upload in the background and return a future, whose ``result`` raises what is listed
                below; ``flush`` and the ends of the run and the program wait for it, and tell when it failed. Do not
                change the files before.

        Raises:
            FileNotFoundError: ``local_path`` is not there; nothing was sent.
            LocalFileError: It cannot be read as it is: a socket, a link out of it, a file that changes meanwhile.
            InvalidArgumentError: A path breaks a rule; the message states it.
            NotFoundError: There is no such run.
            UnavailableError: The server is away. Unlike metrics, files do not wait in the journal.
        """
        upload = partial(self._artifacts.log_path, _run(run_id), local_path, artifact_path, symlinks=symlinks)
        return self._upload(upload, synchronous)

    def log_artifacts(
        self,
        run_id: str,
        local_dir: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        symlinks: str = "inside",
        synchronous: bool | None = None,
    ) -> Future[None] | None:
        """Store a directory's contents below ``artifact_path``; otherwise as ``log_artifact``."""
        upload = partial(self._artifacts.log_directory, _run(run_id), local_dir, artifact_path, symlinks=symlinks)
        return self._upload(upload, synchronous)

    def log_model_artifact(
        self,
        model_id: str,
        local_path: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        symlinks: str = "inside",
    ) -> None:
        """Store a file or directory among those of a logged model, which must be PENDING; else as ``log_artifact``."""
        self._artifacts.log_path(_model(model_id), local_path, artifact_path, symlinks=symlinks)

    def log_model_artifacts(
        self,
        model_id: str,
        local_dir: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        symlinks: str = "inside",
    ) -> None:
        """Store a directory's contents among those of a logged model, which must be PENDING."""
        self._artifacts.log_directory(_model(model_id), local_dir, artifact_path, symlinks=symlinks)

    def log_bytes(
        self, run_id: str, data: bytes, artifact_file: str, *, synchronous: bool | None = None
    ) -> Future[None] | None:
        """Store bytes as the file ``artifact_file``; see ``log_artifact`` for ``synchronous``."""
        data, path = _content.raw_bytes(data), _content.file_path(artifact_file)
        return self._upload(partial(self._artifacts.log_bytes, _run(run_id), data, path), synchronous)

    def log_stream(self, run_id: str, stream: BinaryIO, artifact_file: str) -> None:
        """Store what ``stream.read`` yields, of unknown length, in bounded memory."""
        self._artifacts.log_stream(_run(run_id), stream, _content.file_path(artifact_file))

    def log_text(
        self, run_id: str, text: str, artifact_file: str, *, synchronous: bool | None = None
    ) -> Future[None] | None:
        """Store a text as UTF-8."""
        return self.log_bytes(run_id, _content.text_bytes(text), artifact_file, synchronous=synchronous)

    def log_dict(
        self, run_id: str, dictionary: Any, artifact_file: str, *, synchronous: bool | None = None
    ) -> Future[None] | None:
        """Store a dictionary as it is now: YAML when ``artifact_file`` ends in .yaml or .yml, else JSON."""
        path = _content.file_path(artifact_file)
        return self.log_bytes(run_id, _content.dict_bytes(dictionary, path), path, synchronous=synchronous)

    def log_figure(
        self,
        run_id: str,
        figure: Any,
        artifact_file: str,
        *,
        save_kwargs: Mapping[str, Any] | None = None,
        synchronous: bool | None = None,
    ) -> Future[None] | None:
        """Store a figure of matplotlib or plotly in the format of the file's ending.

        Args:
            run_id: The run.
            figure: ``matplotlib.figure.Figure`` or ``plotly.graph_objects.Figure``.
            artifact_file: Such as ``plots/loss.png``; for plotly also ``.html``.
            save_kwargs: Further arguments of the library's own saving function.
            synchronous: False to upload in the background, as in ``log_artifact``; it is drawn now all the same.
        """
        path = _content.file_path(artifact_file)
        data = _content.figure_bytes(figure, path, save_kwargs or {})
        return self.log_bytes(run_id, data, path, synchronous=synchronous)

    def log_image(  # noqa: PLR0917 - MLflow's own signature
        self,
        run_id: str,
        image: Any,
        artifact_file: str | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
        synchronous: bool | None = None,
    ) -> Future[None] | None:
        """Store an image of PIL or numpy, either as one file or as a step of a series.

        Args:
            run_id: The run.
            image: ``PIL.Image.Image``, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of
                booleans, integers from 0 to 255 or floats from 0 to 1.
            artifact_file: Where to store it; or
            key: the series that it continues, kept as PNG below ``images/``.
            step: Its position in the series.
            timestamp: When it was made, milliseconds since 1970; None for now.
            synchronous: False to upload in the background, as in ``log_artifact``.
        """
        path, data = _content.image_file(image, artifact_file, key=key, step=step, timestamp=timestamp)
        return self.log_bytes(run_id, data, path, synchronous=synchronous)

    def log_table(self, run_id: str, data: Any, artifact_file: str) -> None:
        """Store a table; if there is one already, append to it.

        Args:
            run_id: The run.
            data: ``pandas.DataFrame``, or a dict of columns.
            artifact_file: ``.json`` (pandas' split orient) or ``.parquet``. A worker, who reads nothing, appends to
                what this client logged there, and replaces what others did.

        Raises:
            ConflictError: Others kept changing the table meanwhile.
        """
        uri = f"runs:/{check_unicode(run_id, 'run_id')}/{_content.file_path(artifact_file)}"
        for attempt in range(APPEND_ATTEMPTS):
            try:
                existing: bytes | None = self._artifacts.read_bytes(uri)
            except NotFoundError as error:
                if error.reason != "FILE_NOT_FOUND":
                    raise
                existing = None
            except PermissionDeniedError as error:
                if not is_worker_refusal(error):
                    raise
                self._log_unread_table(run_id, data, _content.file_path(artifact_file))
                return
            table = _content.table_bytes(data, artifact_file, existing)
            try:
                # Somebody else's rows must not be lost: write only over what was read.
                self._artifacts.log_bytes(_run(run_id), table, artifact_file, replacing=existing)
            except ConflictError:
                if attempt == APPEND_ATTEMPTS - 1:
                    raise
            else:
                return

    def _log_unread_table(self, run_id: str, data: Any, path: str) -> None:
        with self._worker_tables.changing(run_id, path) as table:
            content = _content.table_bytes(data, path, table.content)
            self._artifacts.log_bytes(_run(run_id), content, path)
            table.content = content

    def list_artifacts(self, run_id: str, path: str | None = None) -> list[FileInfo]:
        """List one level of a run's artifacts, those of its logged models included."""
        return self._artifacts.list(artifact_uri_of(None, run_id, path))

    def list_logged_model_artifacts(self, model_id: str, path: str | None = None) -> list[FileInfo]:
        """List one level of a logged model's artifacts."""
        uri = f"models:/{check_unicode(model_id, 'model_id')}"
        return self._artifacts.list(f"{uri}/{check_unicode(path, 'path')}" if path else uri)

    def download_artifacts(
        self,
        run_id: str | None = None,
        path: str | None = None,
        dst_path: str | os.PathLike[str] | None = None,
        *,
        artifact_uri: str | None = None,
    ) -> str:
        """Fetch a file or directory, verified, and return the local path of it.

        Args:
            run_id: The run; or
            path: What of it; None for all.
            dst_path: A local directory, made when absent; None for a new temporary one.
            artifact_uri: what to fetch: ``runs:/…`` or ``models:/…``, in place of the two above.

        Raises:
            NotFoundError: It is not there.
            DataLossError: Bytes do not have their digest; nothing takes its final name.
            LocalFileError: Names collide on the local file system.
        """
        uri = artifact_uri_of(artifact_uri, run_id, path)
        dst = None if dst_path is None else Path(dst_path)
        return str(self._artifacts.download(uri, dst, path if run_id is not None else None))

    def delete_artifacts(self, run_id: str, artifact_path: str | None = None) -> None:
        """Remove a file, or a directory with all below it, from a run; all of it vanishes at once.

        Versions that were registered from the run keep what they show, and so do the run's logged models. The space is
        freed by ``holdfast gc``.

        Args:
            run_id: The run.
            artifact_path: What to remove; None for everything.

        Raises:
            NotFoundError: There is no such run, or nothing stands at ``artifact_path``.
            FailedPreconditionError: The run is deleted.
        """
        path = "" if artifact_path is None else _content.file_path(artifact_path)
        request = build(artifact_service_pb2.DeleteFilesRequest, owner=_run(run_id), paths=[path])
        self._mutate(self._channel.stub(ArtifactServiceStub).DeleteFiles, request)

    @property
    def artifacts(self) -> Artifacts:
        """Listing, reading and opening by URI."""
        return self._artifacts

    def _upload(self, upload: Callable[[], object], synchronous: bool | None) -> Future[None] | None:
        if synchronous is False:
            self._channel.refuse_if_closed()
            return self._background.begin(upload)
        upload()
        return None

    @property
    def _artifacts(self) -> Artifacts:
        if self._sender.holds_changes:
            self._settle()  # the run itself may not be there yet
        if self._transfer is None:
            from holdfast._transfer import Artifacts

            self._transfer = Artifacts(self._channel)
        return self._transfer


def artifact_uri_of(artifact_uri: str | None, run_id: str | None, artifact_path: str | None) -> str:
    """The URI that either of MLflow's two ways of naming artifacts means.

    Raises:
        InvalidArgumentError: Both ways are used, or neither.
    """
    if (artifact_uri is None) == (run_id is None):
        raise InvalidArgumentError("Name artifacts either by artifact_uri, or by run_id and perhaps artifact_path.")
    if artifact_uri is not None:
        if artifact_path is not None:
            raise InvalidArgumentError("artifact_path goes with run_id; write it at the end of artifact_uri instead.")
        return check_unicode(artifact_uri, "artifact_uri")
    check_unicode(run_id, "run_id")
    if artifact_path is not None:
        check_unicode(artifact_path, "artifact_path")
    return f"runs:/{run_id}/{artifact_path}" if artifact_path else f"runs:/{run_id}"


def _run(run_id: str) -> artifact_pb2.TreeOwner:
    return build(artifact_pb2.TreeOwner, run_id=run_id)


def _model(model_id: str) -> artifact_pb2.TreeOwner:
    return build(artifact_pb2.TreeOwner, model_id=model_id)
