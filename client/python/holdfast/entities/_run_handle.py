"""What can be done with a run that was read through a client."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from holdfast._open_modes import FLUSH_INTERVAL
from holdfast.errors import FailedPreconditionError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from typing_extensions import Self

    from holdfast._client import Client
    from holdfast._watching import Watch
    from holdfast.entities._metric_chart import MetricBucket
    from holdfast.entities._model import LoggedModel
    from holdfast.entities._paged_list import PagedList
    from holdfast.entities._run import FileInfo, LoggedModelInput, LoggedModelOutput, Metric, Run, RunInfo


class RunHandle:
    """Methods of ``Run``: each acts through the client that the run was read with, and touches no global state."""

    info: RunInfo
    _client: Client | None = None

    def bind(self, client: Client) -> Self:
        """Let the methods act through ``client``, and return this run."""
        object.__setattr__(self, "_client", client)
        return self

    @property
    def client(self) -> Client:
        """The client that this run was read with.

        Raises:
            FailedPreconditionError: The run was made by hand, not read.
        """
        if self._client is None:
            raise FailedPreconditionError(
                f"Run {self.info.run_id} was not read through a client; get it by Client.get_run, or bind it to one."
            )
        return self._client

    def refresh(self) -> Run:
        """Read the run again as it is now."""
        return self.client.get_run(self.info.run_id)

    def watch(
        self, cursor: str | None = None, *, types: str | Iterable[str] | None = None, retry_for: float | None = None
    ) -> Watch:
        """Watch how the run goes on; see ``Client.watch_run``."""
        return self.client.watch_run(self.info.run_id, cursor, types=types, retry_for=retry_for)

    def end(self, status: str = "FINISHED") -> None:
        """End the run now."""
        self.client.set_terminated(self.info.run_id, status)

    def worker_environment(
        self,
        *,
        path_prefix: str | None = None,
        byte_budget: int | None = None,
        lifetime: timedelta | float | None = None,
        description: str = "",
    ) -> dict[str, str]:
        """Variables with which a worker's ``holdfast.start_run()`` goes on with this run: server, token and run.

        The token is made for it, and may log to this run only: see ``Client.create_worker_token``, which takes the same
        arguments. Where the server asks nobody who calls, there is none.

        Raises:
            FailedPreconditionError: The run has ended, or the server asks for tokens and this client shows none.
            PermissionDeniedError: The role on the run's experiment is less than write.
        """
        client, run_id = self.client, self.info.run_id
        environment = {"HOLDFAST_URI": client.tracking_uri, "HOLDFAST_RUN_ID": run_id}
        if client.get_caller().authentication_enabled:
            created = client.create_worker_token(
                run_id, path_prefix=path_prefix, byte_budget=byte_budget, lifetime=lifetime, description=description
            )
            environment["HOLDFAST_TOKEN"] = created.secret
        return environment

    def delete(self) -> None:
        """Mark the run as deleted."""
        self.client.delete_run(self.info.run_id)

    def restore(self) -> None:
        """Undo ``delete``."""
        self.client.restore_run(self.info.run_id)

    def rename(self, name: str) -> None:
        """Give the run another name."""
        self.client.update_run(self.info.run_id, name=name)

    def log_metric(
        self,
        key: str,
        value: float,
        step: int | None = None,
        *,
        timestamp: int | None = None,
        synchronous: bool | None = None,
        model_id: str | None = None,
        dataset: Any = None,
    ) -> None:
        """Log one point; ``timestamp`` is milliseconds since 1970, None for now, ``dataset`` as for ``log_input``."""
        from holdfast._datasets import dataset_key

        name, digest = dataset_key(dataset)
        self.client.log_metric(
            self.info.run_id,
            key,
            value,
            timestamp,
            step,
            synchronous,
            model_id=model_id,
            dataset_name=name,
            dataset_digest=digest,
        )

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        step: int | None = None,
        *,
        timestamp: int | None = None,
        synchronous: bool | None = None,
        model_id: str | None = None,
        dataset: Any = None,
    ) -> None:
        """Log points of one step and time; otherwise as ``log_metric``."""
        from holdfast._datasets import dataset_key

        name, digest = dataset_key(dataset)
        self.client.log_metrics(
            self.info.run_id,
            metrics,
            step,
            timestamp=timestamp,
            synchronous=synchronous,
            model_id=model_id,
            dataset_name=name,
            dataset_digest=digest,
        )

    def log_param(self, key: str, value: Any, *, synchronous: bool | None = None) -> Any:
        """Log a param and return its value."""
        return self.client.log_param(self.info.run_id, key, value, synchronous)

    def log_params(self, params: Mapping[str, Any], *, synchronous: bool | None = None) -> None:
        """Log params, 100 at a time."""
        self.client.log_params(self.info.run_id, params, synchronous=synchronous)

    def set_tag(self, key: str, value: Any, *, synchronous: bool | None = None) -> None:
        """Set a label."""
        self.client.set_tag(self.info.run_id, key, value, synchronous)

    def set_tags(self, tags: Mapping[str, Any], *, synchronous: bool | None = None) -> None:
        """Set labels, 100 at a time."""
        self.client.set_tags(self.info.run_id, tags, synchronous=synchronous)

    def delete_tag(self, key: str) -> None:
        """Remove a label."""
        self.client.delete_tag(self.info.run_id, key)

    def get_metric_history(
        self, key: str, *, min_step: int | None = None, max_step: int | None = None
    ) -> PagedList[Metric]:
        """Read all points of a metric, or those from one step to another."""
        return self.client.get_metric_history(self.info.run_id, key, min_step=min_step, max_step=max_step)

    def get_metric_chart(
        self, key: str, buckets: int = 1_000, *, min_step: int | None = None, max_step: int | None = None
    ) -> list[MetricBucket]:
        """Read a metric as a chart shows it: up to ``buckets`` ranges of steps with least, greatest and last value."""
        return self.client.get_metric_chart(self.info.run_id, key, buckets, min_step=min_step, max_step=max_step)

    def log_input(
        self,
        dataset: Any = None,
        context: str | None = None,
        tags: Mapping[str, Any] | None = None,
        model: LoggedModel | LoggedModelInput | None = None,
    ) -> None:
        """Link a dataset, a logged model or both that the run read; see ``holdfast.log_input``."""
        self.client.log_input(self.info.run_id, dataset, context, tags, model)

    def log_inputs(
        self,
        datasets: Sequence[Any] | None = None,
        contexts: Sequence[str | None] | None = None,
        tags_list: Sequence[Mapping[str, Any] | None] | None = None,
        models: Iterable[LoggedModel | LoggedModelInput] | None = None,
    ) -> None:
        """Link datasets, each with its context and labels, and logged models that the run read; all or none."""
        from holdfast._datasets import dataset_inputs
        from holdfast.entities import LoggedModelInput

        inputs = dataset_inputs(datasets, contexts, tags_list)
        self.client.log_inputs(self.info.run_id, inputs, [LoggedModelInput(model.model_id) for model in models or ()])

    def log_outputs(self, models: Sequence[LoggedModelOutput]) -> None:
        """Link logged models that the run produced."""
        self.client.log_outputs(self.info.run_id, models)

    def log_artifact(
        self,
        local_path: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        symlinks: str = "inside",
        synchronous: bool | None = None,
    ) -> Future[None] | None:
        """Store a local file or directory; see ``holdfast.log_artifact``."""
        return self.client.log_artifact(
            self.info.run_id, local_path, artifact_path, symlinks=symlinks, synchronous=synchronous
        )

    def log_artifacts(
        self,
        local_dir: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        symlinks: str = "inside",
        synchronous: bool | None = None,
    ) -> Future[None] | None:
        """Store a local directory's contents; see ``holdfast.log_artifacts``."""
        return self.client.log_artifacts(
            self.info.run_id, local_dir, artifact_path, symlinks=symlinks, synchronous=synchronous
        )

    def log_text(self, text: str, artifact_file: str, *, synchronous: bool | None = None) -> Future[None] | None:
        """Store a text as UTF-8."""
        return self.client.log_text(self.info.run_id, text, artifact_file, synchronous=synchronous)

    def log_dict(self, dictionary: Any, artifact_file: str, *, synchronous: bool | None = None) -> Future[None] | None:
        """Store a dictionary as YAML or JSON, by the file's ending."""
        return self.client.log_dict(self.info.run_id, dictionary, artifact_file, synchronous=synchronous)

    def log_bytes(self, data: bytes, artifact_file: str, *, synchronous: bool | None = None) -> Future[None] | None:
        """Store bytes."""
        return self.client.log_bytes(self.info.run_id, data, artifact_file, synchronous=synchronous)

    def log_figure(
        self,
        figure: Any,
        artifact_file: str,
        *,
        save_kwargs: Mapping[str, Any] | None = None,
        synchronous: bool | None = None,
    ) -> Future[None] | None:
        """Store a figure of matplotlib or plotly."""
        return self.client.log_figure(
            self.info.run_id, figure, artifact_file, save_kwargs=save_kwargs, synchronous=synchronous
        )

    def log_image(
        self,
        image: Any,
        artifact_file: str | None = None,
        *,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
        synchronous: bool | None = None,
    ) -> Future[None] | None:
        """Store an image of PIL or numpy; see ``Client.log_image``."""
        return self.client.log_image(
            self.info.run_id,
            image,
            artifact_file,
            key=key,
            step=step,
            timestamp=timestamp,
            synchronous=synchronous,
        )

    def log_table(self, data: Any, artifact_file: str) -> None:
        """Store a table, or append to one."""
        self.client.log_table(self.info.run_id, data, artifact_file)

    def log_stream(self, fileobj: BinaryIO, artifact_file: str) -> None:
        """Store what a file object yields, of unknown length."""
        self.client.log_stream(self.info.run_id, fileobj, artifact_file)

    def open_artifact(
        self,
        artifact_file: str,
        mode: str = "w",
        *,
        encoding: str = "utf-8",
        flush_interval: float = FLUSH_INTERVAL,
    ) -> IO[Any]:
        """Open an artifact for writing that others can follow meanwhile; see ``Client.open_artifact``."""
        # The overloads tell the kinds of mode apart; here it is either.
        open_any: Any = self.client.open_artifact
        opened: IO[Any] = open_any(
            self.info.run_id, artifact_file, mode, encoding=encoding, flush_interval=flush_interval
        )
        return opened

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """List one level of the run's artifacts."""
        return self.client.list_artifacts(self.info.run_id, path)

    def download_artifacts(
        self, artifact_path: str | None = None, dst_path: str | os.PathLike[str] | None = None
    ) -> Path:
        """Fetch artifacts into a local directory and return where they are."""
        return Path(self.client.download_artifacts(self.info.run_id, artifact_path, dst_path))
