"""What the kernel is asked to do, and in which order, before an upload is answered.

Killing a process cannot show this: what it wrote is in the kernel's cache whether it was synced or not.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from tests.server_process import running_server

from holdfast._client import Client

CALLS = "openat,write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,sendmsg,sendto"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace")
def test_bytes_are_durable_before_rows_and_rows_before_the_answer(tmp_path: Path) -> None:
    trace, file = tmp_path / "trace", tmp_path / "weights.bin"
    file.write_bytes(b"\x5a\xa5" * (1 << 20))
    # -D: the tracer steps aside, so that the process started here is the server itself.
    strace = ["strace", "-D", "-f", "-y", "-s", "64", "-e", f"trace={CALLS}", "-o", trace]
    with running_server(
        "--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data"),
        command=[*strace, sys.executable, "-m", "holdfast_server"],
    ) as server, Client(f"holdfast://{server.address}") as client:  # fmt: skip
        run_id = client.create_run("0").info.run_id
        before = len(trace.read_text().splitlines())
        client.log_artifact(run_id, file)
        assert server.stop() == 0
    lines = trace.read_text().splitlines()[before:]

    def first(pattern: str, start: int = 0) -> int:
        for number in range(start, len(lines)):
            if re.search(pattern, lines[number]):
                return number
        raise AssertionError(f"no {pattern} after line {start} of:\n" + "\n".join(lines[start : start + 60]))

    written = first(r"writev\(\d+<.*/store/\.incoming/")
    synced = first(r"fsync\(\d+<.*/store/\.incoming/.*= 0", written)
    renamed = first(r"rename(at2?)?\(.*\.incoming/.*/store/blocks/.*= 0", synced)
    directory = first(r"fsync\(\d+<[^>]*/store/blocks/[0-9a-f]{2}>.*= 0", renamed)
    row = first(r"pwrite64\(\d+<.*holdfast\.db-wal>", directory)
    committed = first(r"f(data)?sync\(\d+<.*holdfast\.db-wal>.*= 0", row)
    first(r"(sendmsg|sendto|writev?)\(\d+<(TCP|socket)", committed)
    # Nothing was answered in between: the file's row is not written before its bytes are safe.
    assert not any(re.search(r"holdfast\.db-wal>", line) and "pwrite" in line for line in lines[written:directory])
