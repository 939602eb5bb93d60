"""Whatever breaks under a server, its answers carry no traceback, no path of its host, no statement and no secret."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import pkgutil
import secrets
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from tests.rpc.artifact_api import ArtifactApi, inline
from tests.rpc.metrics_page import fetch
from tests.server_process import running_server

import holdfast.v1
from holdfast.v1 import artifact_pb2, run_service_pb2
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

pytestmark = pytest.mark.slow

RUN_ID = "ab" * 16
MARK = "hidden-folder"  # in every path of the server
# Of tracebacks, of SQLite and its module, of statements, of Python.
TELLTALES = ("Traceback", 'File "', ".py", "sqlite3.", "OperationalError", "DatabaseError", "no such table", "SELECT ",
             "INSERT ", "malformed", "Errno", "/tmp/", "holdfast.db", "0x7f")  # fmt: skip
TEXTS = {
    "run_id": RUN_ID,
    "path": "a",
    "name": "n",
    "experiment_id": "0",
    "filter": "",
    "order_by": "",
    "uri": "models:/n/1",
}


def methods() -> Iterator[MethodDescriptor]:
    for module in pkgutil.iter_modules(holdfast.v1.__path__):
        if module.name.endswith("_service_pb2") and not module.name.startswith("prediction"):
            descriptor = importlib.import_module(f"holdfast.v1.{module.name}").DESCRIPTOR
            for service in descriptor.services_by_name.values():
                yield from service.methods


METHODS = list(methods())


def plausible(message: Any, depth: int = 0) -> Any:
    """Fill what a call needs to get as far as the storage."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE and depth < 2 and not field.is_repeated:
            if field.name in {"owner", "header", "experiment"}:
                plausible(getattr(message, field.name), depth + 1)
        elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            if field.name in TEXTS and not (field.containing_oneof and message.WhichOneof(field.containing_oneof.name)):
                setattr(message, field.name, TEXTS[field.name])
        elif field.name == "digests":
            message.digests.append(bytes(32))
    return message


async def answer(channel: grpc.aio.Channel, method: MethodDescriptor) -> tuple[str, str]:
    """The status of a call, and everything that came back, as text."""
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    request = plausible(GetMessageClass(method.input_type)()).SerializeToString()

    async def requests() -> AsyncIterator[bytes]:
        yield request

    call = getattr(channel, kind)(f"/{method.containing_service.full_name}/{method.name}")(
        requests() if method.client_streaming else request, timeout=10
    )
    came: list[Any] = []
    try:
        if method.server_streaming:
            # A watch goes on for ever; what it says first is enough.
            with contextlib.suppress(asyncio.TimeoutError):
                while (message := await asyncio.wait_for(call.read(), 1)) is not grpc.aio.EOF:
                    came.append(message)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                came.append(await call.details())
        else:
            came.append(await call)
    except grpc.aio.AioRpcError as error:
        came += [error.details(), *(error.trailing_metadata() or ()), *(error.initial_metadata() or ())]
    code = await call.code()
    return code.name, repr(came)


def tables_gone(data: Path) -> None:
    """What no statement expects."""
    database = sqlite3.connect(data / "holdfast.db")
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOTNULL")]
    database.execute("PRAGMA legacy_alter_table = ON")
    for name in names:
        if not name.startswith("sqlite_"):
            database.execute(f'ALTER TABLE "{name}" RENAME TO "gone_{name}"')
    database.commit()
    database.close()


def database_overwritten(data: Path) -> None:
    """As a broken disk does."""
    for name in ("holdfast.db", "holdfast.db-wal", "holdfast.db-shm"):
        path = data / name
        if path.exists():
            with path.open("r+b") as file:
                file.write(secrets.token_bytes(path.stat().st_size))


def store_replaced(data: Path) -> None:
    """As by a volume that is not mounted."""
    (data / "store").rename(data / "store-away")
    (data / "store").write_text("")


def objects_damaged(data: Path) -> None:
    """Bits flip, and files lose their ends."""
    for kind in ("blocks", "packs"):  # what tries the store out comes and goes beside them
        for path in (data / "store" / kind).glob("*/*"):
            path.write_bytes(bytes(3))


BREAKS = [
    pytest.param(tables_gone, "INTERNAL", id="tables are gone"),
    pytest.param(database_overwritten, "DATA_LOSS", id="database is overwritten"),
    pytest.param(store_replaced, "UNAVAILABLE", id="store is replaced"),
    pytest.param(objects_damaged, "DATA_LOSS", id="objects are damaged"),
]


@pytest.mark.parametrize(("break_it", "expected"), BREAKS)
async def test_answers_tell_nothing_of_the_inside(break_it: Callable[[Path], None], expected: str, tmp_path: Path):
    data, key = tmp_path / MARK / "data", secrets.token_hex(20)
    environment = {"AWS_SECRET_ACCESS_KEY": key, "HOLDFAST_SERVER_METRICS_ADDRESS": "127.0.0.1:0"}
    arguments = ("--port=0", f"--data-dir={data}", "--probe-interval=0.2", "--drain-timeout=1")
    statuses: Counter[str] = Counter()
    told = {}
    with running_server(*arguments, environment=environment) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            api = ArtifactApi(channel)
            await RunServiceStub(channel).CreateRun(run_service_pb2.CreateRunRequest(run_id=RUN_ID))
            await api.commit(artifact_pb2.TreeOwner(run_id=RUN_ID), inline("a", b"some content"))
            break_it(data)
            for method in METHODS:
                code, text = await answer(channel, method)
                statuses[code] += 1
                told[method.full_name] = f"{code}: {text}"
        line = server.line("Metrics on ")
        port = int(line.rpartition(":")[2].partition("/")[0])
        for path in ("/readyz", "/livez", "/metrics", "/nothing"):
            told[path] = json.dumps(await asyncio.to_thread(fetch, port, path))
        server.process.kill()
    assert statuses[expected], statuses
    for name, text in told.items():
        found = [telltale for telltale in (*TELLTALES, MARK, key, str(tmp_path)) if telltale in text]
        assert not found, (name, found, text)
