"""An interrupted download goes on where it was: over kills of either side, without another version's bytes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.counting_proxy import CountingProxy, counting_proxy
from tests.faults.test_server_killed import PATIENT, server_arguments
from tests.ports import free_port
from tests.server_process import clean_environment, running_server

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast._transfer import partials, small_files
from holdfast._transfer.partials import partial_name
from holdfast._transfer.progress import Progress
from holdfast.errors import DataLossError, HoldfastError
from holdfast.format.digests import BLOCK_SIZE

MIB = 1 << 20
DOWNLOAD = """
import sys, threading, holdfast
with holdfast.Client(sys.argv[1]) as client:
    print("begin", flush=True)
    try:
        client.download_artifacts(sys.argv[2], sys.argv[3], sys.argv[4])
    except KeyboardInterrupt:
        print([t.name for t in threading.enumerate() if t.name.startswith("holdfast")], flush=True)
        raise SystemExit(9)
"""


def begin_download(port: int, run_id: str, path: str, target: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, f"holdfast://127.0.0.1:{port}", run_id, path, str(target)],
        env=clean_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    return process


def until(condition, process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None or condition(), "it ended too early"
        time.sleep(0.001)


def begin_and_hold(proxy: CountingProxy, size: int, run_id: str, path: str, target: Path) -> subprocess.Popen[str]:
    """Begin a download of which only about ``size`` bytes come."""
    proxy.hold(received=size)
    process = begin_download(proxy.port, run_id, path, target)
    proxy.wait_until(lambda proxy: proxy.holding)
    return process


def arrived(folder: Path, size: int) -> bool:
    """Whether so many bytes of a file are in the folder."""
    return any(partial.stat().st_size >= size for partial in folder.glob(".holdfast-*.part"))


def partial_of(folder: Path) -> Path:
    (partial,) = folder.glob(".holdfast-*.part")
    return partial


def damage(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def test_a_killed_download_goes_on_and_fetches_again_only_what_is_damaged(client, run_id, proxy, counted, tmp_path):
    data = secrets.token_bytes(12 * BLOCK_SIZE + 5)
    client.log_bytes(run_id, data, "big")
    process = begin_and_hold(proxy, 9 * BLOCK_SIZE, run_id, "big", tmp_path)
    until(lambda: arrived(tmp_path, 6 * BLOCK_SIZE), process)
    process.kill()
    process.communicate()
    proxy.go_on()
    assert not (tmp_path / "big").exists()
    damage(partial_of(tmp_path), BLOCK_SIZE + 77)
    before = proxy.received
    counted.download_artifacts(run_id, "big", tmp_path)
    assert (tmp_path / "big").read_bytes() == data
    # At least five blocks were whole, and one of those was damaged.
    assert proxy.received - before < 9 * BLOCK_SIZE
    assert [p.name for p in tmp_path.iterdir()] == ["big"]
    before = proxy.received
    counted.download_artifacts(run_id, "big", tmp_path)
    assert proxy.received - before < MIB


def test_a_killed_download_of_a_tree_fetches_only_what_is_not_there(client, run_id, proxy, counted, tmp_path):
    files = {f"d/{i:04}": secrets.token_bytes(20_000) for i in range(400)} | {"d/z": secrets.token_bytes(9 * MIB)}
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    for name, data in files.items():
        (source / name).write_bytes(data)
    client.log_artifacts(run_id, source)
    target = tmp_path / "target"
    process = begin_download(proxy.port, run_id, "", target)
    until((target / "d/0150").exists, process)
    process.kill()
    process.communicate()
    there = sum(p.stat().st_size for p in (target / "d").iterdir() if not p.name.startswith("."))
    before = proxy.received
    counted.download_artifacts(run_id, dst_path=target)
    received = proxy.received - before
    assert {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("[!.]*") if p.is_file()} == files
    # What two threads had in hand when the kill came is fetched again.
    again = (small_files.WAITING + small_files.THREADS) * small_files.BATCH_BYTES
    assert received < sum(map(len, files.values())) - there + again + MIB


def test_a_file_of_a_tree_that_was_changed_here_is_replaced(client, run_id, tmp_path):
    for name in "abc":
        client.log_text(run_id, name * 3, f"d/{name}")
    client.download_artifacts(run_id, "d", tmp_path)
    (tmp_path / "d/b").write_text("xxx")
    (tmp_path / "d/c").chmod(0o755)
    client.download_artifacts(run_id, "d", tmp_path)
    assert {p.name: p.read_text() for p in (tmp_path / "d").iterdir()} == {"a": "aaa", "b": "bbb", "c": "ccc"}
    assert not os.access(tmp_path / "d/c", os.X_OK)


def test_another_version_neither_mixes_in_nor_stays(client, run_id, proxy, tmp_path):
    old, new = (secrets.token_bytes(6 * BLOCK_SIZE) for _ in range(2))
    client.log_bytes(run_id, old, "big")
    process = begin_and_hold(proxy, 4 * BLOCK_SIZE, run_id, "big", tmp_path)
    until(lambda: arrived(tmp_path, 2 * BLOCK_SIZE), process)
    process.kill()
    process.communicate()
    proxy.go_on()
    partial_of(tmp_path)
    client.log_bytes(run_id, new, "big")
    client.download_artifacts(run_id, "big", tmp_path)
    assert (tmp_path / "big").read_bytes() == new
    assert [p.name for p in tmp_path.iterdir()] == ["big"]


def test_downloads_of_one_file_to_one_place_take_turns_and_it_comes_once(client, run_id, proxy, tmp_path):
    data = secrets.token_bytes(6 * BLOCK_SIZE)
    client.log_bytes(run_id, data, "big")
    before = proxy.received
    processes = [begin_download(proxy.port, run_id, "big", tmp_path) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()
    assert (tmp_path / "big").read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["big"]
    assert proxy.received - before < 7 * BLOCK_SIZE


def test_a_download_that_is_stuck_is_not_waited_for(client, run_id, tmp_path, monkeypatch):
    monkeypatch.setattr(partials, "STUCK_AFTER", 0.2)
    data = secrets.token_bytes(2 * BLOCK_SIZE)
    client.log_bytes(run_id, data, "big")
    digest = bytes.fromhex(client.list_artifacts(run_id)[0].digest)
    with (tmp_path / partial_name("big", digest)).open("wb") as stuck:
        fcntl.flock(stuck, fcntl.LOCK_EX)
        client.download_artifacts(run_id, "big", tmp_path)
    assert (tmp_path / "big").read_bytes() == data


def test_a_download_goes_on_over_a_killed_server_and_sends_nothing_twice(tmp_path):
    data = secrets.token_bytes(16 * BLOCK_SIZE)
    port, target = free_port(), tmp_path / "out"
    arguments = server_arguments(tmp_path / "data", port)
    with counting_proxy(port) as proxy, Client(f"holdfast://127.0.0.1:{proxy.port}", retry=PATIENT) as client:
        with running_server(*arguments) as server:
            run_id = client.create_run("0").info.run_id
            client.log_bytes(run_id, data, "big")
            call = threading.Thread(target=client.download_artifacts, args=(run_id, "big", target))
            before = proxy.received
            proxy.hold(received=8 * BLOCK_SIZE)
            call.start()
            while not arrived(target, 4 * BLOCK_SIZE):
                time.sleep(0.001)
            server.process.kill()
            server.process.wait()
            proxy.go_on()
        with running_server(*arguments):
            call.join(120)
            assert not call.is_alive()
    assert (target / "big").read_bytes() == data
    # What was on its way when the kill came is lost: less than a block, and what the network held.
    assert proxy.received - before < len(data) + 3 * BLOCK_SIZE


def test_damage_on_the_servers_disk_keeps_the_blocks_before_it_for_the_next_time(client, server, run_id, tmp_path):
    data = secrets.token_bytes(4 * BLOCK_SIZE)
    store = server.app.config.data_dir / "store"
    before = set(store.rglob("*.*"))
    client.log_bytes(run_id, data, "big")
    last = next(p for p in set(store.rglob("*.*")) - before if p.read_bytes() == data[-BLOCK_SIZE:])
    damage(last, 5)
    with pytest.raises(DataLossError):
        client.download_artifacts(run_id, "big", tmp_path)
    assert not (tmp_path / "big").exists()
    damage(last, 5)  # mended
    client.download_artifacts(run_id, "big", tmp_path)
    assert (tmp_path / "big").read_bytes() == data


@pytest.mark.parametrize("path", ["big", "", "small"], ids=["one-file", "several-files", "small-files"])
def test_ctrl_c_stops_a_stalled_download_at_once_and_it_goes_on_later(client, run_id, proxy, tmp_path, path):
    big = secrets.token_bytes(8 * BLOCK_SIZE)
    client.log_bytes(run_id, big, "big")
    client.log_bytes(run_id, big[::-1], "other")
    for i in range(40):
        client.log_bytes(run_id, secrets.token_bytes(60_000), f"small/{i}")
    process = begin_and_hold(proxy, MIB if path == "small" else 3 * BLOCK_SIZE, run_id, path, tmp_path)
    time.sleep(0.2)  # for what is on its way: then every thread waits for the network
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=50)
    took = time.monotonic() - begin
    assert (process.returncode, out) == (9, "[]\n")
    assert took < 30  # of the 80 s after which gRPC gives up a connection that stands still
    client.download_artifacts(run_id, path or None, tmp_path)
    if path != "small":
        assert (tmp_path / "big").read_bytes() == big
    assert not list(tmp_path.rglob(".holdfast-*"))


def test_ctrl_c_ends_the_pause_between_retries(tmp_path):
    data = secrets.token_bytes(8 * BLOCK_SIZE)
    port = free_port()
    with counting_proxy(port) as proxy:
        with running_server(*server_arguments(tmp_path / "data", port)) as server:
            with Client(f"holdfast://127.0.0.1:{port}") as client:
                run_id = client.create_run("0").info.run_id
                client.log_bytes(run_id, data, "big")
                client.log_bytes(run_id, data[::-1], "other")
            process = begin_and_hold(proxy, 2 * BLOCK_SIZE, run_id, "", tmp_path / "out")
            server.process.kill()
            server.process.wait()
        proxy.go_on()
        time.sleep(1.5)  # some attempts fail, and the pauses grow
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
        assert (process.returncode, out) == (9, "[]\n")
        assert time.monotonic() - begin < 20  # of the 30 s for which it would go on trying; a busy machine takes some


def test_a_download_without_progress_ends(client, server, run_id, tmp_path):
    client.log_bytes(run_id, secrets.token_bytes(3 * BLOCK_SIZE), "big")
    for i in range(30):
        client.log_bytes(run_id, secrets.token_bytes(60_000), f"small/{i}")

    # Answers come, and break before anything whole came of them.
    class Cutting(CountingProxy):
        def _pump(self, source, sink, *, up):
            if up:
                super()._pump(source, sink, up=up)
                return
            passed = 0
            with contextlib.suppress(OSError):
                while passed < 20_000 and (data := source.recv(1 << 12)):
                    passed += len(data)
                    sink.sendall(data)
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    for path in ("big", "small"):
        with contextlib.closing(Cutting(server.port)) as proxy:
            retry = RetryPolicy(window=0.5, first_window=0.5)
            with Client(f"holdfast://127.0.0.1:{proxy.port}", retry=retry) as cut, pytest.raises(HoldfastError):
                cut.download_artifacts(run_id, path, tmp_path / path)


def test_a_check_of_a_large_file_goes_on_at_the_block_where_the_connection_broke(client, server, run_id):
    size = 6 * BLOCK_SIZE
    client.log_bytes(run_id, secrets.token_bytes(size), "big")
    with counting_proxy(server.port) as between, Client(f"holdfast://127.0.0.1:{between.port}") as through:
        through.get_run(run_id)
        progress = Progress("verifying", shown=False)
        checks = []
        between.hold(received=4 * BLOCK_SIZE + MIB)
        checking = threading.Thread(
            target=lambda: checks.extend(through.artifacts.verify(f"runs:/{run_id}/big", progress))
        )
        checking.start()
        between.wait_until(lambda proxy: proxy.holding)
        between.refuse()
        between.go_on()
        checking.join(60)
        assert [(check.path, check.problem) for check in checks] == [("big", "")]
        assert progress.summary.bytes == size
        assert between.received < size + 2 * BLOCK_SIZE
