"""What the server counts, read over HTTP as Prometheus does."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.rpc.artifact_api import ArtifactApi, chunked, inline, sha
from tests.rpc.metrics_page import Metrics, fetch, scrape

from holdfast.v1 import run_service_pb2 as run_pb
from holdfast_server.app import App
from holdfast_server.config import ServerConfig

PAGE = Path(__file__).parents[2] / "docs" / "observability.md"
# Those of the library: of the process, of Python, and when a series began.
NOT_OURS = ("process_", "python_")
WRITE = {"method": "holdfast.v1.ArtifactService/WriteBlocks"}


@pytest.fixture
def server_config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(data_dir=tmp_path / "data", addresses=("127.0.0.1:0",), metrics_address="127.0.0.1:0")


@pytest.fixture
def port(app: App) -> int:
    assert app.operations is not None
    return app.operations.port


async def until_metrics(port: int, name: str, labels: dict[str, str], expected: float) -> Metrics:
    """The metrics once a sample is as expected: an answer is counted when it is on its way."""
    while (found := await scrape(port)).value(name, labels) != expected:  # noqa: ASYNC110 - an HTTP page has no events
        await asyncio.sleep(0.01)
    return found


async def test_calls_are_measured_by_method_and_status(runs: Any, port: int):
    await runs.CreateRun(run_pb.CreateRunRequest(experiment_id="0"))
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError):
            await runs.GetRun(run_pb.GetRunRequest(run_id="0" * 32))
    labels = {"method": "holdfast.v1.RunService/GetRun", "code": "NOT_FOUND"}
    found = await until_metrics(port, "holdfast_rpc_duration_seconds_count", labels, 2)
    assert 0 < found.value("holdfast_rpc_duration_seconds_sum", labels) < 60
    labels = {"method": "holdfast.v1.RunService/CreateRun", "code": "OK"}
    assert found.value("holdfast_rpc_duration_seconds_count", labels) == 1


async def test_unknown_methods_share_one_label(channel: grpc.aio.Channel, port: int):
    for name in ("One", "Two"):
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(f"/holdfast.v1.RunService/{name}")(b"")
    labels = {"method": "unknown", "code": "UNIMPLEMENTED"}
    found = await until_metrics(port, "holdfast_rpc_duration_seconds_count", labels, 2)
    methods = {sample.labels.get("method") for family in found.families for sample in family.samples}
    assert not {method for method in methods if method and method.endswith(("/One", "/Two"))}


async def test_open_streams_are_counted_while_they_are_open(api: ArtifactApi, port: int):
    closing = asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        await closing.wait()
        for message in ():
            yield message

    call = api.write_raw(requests())
    assert (await call.read()).window_bytes > 0
    assert (await scrape(port)).value("holdfast_rpc_open_streams", WRITE) == 1
    closing.set()
    assert await call.read() is grpc.aio.EOF
    await until_metrics(port, "holdfast_rpc_open_streams", WRITE, 0)


async def test_a_stream_that_its_client_cancels_ends_as_cancelled(api: ArtifactApi, port: int):
    async def requests() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    call = api.write_raw(requests())
    await call.read()
    call.cancel()
    await until_metrics(port, "holdfast_rpc_duration_seconds_count", {**WRITE, "code": "CANCELLED"}, 1)
    await until_metrics(port, "holdfast_rpc_open_streams", WRITE, 0)


async def test_blocks_are_counted_as_received_redundant_saved_and_read(api: ArtifactApi, port: int):
    large = [os.urandom(1 << 20) for _ in range(3)]
    digests = [sha(data) for data in large]
    assert await api.missing(digests) == digests
    await api.write([message for data in large for message in chunked(data)])
    found = await scrape(port)
    assert found.value("holdfast_blocks_received_total") == 3
    assert found.value("holdfast_block_received_bytes_total") == 3 << 20
    assert found.value("holdfast_blocks_saved_total") == found.value("holdfast_blocks_redundant_total") == 0
    assert found.value("holdfast_rpc_received_bytes_total", WRITE) > 3 << 20
    assert found.value("holdfast_rpc_sent_bytes_total", WRITE) > 0

    # A client that asks sends nothing twice; one that does not is found out.
    assert await api.missing([*digests, bytes(32)]) == [bytes(32)]
    await api.write(chunked(large[0]))
    found = await scrape(port)
    assert found.value("holdfast_blocks_saved_total") == 3
    assert found.value("holdfast_block_saved_bytes_total") == 3 << 20
    assert found.value("holdfast_blocks_redundant_total") == 1
    assert found.value("holdfast_block_redundant_bytes_total") == 1 << 20

    owner = await api.new_run()
    await api.commit(owner, inline("small", b"0123456789"))
    await api.commit(owner, inline("again", b"0123456789"))
    found = await scrape(port)
    assert found.value("holdfast_blocks_received_total") == 6
    assert found.value("holdfast_blocks_redundant_total") == 2
    await api.read(owner, "small")
    found = await scrape(port)
    assert found.value("holdfast_blocks_read_total") == 1
    assert found.value("holdfast_block_read_bytes_total") == 10


async def test_database_and_store_are_measured(api: ArtifactApi, port: int):
    await api.write(chunked(os.urandom(1 << 20)))
    found = await scrape(port)
    assert found.value("holdfast_sql_transaction_seconds_count", {"kind": "write"}) > 0
    put = {"operation": "put", "outcome": "ok"}
    assert found.value("holdfast_store_operation_seconds_count", put) >= 1
    assert found.value("holdfast_store_written_bytes_total") >= 1 << 20
    for queue in ("sql_write", "sql_read", "blocks"):
        assert ("holdfast_queue_depth", frozenset({("queue", queue)})) in found._samples
    assert found.value("holdfast_byte_budget_limit_bytes", {"budget": "uploads"}) == 64 << 20
    assert found.value("holdfast_database_size_bytes") > 0
    assert found.value("holdfast_data_free_bytes") > 0


async def test_what_waits_for_memory_is_shown(app: App, port: int):
    budget = app._budgets["uploads"]
    await budget.acquire(budget.limit)
    waiter = asyncio.ensure_future(budget.acquire(1))
    await asyncio.sleep(0)
    found = await scrape(port)
    assert found.value("holdfast_byte_budget_waiters", {"budget": "uploads"}) == 1
    assert found.value("holdfast_byte_budget_used_bytes", {"budget": "uploads"}) == budget.limit
    budget.release(budget.limit)
    await waiter


async def test_a_lost_block_is_an_operation_that_found_nothing(api: ArtifactApi, port: int, tmp_path: Path):
    owner = await api.new_run()
    await api.commit(owner, inline("small", b"0123456789"))
    for folder in ("blocks", "packs"):
        for path in (tmp_path / "data" / "store" / folder).rglob("*"):
            if path.is_file():
                path.unlink()
    with pytest.raises(grpc.aio.AioRpcError):
        await api.read(owner, "small")
    labels = {"operation": "get", "outcome": "absent"}
    assert (await scrape(port)).value("holdfast_store_operation_seconds_count", labels) >= 1


async def test_orphans_are_counted(tmp_path: Path):
    config = ServerConfig(data_dir=tmp_path, addresses=("127.0.0.1:0",), metrics_address="127.0.0.1:0")
    first = App(config)
    await first.start()
    await first.stop()
    orphan = tmp_path / "store" / "blocks" / "ab" / f"ab{secrets.token_hex(16)}"
    young = orphan.with_name("young")
    orphan.parent.mkdir(parents=True)
    for path in (orphan, young):
        path.write_bytes(bytes(1234))
    os.utime(orphan, (1, 1))
    app = App(config)
    await app.start()
    try:
        assert app.operations is not None
        found = await until_metrics(app.operations.port, "holdfast_store_orphan_bytes", {}, 1234)
        assert found.value("holdfast_store_orphans") == 1
        assert found.value("holdfast_store_orphans_counted_timestamp_seconds") > 0
    finally:
        await app.stop()


async def test_names_follow_the_conventions_of_prometheus_and_are_documented(api: ArtifactApi, port: int):
    owner = await api.new_run()
    await api.commit(owner, inline("small"))
    found = await scrape(port)
    ours = [family for family in found.families if not family.name.startswith(NOT_OURS)]
    page = PAGE.read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(holdfast_\w+)`", page, re.MULTILINE))
    names = set()
    for family in ours:
        assert re.fullmatch(r"holdfast_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        unit = family.name.rpartition("_")[2]
        if family.type == "histogram":
            assert unit == "seconds"
        names.add(f"{family.name}_total" if family.type == "counter" else family.name)
    assert names == documented


async def test_prometheus_gets_the_format_that_it_asks_for(port: int):
    _, plain, _ = await asyncio.to_thread(fetch, port, "/metrics")
    assert plain.startswith("text/plain; version=0.0.4")
    _, openmetrics, text = await asyncio.to_thread(
        fetch, port, "/metrics", accept="application/openmetrics-text; version=1.0.0"
    )
    assert openmetrics.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


async def test_nothing_else_is_served(port: int):
    assert (await asyncio.to_thread(fetch, port, "/"))[0] == 404
    assert (await asyncio.to_thread(fetch, port, "/../../etc/passwd"))[0] == 404
    assert (await asyncio.to_thread(fetch, port, "/metrics", method="POST"))[0] == 501
    status, _, text = await asyncio.to_thread(fetch, port, "/livez", method="HEAD")
    assert (status, text) == (200, "")


async def test_a_port_in_use_is_named(app: App, port: int, tmp_path: Path):
    config = ServerConfig(data_dir=tmp_path / "other", addresses=("127.0.0.1:0",), metrics_address=f"127.0.0.1:{port}")
    other = App(config)
    with pytest.raises(OSError, match=f"cannot bind 127.0.0.1:{port} for metrics"):
        await other.start()
    await other.stop()


def test_nothing_is_imported_when_metrics_are_off():
    code = "import sys, holdfast_server.app; print([m for m in sys.modules if m.startswith(('prometheus', 'opentel'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
