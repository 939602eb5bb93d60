"""What a sync has done so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from holdfast._rpc_errors import is_interruption
from holdfast.entities import SyncProblem
from holdfast.errors import HoldfastError


@dataclass(slots=True)
class Tally:
    """Counts; those of ``SyncedStore``, which says what each means."""

    experiments: int = 0
    runs: int = 0
    unchanged_runs: int = 0
    models: int = 0
    partial: int = 0
    versions: int = 0
    points: int = 0
    files: int = 0
    bytes: int = 0
    changes: int = 0
    left_deleted_experiments: int = 0
    left_deleted_runs: int = 0
    left_deleted_models: int = 0
    left_versions: int = 0
    left_open_files: int = 0
    deleted_at_target: int = 0
    problems: list[SyncProblem] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Grows whenever something is sent."""
        return self.changes + self.points + self.files

    @contextmanager
    def noting(self, subject: str, id_: str) -> Iterator[None]:
        """Note why one thing cannot be sent, and let the others go on; that a server is away concerns them all."""
        try:
            yield
        except HoldfastError as error:
            if is_interruption(error):
                raise
            self.note(subject, id_, error.message)

    def note(self, subject: str, id_: str, error: str) -> None:
        """Note why something of one thing cannot be sent."""
        self.problems.append(SyncProblem(subject=subject, id=id_, error=" ".join(error.split())))
