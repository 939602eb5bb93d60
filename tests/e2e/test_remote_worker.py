"""The README's worker: a second process with a token for one run, on a real server that asks who calls."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server_process import clean_environment, running_server

import holdfast
from holdfast import Client

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "remote_worker.py"


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """What a principal's process finds who may write."""
    folder = Path(tempfile.mkdtemp(prefix="hf"))  # the path of a socket is short
    data = folder / "data"
    try:
        with running_server(
            "--host", "127.0.0.1", "--port", "0", "--auth", "tokens", "--data-dir", str(data)
        ) as server:
            with Client(f"unix:{data}/holdfast.sock") as owner:
                secret = owner.create_token("ada", new_principal_role="write").secret
            yield clean_environment({"HOLDFAST_URI": f"holdfast://{server.address}", "HOLDFAST_TOKEN": secret})
    finally:
        shutil.rmtree(folder)


def python(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_the_readme_shows_the_worker_as_it_is() -> None:
    code = EXAMPLE.read_text().partition('"""\n\n')[2].strip()
    assert f"```python\n{code}\n```" in (ROOT / "README.md").read_text()


def test_a_worker_logs_and_is_refused_to_read(environment: dict[str, str]) -> None:
    done = python(environment, EXAMPLE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["refused: WORKER_TOKEN", "FINISHED {'loss': 0.5}"]


def test_a_worker_logs_what_training_logs_and_no_more(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOLDFAST_TOKEN", environment["HOLDFAST_TOKEN"])
    with Client(environment["HOLDFAST_URI"]) as client:
        run = client.create_run("0")
        variables = run.worker_environment(path_prefix="out")
        (tmp_path / "out").mkdir()
        for number in range(20):
            (tmp_path / "out" / f"{number}.bin").write_bytes(bytes([number]) * 100_000)
        worker = f"""
import holdfast
with holdfast.start_run():
    holdfast.log_params({{"depth": 3}})
    holdfast.set_tag("host", "worker")
    for step in range(1_000):
        holdfast.log_metric("loss", step, step=step)
    holdfast.log_artifacts({str(tmp_path / "out")!r}, "out/files")
    holdfast.log_artifact({str(tmp_path / "out" / "1.bin")!r}, "out")
    for call in (
        lambda: holdfast.log_text("x", "elsewhere.txt"),
        lambda: holdfast.search_runs(),
        lambda: holdfast.create_experiment("mine"),
        lambda: holdfast.artifacts.load_text(f"runs:/{run.info.run_id}/out/1.bin"),
        lambda: holdfast.Client().create_run("0"),
    ):
        try:
            call()
        except holdfast.errors.PermissionDeniedError as error:
            print(error.reason)
"""
        done = python({**environment, **variables}, "-c", worker)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["WORKER_TOKEN"] * 5
        found = client.get_run(run.info.run_id)
        assert found.info.status == "FINISHED"
        assert found.data.metrics == {"loss": 999.0}
        assert found.data.params == {"depth": "3"}
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 1_000
        listed = client.list_artifacts(run.info.run_id, "out/files")
        assert len(listed) == 20
        token = client.create_worker_token
        with pytest.raises(holdfast.errors.FailedPreconditionError, match="has ended"):
            token(run.info.run_id)


def test_the_command_line_makes_a_worker_for_who_may_write(environment: dict[str, str]) -> None:
    command = Path(sys.executable).parent / "holdfast"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=100
        )

    run_id = run("runs", "create", "-e", "0").stdout.strip()
    made = run("token", "create-worker", run_id, "--prefix", "out", "--budget", "1000", "--lifetime", "10m")
    assert made.returncode == 0, made.stderr
    variables = dict(line.removeprefix("export ").split("=", 1) for line in made.stdout.splitlines())
    assert variables["HOLDFAST_RUN_ID"] == run_id
    assert "good until" in made.stderr
    code = "import holdfast; holdfast.start_run(); holdfast.log_bytes(bytes(2_000), 'out/x')"
    done = python({**environment, **variables}, "-c", code)
    assert "The byte budget of this worker's token, 1000, does not hold 2000 bytes more." in done.stderr
