"""A server that is killed loses nothing that it acknowledged and shows nothing partial."""

from __future__ import annotations

import random
import secrets
import socket
import threading
import time
from pathlib import Path

import pytest
from tests.server_process import running_server

from holdfast._channel import RetryPolicy
from holdfast._client import Client
from holdfast.errors import HoldfastError

KILLS = 20
NO_RETRIES = RetryPolicy(window=0, first_window=0)
PATIENT = RetryPolicy(window=60, first_window=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_over_twenty_kills(tmp_path: Path) -> None:
    moments = random.Random(20261124)
    port = free_port()
    arguments = server_arguments(tmp_path / "data", port)
    sets: list[dict[str, bytes]] = []
    acknowledged: list[int] = []
    with running_server(*arguments), Client(f"holdfast://127.0.0.1:{port}") as client:
        run_id = client.create_run("0").info.run_id

    for kill in range(KILLS):
        with running_server(*arguments) as server, Client(f"holdfast://127.0.0.1:{port}", retry=NO_RETRIES) as client:
            killer = threading.Timer(moments.uniform(0.0, 0.6), server.process.kill)
            killer.start()
            try:
                while True:
                    folder = tmp_path / f"set-{len(sets)}"
                    sets.append(make_set(folder, moments))
                    client.log_artifacts(run_id, folder, f"set-{len(sets) - 1}")
                    acknowledged.append(len(sets) - 1)
            except HoldfastError:
                pass  # this one was not acknowledged: all of it may be there, or nothing
            killer.join()
            assert server.process.wait(30) == -9, f"kill {kill} did not hit"

    with running_server(*arguments), Client(f"holdfast://127.0.0.1:{port}") as client:
        visible = {Path(entry.path).name for entry in client.list_artifacts(run_id)}
        assert visible >= {f"set-{number}" for number in acknowledged}
        for number, contents in enumerate(sets):
            if f"set-{number}" not in visible:
                continue
            target = Path(client.download_artifacts(run_id, f"set-{number}", tmp_path / "back"))
            found = {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}
            assert found == contents, f"set {number} is not what was logged"


def test_a_call_survives_a_restart_and_sends_only_what_is_missing(tmp_path: Path) -> None:
    port = free_port()
    arguments = server_arguments(tmp_path / "data", port)
    file = tmp_path / "model.bin"
    file.write_bytes(b"".join(secrets.token_bytes(8 << 20) for _ in range(12)))
    with Client(f"holdfast://127.0.0.1:{port}", retry=PATIENT) as client:
        with running_server(*arguments) as server:
            run_id = client.create_run("0").info.run_id
            call = threading.Thread(target=client.log_artifact, args=(run_id, file))
            call.start()
            store = tmp_path / "data" / "store" / "blocks"
            while sum(1 for _ in store.glob("*/*")) < 3:
                time.sleep(0.001)
            server.process.kill()
            server.process.wait()
            kept = {path.name.partition(".")[0] for path in store.glob("*/*")}
        assert call.is_alive()
        with running_server(*arguments):
            call.join(60)
            assert not call.is_alive()
            target = client.download_artifacts(run_id, "model.bin", tmp_path / "back")
            assert Path(target).read_bytes() == file.read_bytes()
    names = [path.name.partition(".")[0] for path in store.glob("*/*")]
    assert len(set(names)) == 12
    # A block whose bytes were stored when the kill came, but whose row was not, is stored anew; others are not.
    assert len(names) - 12 <= 4, f"{len(names) - 12} of {len(kept)} kept blocks were stored again"


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
