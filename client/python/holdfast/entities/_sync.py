"""What ``holdfast.sync`` finds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedJournal:
    """A journal that a process left, and what became of it.

    Attributes:
        path: Its directory, which is removed when all of it has arrived.
        uri: The server that it is for.
        pid: The process that wrote it.
        host: The machine that this ran on.
        program: What it ran.
        since: When it began, milliseconds since 1970.
        sent: Points and changes that have arrived now.
        waiting: Those that have not.
        refused: Those that the server refused; they are kept.
        error: Why not all has arrived; empty when it has.
    """

    path: str
    uri: str
    pid: int
    host: str
    program: str
    since: int
    sent: int = 0
    waiting: int = 0
    refused: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncProblem:
    """Something that could not be sent.

    Attributes:
        subject: "experiment", "run", "model", "version" or "registered model".
        id: Its id; the name of an experiment or registered model, name and number of a version.
        error: Why, and what to do.
    """

    subject: str
    id: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedStore:
    """What was sent of a store, or would be by a ``dry_run``.

    Attributes:
        source: Where it came from.
        uri: The server that it went to.
        store_id: Names the source's data.
        experiments: Experiments that were created.
        runs: Runs of which anything was sent.
        unchanged_runs: Runs of which nothing had to be.
        models: Logged models of which anything was sent.
        partial: Runs and logged models that were sent only because others name them: runs that are deleted, or of
            another experiment than was asked for, without points and files, and deleted models, as a name.
        versions: Versions that were registered.
        points: Points of metrics that were sent.
        files: Files that were put into trees.
        bytes: Bytes of these that had to be sent, as the server lacked them.
        changes: Params, tags, links, begins, ends and deletions that were sent.
        left_deleted_experiments: Experiments that are deleted at the source, which are never sent, nor what is in them.
        left_deleted_runs: Runs that are deleted at the source and were not sent for this reason.
        left_deleted_models: The same of logged models.
        left_versions: Registered versions at the source, of the experiments asked for, that were not and are not here.
        left_open_files: Files that are being written at the source, or were when their program died: each is sent once
            it is closed there, which the server does a day after the last sign of life.
        deleted_at_target: Runs and models that came earlier and are deleted at the server; nothing was sent of them.
        problems: What could not be sent.
        journals: What processes had left for the source, which was sent there first.
        is_dry_run: Whether nothing was sent.
    """

    source: str
    uri: str
    store_id: str
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
    journals: list[SyncedJournal] = field(default_factory=list)
    is_dry_run: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether all that was asked for is at the server now, or would be."""
        return not self.problems and not any(journal.error for journal in self.journals)
