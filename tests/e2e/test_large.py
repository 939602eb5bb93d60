"""A large file and many small ones, there and back, in bounded memory on both sides."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.minio_server import MinioServer
from tests.server_process import ServerProcess, clean_environment, running_server

from holdfast._client import Client

MIB = 1 << 20
LIMIT = 256 * MIB

# The client runs in a process of its own, so that its peak memory is that of nothing else.
TRANSFER = """
import json, re, sys
from pathlib import Path
import holdfast
uri, run_id, source, target = sys.argv[1:]
with holdfast.Client(uri) as client:
    client.log_artifact(run_id, source)
    local = client.download_artifacts(run_id, source.rpartition("/")[2], target)
# Not ru_maxrss, which begins with what the process that forked this one had.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"peak": peak, "local": local}))
"""


@pytest.fixture(params=["local", pytest.param("minio", marks=pytest.mark.minio)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")]
    environment: dict[str, str] = {}
    if request.param == "minio":
        minio: MinioServer = request.getfixturevalue("minio")
        arguments += ["--store", minio.store_url(request.getfixturevalue("minio_bucket"))]
        environment = dict(minio.environment)
    with running_server(*arguments, environment=environment) as server:
        yield server


def peak_memory(pid: int) -> int:
    """The most that a process ever had resident, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def transfer(server: ServerProcess, source: Path, target: Path) -> Path:
    """Log ``source`` and download it again; returns where, after checking the memory of both sides."""
    uri = f"holdfast://{server.address}"
    with Client(uri) as client:
        run_id = client.create_run("0").info.run_id
    done = subprocess.run(
        [sys.executable, "-c", TRANSFER, uri, run_id, str(source), str(target)],
        env=clean_environment(), stdout=subprocess.PIPE, text=True, check=True, timeout=500,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    peaks = {"client": answer["peak"], "server": peak_memory(server.process.pid)}
    print({side: f"{peak / MIB:.0f} MiB" for side, peak in peaks.items()})
    assert max(peaks.values()) < LIMIT, peaks
    return Path(answer["local"])


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else _digest_310(file)


def _digest_310(file) -> str:
    value = hashlib.sha256()
    while data := file.read(MIB):
        value.update(data)
    return value.hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_gibibyte_comes_back_identical_in_bounded_memory(server: ServerProcess, tmp_path: Path) -> None:
    source = tmp_path / "checkpoint.bin"
    with source.open("wb") as file:
        for _ in range(128):
            file.write(os.urandom(8 * MIB))
        file.write(b"and a little more")
    local = transfer(server, source, tmp_path / "back")
    assert digest(local) == digest(source)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_files_come_back_identical_in_bounded_memory(server: ServerProcess, tmp_path: Path) -> None:
    source = tmp_path / "dataset"
    for number in range(10_000):
        path = source / f"part-{number % 100:02}" / f"{number:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(4096))
    local = transfer(server, source, tmp_path / "back")
    assert {p.relative_to(local): p.read_bytes() for p in local.rglob("*") if p.is_file()} == {
        p.relative_to(source): p.read_bytes() for p in source.rglob("*") if p.is_file()
    }
