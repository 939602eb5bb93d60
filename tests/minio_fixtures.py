"""Fixtures around a real MinIO server: one process for each test process, one bucket for each test."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator

import pytest
from tests.minio_server import MISSING, MinioServer, find_binary, start_minio


@contextlib.contextmanager
def running_minio() -> Iterator[MinioServer]:
    """A real server; without a binary the test is skipped, or fails when it is required."""
    binary = find_binary()
    if binary is None:
        if os.environ.get("HOLDFAST_REQUIRE_MINIO") == "1":
            pytest.fail(f"HOLDFAST_REQUIRE_MINIO=1 and {MISSING}", pytrace=False)
        pytest.skip(MISSING)
    server = start_minio(binary)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def minio() -> Iterator[MinioServer]:
    """A server that is started when the first test asks."""
    with running_minio() as server:
        yield server


@pytest.fixture
def minio_bucket() -> str:
    """The name of a bucket that no other test uses; whoever uses it first makes it."""
    return f"test-{secrets.token_hex(10)}"


@pytest.fixture
def minio_store_url(minio: MinioServer, minio_bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ``store`` setting for a bucket of this test's own, with the credentials in the environment."""
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    return minio.store_url(minio_bucket)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly, in one line, that a whole backend was left out."""
    skipped = [report for report in terminalreporter.getreports("skipped") if MISSING in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"WARNING: {len(skipped)} tests did not run: {MISSING}", red=True, bold=True)
