"""A server that the fluent functions speak to."""

import pytest
from tests.client.conftest import forget_connection
from tests.server_process import running_server

import holdfast


@pytest.fixture
def own_server(tmp_path_factory, monkeypatch):
    """Lets the fluent functions speak to a server of their own."""
    with running_server("--data-dir", str(tmp_path_factory.mktemp("server")), "--port", "0") as server:
        forget_connection(monkeypatch)
        monkeypatch.setenv("HOLDFAST_URI", f"holdfast://{server.address}")
        yield
        holdfast.end_run()
        forget_connection(monkeypatch)
