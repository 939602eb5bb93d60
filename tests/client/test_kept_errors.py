"""Errors that a program keeps hold on to no call: collecting one when the interpreter ends can wait for ever."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from holdfast._client import Client
from holdfast.errors import DataLossError

MIB = 1 << 20

WAYS: dict[str, Callable[[Client, str, Path], object]] = {
    "a file is downloaded": lambda client, run_id, folder: client.download_artifacts(run_id, "large", folder),
    "small files are downloaded": lambda client, run_id, folder: client.download_artifacts(run_id, "d", folder),
    "a file is opened": lambda client, run_id, _: client.artifacts.open(f"runs:/{run_id}/large").read(1),
    "a file is tailed": lambda client, run_id, _: list(client.tail_artifact(f"runs:/{run_id}/large", follow=False)),
}


def calls_alive() -> int:
    """Streams that something still refers to, cycles included."""
    return sum(isinstance(each, grpc.Call) and isinstance(each, grpc.Future) for each in gc.get_objects())


@pytest.mark.parametrize("way", WAYS)
def test_an_error_that_is_kept_keeps_no_call(server, client, run_id, tmp_path, way):
    store = server.app.config.data_dir / "store"
    before = {path for path in store.rglob("*") if path.is_file()}
    client.log_bytes(run_id, secrets.token_bytes(2 * MIB), "large")
    client.log_bytes(run_id, secrets.token_bytes(70_000), "d/small")
    for stored in {path for path in store.rglob("*") if path.is_file()} - before:
        stored.write_bytes(bytes(stored.stat().st_size))
    gc.collect()
    gc.disable()
    calls = calls_alive()
    try:
        with pytest.raises(DataLossError) as kept:
            WAYS[way](client, run_id, tmp_path)
        assert kept.value.__traceback__ is not None
        assert calls_alive() == calls
    finally:
        gc.enable()
