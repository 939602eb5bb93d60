"""What clients asked for and what was acknowledged, kept outside of the server, and compared with what it shows.

Each subject (the tree of a run, of a model or of a registered version; the params of a run) is changed by one thread,
one call at a time. So at any moment the server may show the state before the last call or the one after it, the latter
only if it was begun, and never anything else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.scoreboard import Scoreboard

from holdfast._client import Client
from holdfast.errors import HoldfastError

PARAMS = "params:"

# Path of a file → SHA-256 of its content, of a directory → None; name of a param → its value.
State = dict[str, "str | None"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def with_files(state: Mapping[str, str | None], files: Mapping[str, bytes]) -> State:
    """The state after a commit of files; the directories above them come into being."""
    after = dict(state)
    for path, data in files.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            after["/".join(parts[:depth])] = None
        after[path] = sha256(data)
    return after


def without(state: Mapping[str, str | None], path: str) -> State:
    """The state after a path, with all below it, is deleted."""
    return {name: value for name, value in state.items() if name != path and not name.startswith(f"{path}/")}


@dataclass(slots=True)
class _Subject:
    acknowledged: State = field(default_factory=dict)
    pending: State | None = None


class Journal:
    """Intentions and acknowledgements, in memory and, for whoever looks into a failure, in a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._subjects: dict[str, _Subject] = {}
        self.acknowledgements = 0

    def close(self) -> None:
        self._file.close()

    def state(self, subject: str) -> State:
        """What is acknowledged."""
        return self._subjects[subject].acknowledged if subject in self._subjects else {}

    def begin(self, subject: str, after: State, what: str) -> None:
        """A call is about to be made that brings the subject to ``after``."""
        entry = self._subjects.setdefault(subject, _Subject())
        assert entry.pending is None, f"{subject} is changed by two calls at once"
        entry.pending = after
        self._note(subject, f"begin {what}")

    def acknowledge(self, subject: str) -> None:
        """The call returned."""
        entry = self._subjects[subject]
        assert entry.pending is not None
        entry.acknowledged, entry.pending = entry.pending, None
        self._note(subject, "acknowledged")

    def refused(self, subject: str) -> None:
        """The call raised an error of which it is known that nothing came of it."""
        self._subjects[subject].pending = None
        self._note(subject, "refused")

    def check(self, client: Client, scratch: Path, scoreboard: Scoreboard) -> None:
        """Read everything back; what is there instead of a pending state is from now on the acknowledged one."""
        for name, subject in self._subjects.items():
            try:
                found = _observe(client, name, scratch)
            except HoldfastError as error:
                scoreboard.lost(f"{name} cannot be read: {error!r}")
                raise
            if found == subject.pending:
                self._note(name, "found whole, though it was not acknowledged")
            elif found != subject.acknowledged:
                self._report(name, subject, found, scoreboard)
            subject.acknowledged, subject.pending = found, None

    def _report(self, name: str, subject: _Subject, found: State, scoreboard: Scoreboard) -> None:
        allowed = [subject.acknowledged, *([subject.pending] if subject.pending is not None else [])]
        strange = {
            path for state in allowed for path in state.keys() | found.keys() if state.get(path) != found.get(path)
        }
        for state in allowed:
            lost = sorted(path for path in state if path not in found or found[path] != state[path])
            if lost and all(other.get(path) == state[path] for other in allowed for path in lost):
                scoreboard.lost(f"{name}: {lost[:5]} of {len(lost)}")
        scoreboard.partial(f"{name}: {sorted(strange)[:5]} of {len(strange)}")

    def _note(self, subject: str, event: str) -> None:
        with self._lock:
            self.acknowledgements += event == "acknowledged"
            self._file.write(f"{json.dumps([subject, event])}\n")
            self._file.flush()


def _observe(client: Client, subject: str, scratch: Path) -> State:
    if subject.startswith(PARAMS):
        return dict(client.get_run(subject.removeprefix(PARAMS)).data.params)
    found: State = {}
    listed = {info.path: info for info in client.artifacts.list(subject, recursive=True)}
    target = scratch / "read-back"
    try:
        client.download_artifacts(artifact_uri=subject, dst_path=target)
        for path, info in listed.items():
            found[path] = None if info.is_dir else sha256((target / path).read_bytes())
        stored = {p.relative_to(target).as_posix() for p in target.rglob("*")}
        assert stored == set(listed), f"{subject}: the download has other paths than the listing"
    finally:
        shutil.rmtree(target, ignore_errors=True)
    return found
