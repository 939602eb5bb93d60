"""A server with failpoints: ``python failpoint_server.py <the server's arguments>``, configured by the environment.

Another composition of the same parts: each step of a commit is wrapped, the rest is ``python -m holdfast_server``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults.failpoints import ARM, TRACE_VARIABLE, VARIABLE, Failpoints

from holdfast_server.__main__ import main
from holdfast_server.rpc.artifact_service import ArtifactServicer
from holdfast_server.storage.blocks.local import LocalObjectStore
from holdfast_server.storage.sql import sqlite
from holdfast_server.storage.sql.blocks import SqlBlockIndex
from holdfast_server.storage.sql.requests import SqlRequests
from holdfast_server.storage.sql.trees import SqlTrees


def wrap_system_calls(failpoints: Failpoints) -> None:
    """Steps of the local store, told from other writes by the file's name, so that it may call what it likes."""
    for name in ("write", "writev", "pwrite", "pwritev"):
        failpoints.around(os, name, _object_write)
    for name in ("fsync", "fdatasync"):
        failpoints.around(os, name, _sync)
    for owner in (os, Path):
        for name in ("rename", "replace"):
            failpoints.around(owner, name, _rename)
    failpoints.around(Path, "mkdir", _make_directory)


def _object_write(descriptor: int, *_: object) -> str | None:
    return "object.write" if _is_incoming(_path_of(descriptor)) else None


def _sync(descriptor: int) -> str | None:
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        return "directory.sync"
    return "object.sync" if _is_incoming(_path_of(descriptor)) else None


def _rename(source: object, *_: object, **__: object) -> str | None:
    return "object.rename" if _is_incoming(str(source)) else None


def _make_directory(path: Path, *_: object, **__: object) -> str | None:
    return None if path.is_dir() else "directory.make"


def _path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def _is_incoming(path: str) -> bool:
    return "/.incoming/" in path


def wrap_stores(failpoints: Failpoints) -> None:
    """Objects of either backend."""

    def step(_: object, key: str, *__: object) -> str | None:
        return {"blocks": "block.put", "packs": "pack.put"}.get(key.partition("/")[0])

    failpoints.around(LocalObjectStore, "put", step)
    if "--store" in sys.argv:
        from holdfast_server.storage.blocks.s3 import S3ObjectStore  # which takes a while

        failpoints.around(S3ObjectStore, "put", step)


def wrap_database(failpoints: Failpoints) -> None:
    """Statements of transactions, and COMMIT itself."""
    failpoints.around(SqlBlockIndex, "add", "rows.blocks")
    failpoints.around(SqlTrees, "stage", "rows.stage")
    failpoints.around(SqlTrees, "seal", "rows.seal")
    failpoints.around(SqlTrees, "stage_removals", "rows.remove")
    failpoints.around(SqlRequests, "add", "rows.request")

    class Connection:
        """SQLite's own connection takes no wrapped methods."""

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def execute(self, statement: str, *args: Any) -> Any:
            if statement != "COMMIT":
                return self._connection.execute(statement, *args)
            failpoints.passing("commit:before")
            result = self._connection.execute(statement)
            failpoints.passing("commit:after")
            return result

    connect = sqlite.connect
    sqlite.connect = lambda *args, **kwargs: Connection(connect(*args, **kwargs))


def wrap_answers(failpoints: Failpoints) -> None:
    """Before an answer is given to gRPC, and after gRPC took it."""

    def unary(name: str, step: str) -> None:
        original = getattr(ArtifactServicer, name)

        @functools.wraps(original)
        async def answered(self: object, request: object, context: Any) -> Any:
            context.add_done_callback(lambda _: failpoints.passing(f"{step}:after"))
            answer = await original(self, request, context)
            failpoints.passing(f"{step}:before")
            return answer

        setattr(ArtifactServicer, name, answered)

    unary("CommitFiles", "answer.commit")
    unary("DeleteFiles", "answer.delete")
    write_blocks = ArtifactServicer.WriteBlocks

    @functools.wraps(write_blocks)  # keeps that it takes raw requests
    async def answered(self: ArtifactServicer, request: Any, context: Any) -> AsyncIterator[Any]:
        async with contextlib.aclosing(write_blocks(self, request, context)) as answers:
            async for answer in answers:
                failpoints.passing("answer.blocks:before")
                yield answer
                failpoints.passing("answer.blocks:after")

    ArtifactServicer.WriteBlocks = answered  # type: ignore[method-assign]


def run() -> int:
    """Wrap everything, then be an ordinary server."""
    failpoints = Failpoints(os.environ.get(VARIABLE, ""), os.environ.get(TRACE_VARIABLE, ""))
    signal.signal(ARM, failpoints.arm)
    wrap_system_calls(failpoints)
    wrap_stores(failpoints)
    wrap_database(failpoints)
    wrap_answers(failpoints)
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
