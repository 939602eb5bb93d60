"""What one call does when its server is killed: it goes on, or leaves nothing."""

from __future__ import annotations

import random
import secrets
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.counting_proxy import counting_proxy
from tests.faults.backends import socket_directory
from tests.faults.faulty_proxy import FaultyProxy
from tests.ports import free_port
from tests.server_process import running_server

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.errors import HoldfastError, UnavailableError

NO_RETRIES = RetryPolicy(window=0, first_window=0)
PATIENT = RetryPolicy(window=120, first_window=120)
ONCE_IT_ANSWERED = RetryPolicy(window=120, first_window=0)


def make_set(folder: Path, source: random.Random) -> dict[str, bytes]:
    """Files of one call: small ones that share packs, and one of two blocks."""
    contents = {f"small/{i:02}.bin": source.randbytes(source.randrange(1, 9_000)) for i in range(30)}
    contents["large.bin"] = source.randbytes(1 << 20) * 9
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return contents


def server_arguments(data_dir: Path, port: int) -> list[str]:
    return ["--host", "127.0.0.1", "--port", str(port), "--data-dir", str(data_dir)]


def test_a_call_survives_a_restart_and_sends_only_what_is_missing(tmp_path: Path) -> None:
    port = free_port()
    arguments = server_arguments(tmp_path / "data", port)
    file = tmp_path / "model.bin"
    file.write_bytes(b"".join(secrets.token_bytes(8 << 20) for _ in range(12)))
    with counting_proxy(port) as proxy, Client(f"holdfast://127.0.0.1:{proxy.port}", retry=PATIENT) as client:
        with running_server(*arguments) as server:
            run_id = client.create_run("0").info.run_id
            proxy.hold(sent=8 * (8 << 20))
            call = threading.Thread(target=client.log_artifact, args=(run_id, file))
            call.start()
            store = tmp_path / "data" / "store" / "blocks"
            while sum(1 for _ in store.glob("*/*")) < 3:
                time.sleep(0.001)
            server.process.kill()
            server.process.wait()
            kept = {path.name.partition(".")[0] for path in store.glob("*/*")}
        assert call.is_alive()
        proxy.go_on()
        with running_server(*arguments):
            call.join(120)
            assert not call.is_alive()
            target = client.download_artifacts(run_id, "model.bin", tmp_path / "back")
            assert Path(target).read_bytes() == file.read_bytes()
    names = [path.name.partition(".")[0] for path in store.glob("*/*")]
    assert len(set(names)) == 12
    # A block whose bytes were stored when the kill came, but whose row was not, is stored anew; others are not.
    assert len(names) - 12 <= 4, f"{len(names) - 12} of {len(kept)} kept blocks were stored again"


@pytest.mark.parametrize("small", [True, False], ids=["small files", "large files"])
def test_a_first_call_survives_a_stop_in_good_order(tmp_path: Path, small: bool) -> None:
    """What the server cuts off then is CANCELLED; and that it answered before is known from within the call."""
    port = free_port()
    arguments = [*server_arguments(tmp_path / "data", port), "--drain-timeout", "0.1"]
    folder = tmp_path / "folder"
    folder.mkdir()
    count, size = (3_000, 2_000) if small else (5, 8 << 20)
    for number in range(count):
        (folder / str(number)).write_bytes(secrets.token_bytes(size))
    with counting_proxy(port) as proxy, Client(f"holdfast://127.0.0.1:{proxy.port}", retry=ONCE_IT_ANSWERED) as client:
        with running_server(*arguments) as server:
            with Client(f"holdfast://{server.address}") as other:
                run_id = other.create_run("0").info.run_id
            proxy.hold(sent=count * size // 2)
            call = threading.Thread(target=client.log_artifacts, args=(run_id, folder))
            call.start()
            proxy.wait_until(lambda proxy: proxy.holding)
            assert server.stop() == 0
        proxy.go_on()
        with running_server(*arguments):
            call.join(120)
            assert not call.is_alive()
            assert len(client.list_artifacts(run_id)) == count


def test_a_call_that_fails_leaves_nothing_visible(tmp_path: Path) -> None:
    port = free_port()
    arguments = server_arguments(tmp_path / "data", port)
    folder = tmp_path / "set"
    make_set(folder, random.Random(7))
    with running_server(*arguments) as server, Client(f"holdfast://127.0.0.1:{port}", retry=NO_RETRIES) as client:
        run_id = client.create_run("0").info.run_id
        server.process.kill()
        server.process.wait()
        with pytest.raises(HoldfastError, match=f"127.0.0.1:{port}"):
            client.log_artifacts(run_id, folder)
    with running_server(*arguments), Client(f"holdfast://127.0.0.1:{port}") as client:
        assert client.list_artifacts(run_id) == []


def test_another_machine_goes_on_with_an_upload_that_a_kill_ended(tmp_path: Path) -> None:
    """There is no upload to lose: what is stored is found by its content."""
    port = free_port()
    arguments = server_arguments(tmp_path / "data", port)
    folder = tmp_path / "models"
    folder.mkdir()
    for number in range(12):
        (folder / str(number)).write_bytes(secrets.token_bytes(8 << 20))
    store = tmp_path / "data" / "store" / "blocks"
    with (
        running_server(*arguments) as server,
        counting_proxy(port) as proxy,
        Client(f"holdfast://127.0.0.1:{proxy.port}", retry=NO_RETRIES) as client,
    ):
        run_id = client.create_run("0").info.run_id
        with ThreadPoolExecutor(1) as pool:
            proxy.hold(sent=8 * (8 << 20))
            call = pool.submit(client.log_artifacts, run_id, folder)
            while sum(1 for _ in store.glob("*/*")) < 4:
                time.sleep(0.001)
            server.process.kill()
            server.process.wait()
            proxy.go_on()
            with pytest.raises(UnavailableError):
                call.result(120)
    kept = sum(1 for _ in store.glob("*/*"))
    elsewhere = tmp_path / "other-machine"
    shutil.copytree(folder, elsewhere)
    with (
        socket_directory() as directory,
        running_server("--unix", str(directory / "s"), *arguments[4:]),
        FaultyProxy.running(directory / "s") as counting,
        Client(counting.uri) as client,
    ):
        client.log_artifacts(run_id, elsewhere)
        first = counting.sent
        client.log_artifacts(run_id, elsewhere, "again")
        second = counting.sent - first
    # A block whose bytes were stored when the kill came, but whose row was not, is sent once more.
    assert (12 - kept) * (8 << 20) < first < (12 - kept + 4) * (8 << 20) + (1 << 20)
    assert second < 64 << 10, "what the server has was sent again"
