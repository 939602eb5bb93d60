"""The thread that Ctrl-C interrupts takes no lock of a gRPC stream while it reads.

Python may raise ``KeyboardInterrupt`` just after a lock was taken and before it is noted that it has to be released;
whatever needs it later would wait for ever.
"""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast._client import Client
from holdfast._transfer.progress import Progress

MIB = 1 << 20

WAYS: dict[str, Callable[[Client, str, Path], object]] = {
    "a large file is downloaded": lambda client, run, folder: client.artifacts.download(f"{run}/large", folder),
    "a small file is downloaded": lambda client, run, folder: client.artifacts.download(f"{run}/d/small", folder),
    "all is downloaded": lambda client, run, folder: client.artifacts.download(run, folder),
    "a file is opened": lambda client, run, _: client.artifacts.open(f"{run}/large").read(),
    "all is verified": lambda client, run, _: list(client.artifacts.verify(run, Progress("verifying", shown=False))),
    "a file is tailed": lambda client, run, _: b"".join(client.tail_artifact(f"{run}/large")),
    "a file is read": lambda client, run, _: client.artifacts.read_bytes(f"{run}/large"),
}


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_cannot_fall_upon_a_lock_of_a_stream(client, run_id, tmp_path, monkeypatch, way):
    client.log_bytes(run_id, secrets.token_bytes(20 * MIB), "large")
    client.log_bytes(run_id, secrets.token_bytes(70_000), "d/small")
    taken: list[str] = []
    enter, main = threading.Condition.__enter__, threading.get_ident()

    def noted_enter(condition: threading.Condition) -> bool:
        code = sys._getframe(1).f_code
        # That of a unary call, which is over by then, is waited for by nobody.
        if threading.get_ident() == main and "grpc" in Path(code.co_filename).parts and code.co_name != "_blocking":
            taken.append(code.co_name)
        return enter(condition)

    monkeypatch.setattr(threading.Condition, "__enter__", noted_enter)
    WAYS[way](client, f"runs:/{run_id}", tmp_path)
    assert taken == []
