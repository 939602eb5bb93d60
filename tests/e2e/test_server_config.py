"""`holdfast server config` tells every setting and where it is from, and no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.server_process import clean_environment

from holdfast_server.settings import SETTINGS

HOLDFAST = Path(sys.executable).with_name("holdfast")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOLDFAST, "server", "config", *arguments],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_each_setting_is_told_with_its_value_and_its_origin():
    done = run("--port", "7", "--json", HOLDFAST_SERVER_WORKERS="3", HOLDFAST_SERVER_PORT="8", HOLDFAST_SERVER_STORE="")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {setting.flag.removeprefix("--") for setting in SETTINGS}
    assert rows["port"] == {"name": "port", "value": "7", "origin": "--port", "masked": False}
    assert (rows["workers"]["value"], rows["workers"]["origin"]) == ("3", "HOLDFAST_SERVER_WORKERS")
    assert (rows["store"]["value"], rows["store"]["origin"]) == ("", "default")


def test_secrets_are_masked():
    secrets = {"AWS_ACCESS_KEY_ID": "AKIAhunter1", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_SESSION_TOKEN": "hunter3"}
    for flags in (["--json"], []):
        done = run("--store=s3://me:hunter4@bucket?endpoint=http://127.0.0.1:1", *flags, **secrets)
        assert done.returncode == 0
        assert "hunter" not in done.stdout + done.stderr
        assert "s3://***@bucket?endpoint=http://127.0.0.1:1" in done.stdout
        assert "AWS_SECRET_ACCESS_KEY" in done.stdout


def test_settings_that_no_server_would_start_with_are_shown_and_refused():
    done = run("--host=0.0.0.0")
    assert done.returncode == 2
    assert "0.0.0.0" in done.stdout
    assert "0.0.0.0 is not a loopback address" in done.stderr


def test_a_broken_value_is_named():
    done = run(HOLDFAST_SERVER_PORT="x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("HOLDFAST_SERVER_PORT=x: a port is")
