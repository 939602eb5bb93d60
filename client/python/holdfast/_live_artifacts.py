"""What a client does with artifacts that are still being written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, BinaryIO, TextIO, cast, overload

from holdfast import _content
from holdfast._calls import Calls, build
from holdfast._checks import check_unicode
from holdfast._open_modes import FLUSH_INTERVAL, BinaryMode, OpenMode, TextMode
from holdfast.entities import FileInfo
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import artifact_pb2


class LiveArtifactCalls(Calls):
    """What a client does with artifacts that are still being written."""

    @overload
    def open_artifact(
        self,
        run_id: str,
        artifact_file: str,
        mode: TextMode = ...,
        *,
        encoding: str = ...,
        flush_interval: float = ...,
    ) -> TextIO: ...

    @overload
    def open_artifact(
        self, run_id: str, artifact_file: str, mode: BinaryMode, *, flush_interval: float = ...
    ) -> BinaryIO: ...

    def open_artifact(
        self,
        run_id: str,
        artifact_file: str,
        mode: str = "w",
        *,
        encoding: str = "utf-8",
        flush_interval: float = FLUSH_INTERVAL,
    ) -> IO[Any]:
        """Open an artifact for writing that others can follow meanwhile, by ``tail_artifact``.

        What is written is durable soon: after ``flush_interval`` or at 256 KiB, and when ``flush`` returns. It becomes
        a file of the run when it is closed, which the end of the run and of the program do as well. One writer at a
        time: opening a path again takes it over, and the writer before can write no more.

        Args:
            run_id: The run.
            artifact_file: Such as ``logs/train.log``.
            mode: As of Python's ``open``. ``"w"`` begins anew, and replaces what is there when closed; ``"a"`` goes on
                with what is being written there, or with the file; ``"x"`` refuses what is there. With ``b`` for bytes.
            encoding: Of text.
            flush_interval: Seconds that what is written may wait before it is sent. A writer that is killed loses at
                most that much.

        Raises:
            AlreadyExistsError: With ``"x"``, something is there.
            FailedPreconditionError: The run is deleted, or a directory is there.
            InvalidArgumentError: The mode or path breaks a rule.
            NotFoundError: There is no such run.
        """
        how = OpenMode.parse(mode, encoding, flush_interval)
        path = _content.file_path(artifact_file)
        owner = build(artifact_pb2.TreeOwner, run_id=run_id)
        from holdfast._transfer.live import LiveText, open_live

        writer = open_live(self._channel, owner, path, how)
        return cast("BinaryIO", writer) if how.encoding is None else LiveText(writer, how.encoding)

    def tail_artifact(self, artifact_uri: str, offset: int = 0, *, follow: bool = True) -> Iterator[bytes]:
        """Read a file, and what is appended to it while it is being written.

        The iterator ends when the file is closed. It goes on where it was over broken connections and restarts of the
        server.

        Args:
            artifact_uri: Such as ``runs:/<run_id>/logs/train.log``; also a file that nobody writes any more.
            offset: The first byte; negative counts from the end.
            follow: Wait for more; False ends with what is there.

        Raises:
            ConflictError: Another writer began the file anew.
            DataLossError: Bytes do not have their digest.
            NotFoundError: It is not there.
            UnavailableError: The server stays away.
        """
        from holdfast._transfer.tailing import Tail

        if not isinstance(offset, int):
            raise InvalidArgumentError(f"offset is a whole number, not {offset!r:.80}.")
        return Tail(self._channel, check_unicode(artifact_uri, "artifact_uri"), offset, follow=follow).chunks()

    def list_live_artifacts(self, run_id: str) -> list[FileInfo]:
        """What is being written in a run; sizes are those that are durable by now."""
        from holdfast._transfer.live import list_live

        found = list_live(self._channel, build(artifact_pb2.TreeOwner, run_id=run_id))
        return [FileInfo(path=live.path, is_dir=False, file_size=live.size, digest=None) for live in found]
