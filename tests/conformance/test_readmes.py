"""Who copies what a client's README prints, from an empty folder on, has logged an artifact at its end."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from client.conformance.runner.errors import ToolchainMissingError
from client.conformance.runner.languages import CLIENTS, LANGUAGES, ROOT, Language, build, locked
from tests.conformance.toolchains import leave_out
from tests.e2e.pages import blocks
from tests.ports import free_port
from tests.server_process import clean_environment, running_server

import holdfast

# A toolchain may take its time for a first build.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000)]

SECONDS = 1_500
# What ends a shell's server with it.
BEGIN = "set -euo pipefail\ntrap 'kill $(jobs -p); wait' EXIT\n"


def go(page: str) -> str:
    (console,) = blocks(page, "console")
    commands = re.findall(r"^\$ (.*)$", console, re.MULTILINE)
    return "\n".join([blocks(page, "sh")[0], saved("main.go", blocks(page, "go")[0]), *commands])


def typescript(page: str) -> str:
    assert "Save this as `first.mjs`, and run `node first.mjs`" in page
    install, server, *_ = blocks(page, "sh")
    return "\n".join([install, server, saved("first.mjs", blocks(page, "ts")[0]), "node first.mjs"])


def java(page: str) -> str:
    told = re.search(r"Save this there as `LogArtifact.java`, and run `(.*?)`:", page)
    assert told
    return "\n".join([blocks(page, "sh")[0], saved("LogArtifact.java", blocks(page, "java")[0]), told[1]])


def rust(page: str) -> str:
    assert "\nAs `src/main.rs`:\n" in page
    install, server, *_ = blocks(page, "sh")
    return "\n".join([install, saved("src/main.rs", blocks(page, "rust,no_run")[0]), server])


SCRIPTS = {"go": go, "typescript": typescript, "java": java, "rust": rust}
# The folder of the run's artifacts, and what the program has logged there.
LOGGED = {
    "go": ("", "model.bin"),
    "typescript": ("", "model.bin"),
    "java": ("notes", "notes/hello.txt"),
    "rust": ("", "notes.txt"),
}


def saved(name: str, text: str) -> str:
    """What an editor does."""
    return f"printf %s {shlex.quote(text)} > {name}"


def moved(script: str) -> str:
    """The script for a reader who has the repository here, and a port of the test's own that is waited for."""
    port = str(free_port())
    wait = f"until (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null; do kill -0 $!; sleep 0.1; done"
    for there, here in (
        ("~/holdfast ", f"{shlex.quote(str(ROOT))} "),
        ('/bin/holdfast" server & ', f'/bin/holdfast" server --port={port} &\n{wait} #'),
        ("127.0.0.1:5600", f"127.0.0.1:{port}"),
    ):
        assert script.count(there) == 1, there
        script = script.replace(there, here)
    return script


@pytest.mark.parametrize("language", LANGUAGES[1:], ids=lambda language: language.name)
def test_what_the_readme_prints_leads_to_an_artifact(language: Language, tmp_path: Path) -> None:
    try:
        build(language)
    except ToolchainMissingError as missing:
        leave_out(language.name, str(missing))
    page = (CLIENTS / language.name / "README.md").read_text(encoding="utf-8")
    script = BEGIN + moved(SCRIPTS[language.name](page))
    with locked(language), (tmp_path / "said").open("w+") as said:
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=tmp_path, start_new_session=True,
            env=clean_environment({"MAKEFLAGS": "", "MFLAGS": "", "MAKELEVEL": ""}),
            stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            code = shell.wait(SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # what is left of it
            shell.wait()
        said.seek(0)
        assert code == 0, said.read()
    (data,) = tmp_path.rglob(".holdfast")
    with (
        running_server("--port=0", f"--data-dir={data}") as server,
        holdfast.Client(f"holdfast://{server.address}") as client,
    ):
        (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        folder, logged = LOGGED[language.name]
        assert logged in {item.path for item in client.list_artifacts(run.info.run_id, folder)}
    assert run.info.status == "FINISHED"
