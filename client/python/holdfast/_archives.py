"""What a client does to move runs and model versions between servers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from holdfast._calls import Calls
from holdfast.entities import ModelVersion, Run

if TYPE_CHECKING:
    from holdfast._client import Client


class ArchiveCalls(Calls):
    """What a client does to move runs and model versions between servers: each is one file, checked to the last bit.

    An archive is read from its beginning to its end before anything of it is sent, so that nothing is imported of one
    that is damaged or not ours.
    """

    def export_model_version(self, name: str, version: str | int, path: str | os.PathLike[str]) -> ModelVersion:
        """Write a version with its files to one file, also when its run and logged model are gone; returns the version.

        Args:
            name: The registered model.
            version: Its number.
            path: The file, which is replaced when it is whole and durable.

        Raises:
            DataLossError: Stored bytes do not have their digest; nothing is written.
        """
        from holdfast._archive.versions import export_version

        return export_version(cast("Client", self), name, version, Path(path))

    def import_model_version(
        self, path: str | os.PathLike[str], name: str | None = None, *, experiment_id: str = "0"
    ) -> ModelVersion:
        """Register the version that ``export_model_version`` wrote, under the next number; once, if imported again too.

        Description, tags, run id and files come along, aliases and the stage do not.

        Args:
            path: The file.
            name: The registered model, created when it is absent; None for the name that it had.
            experiment_id: Where its logged model belongs, when there is none of its id yet.

        Raises:
            DataLossError: The file is damaged or cut off; nothing was imported.
            InvalidArgumentError: It is no such file.
        """
        from holdfast._archive.versions import import_version

        return import_version(cast("Client", self), Path(path), name, experiment_id)

    def export_run(self, run_id: str, path: str | os.PathLike[str]) -> Run:
        """Write a run to one file: params, tags, every point of its metrics, its files and its logged models.

        Args:
            run_id: The run.
            path: The file, which is replaced when it is whole and durable.

        Raises:
            DataLossError: Stored bytes do not have their digest; nothing is written.
        """
        from holdfast._archive.runs import export_run

        return export_run(cast("Client", self), run_id, Path(path))

    def import_run(self, path: str | os.PathLike[str], experiment_name: str | None = None) -> Run:
        """Make the run that ``export_run`` wrote, under the id that it had; imported again it is the same.

        It is RUNNING until all of it is there. An import that ended early goes on when it is repeated.

        Args:
            path: The file.
            experiment_name: Where it belongs, created when absent; None for an experiment named as the one it was in.

        Raises:
            AlreadyExistsError: There is such a run that this file did not make.
            DataLossError: The file is damaged or cut off; nothing was imported.
            InvalidArgumentError: It is no such file.
        """
        from holdfast._archive.runs import import_run

        return import_run(cast("Client", self), Path(path), experiment_name)
