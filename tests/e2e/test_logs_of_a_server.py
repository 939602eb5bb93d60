"""The log of a real server: calls are found in it by the id that a client's error shows, and no credential is."""

from __future__ import annotations

import json
import secrets
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.server_process import ServerProcess, running_server

import holdfast
from holdfast.errors import HoldfastError, InternalError, NotFoundError

pytestmark = pytest.mark.slow


def client_of(server: ServerProcess) -> holdfast.Client:
    return holdfast.Client(f"holdfast://{server.address}", strict=True)


def lines_of(server: ServerProcess, request_id: str) -> list[dict[str, Any]]:
    """What the log of a server that has stopped says about a call."""
    parsed = [json.loads(line) for line in server.lines if line.startswith("{")]
    return [line for line in parsed if line.get("request_id") == request_id]


def test_the_id_that_an_error_shows_finds_the_call_in_the_log(tmp_path: Path):
    arguments = ("--port=0", f"--data-dir={tmp_path}", "--log-format=json", "--access-log=info")
    with running_server(*arguments) as server:
        with client_of(server) as client, pytest.raises(NotFoundError) as caught:
            client.get_run("0" * 32)
        error = caught.value
        assert str(error) == f"{error.message} [request {error.request_id}]"
        assert server.stop() == 0
    (line,) = lines_of(server, error.request_id)
    assert (line["method"], line["code"]) == ("holdfast.v1.RunService/GetRun", "NOT_FOUND")
    assert line["level"] == "info"


def test_a_defect_is_logged_with_its_traceback_under_the_id(tmp_path: Path):
    with running_server("--port=0", f"--data-dir={tmp_path}", "--log-format=json", "--access-log=off") as server:
        with client_of(server) as client:
            # What no call expects: a table is gone.
            database = sqlite3.connect(tmp_path / "holdfast.db")
            database.execute("ALTER TABLE runs RENAME TO runs_elsewhere")
            database.commit()
            database.close()
            with pytest.raises(InternalError) as caught:
                client.get_run("0" * 32)
        assert server.stop() == 0
    error = caught.value
    assert "error id" in error.message
    (line,) = lines_of(server, error.request_id)
    assert "no such table" in line["exception"]
    assert error.metadata["error_id"] in line["message"]
    assert "no such table" not in str(error)


def test_no_line_holds_a_credential_even_when_everything_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    token, key = secrets.token_hex(24), secrets.token_hex(24)
    monkeypatch.setenv("HOLDFAST_TOKEN", token)
    environment = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": key}
    arguments = ("--port=0", f"--data-dir={tmp_path / 'data'}", "--log-level=debug", "--access-log=debug")
    with running_server(*arguments, environment=environment) as server:
        with client_of(server) as client:
            run_id = client.create_run("0").info.run_id
            (tmp_path / "file.txt").write_text("x")
            client.log_artifact(run_id, tmp_path / "file.txt")
            for name in (token, f"a\n{token}"):
                with pytest.raises(HoldfastError):
                    client.get_run(name)
        assert server.stop() == 0
    log = "\n".join(server.lines)
    assert "holdfast.v1.RunService/CreateRun OK" in log
    assert token not in log
    assert key not in log
