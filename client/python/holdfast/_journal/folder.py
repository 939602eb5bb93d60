"""Where journals are on the disk, and to whom each belongs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from holdfast._journal.segment import Segment

DIRECTORY_VARIABLE = "HOLDFAST_JOURNAL_DIR"
_LOCK = "owner.lock"
_REFUSED = "refused-"


def journal_root(environ: Mapping[str, str] | None = None) -> Path:
    """Where journals are kept: ``HOLDFAST_JOURNAL_DIR``, or ``holdfast/journal`` in the XDG directory of state.

    Raises:
        RuntimeError: This user has no home directory.
    """
    environ = os.environ if environ is None else environ
    given = environ.get(DIRECTORY_VARIABLE, "")
    if given:
        return Path(given).expanduser().absolute()
    state = environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state else Path.home() / ".local" / "state") / "holdfast" / "journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who writes a journal.

    Attributes:
        uri: The server that it is for. Holds no secret.
        family: The journal of the process that this one descends from by forks; its own when from none.
        pid: The process.
        host: The machine.
        program: What runs there.
        since: Seconds since 1970.
    """

    uri: str
    family: str
    pid: int
    host: str
    program: str
    since: float

    @classmethod
    def this_process(cls, uri: str, family: str) -> Owner:
        """This process, which begins a journal now."""
        import sys

        return cls(
            uri=uri, family=family, pid=os.getpid(), host=socket.gethostname(), program=sys.argv[0], since=time.time()
        )


class Folder:
    """The files of one journal. A lock tells whether somebody writes or sends it; the system drops it with them.

    Attributes:
        path: The directory, private to this user.
        owner: Who wrote it.
    """

    def __init__(self, path: Path, owner: Owner, lock: int) -> None:
        self.path, self.owner = path, owner
        self._lock = lock

    @classmethod
    def create(cls, name: str, owner: Owner) -> Folder:
        """Make a journal's folder, held by this process.

        Raises:
            OSError: It cannot be written there.
        """
        try:
            import fcntl  # which Windows has not

            root = journal_root()
        except (ImportError, RuntimeError) as error:
            raise OSError(str(error)) from None
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Under another name until it is held, so that nobody takes it for what a dead process left.
        path = root / f".{name}"
        path.mkdir(mode=0o700)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.write(lock, json.dumps(asdict(owner)).encode())
            path = path.rename(root / name)
        except OSError:
            os.close(lock)
            raise
        return cls(path, owner, lock)

    @classmethod
    def take(cls, path: Path) -> Folder | None:
        """Hold a folder that no living process holds; None when one does, or when there is no journal."""
        try:
            import fcntl

            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except (ImportError, OSError):
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another one may have removed it before it was held here.
            if os.fstat(lock).st_ino != (path / _LOCK).stat().st_ino:
                raise FileNotFoundError
            owner = Owner(**json.loads(os.read(lock, 1 << 16)))
        except (OSError, ValueError, TypeError):
            os.close(lock)
            return None
        return cls(path, owner, lock)

    def new_segment(self, number: int) -> Segment:
        """Make the segment of this number.

        Raises:
            OSError: There is no room for it.
        """
        return Segment.create(self.path / f"{number:08}.segment")

    def new_refusals(self) -> Segment:
        """Make a segment for what the server refused.

        Raises:
            OSError: There is no room for it.
        """
        return Segment.create(self.path / f"{_REFUSED}{time.time_ns():020}.segment")

    def segments(self) -> list[Path]:
        """The segments' files in their order; what was refused comes last."""
        return sorted(self.path.glob("*.segment"))

    def holds_refusals(self) -> bool:
        """Whether something is there that the server refused."""
        return any(path.name.startswith(_REFUSED) for path in self.segments())

    def let_go(self) -> None:
        """Leave the folder to others. A forked process does so with what it inherited, and the parent keeps it."""
        os.close(self._lock)

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.let_go()


def folders(root: Path) -> Iterator[Path]:
    """What there is of this user's journals, oldest first."""
    with contextlib.suppress(OSError):
        found = [
            (entry.stat().st_mtime, Path(entry.path))
            for entry in os.scandir(root)
            # What another user put there is not ours to send.
            if not entry.name.startswith(".") and entry.is_dir() and entry.stat().st_uid == os.getuid()
        ]
        for _, path in sorted(found):
            yield path
