"""The README's worker: a second process with a token for one run, on a real server that asks who calls."""

from __future__ import annotations

import json
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


MODEL_WORKER = """
import sys

import holdfast
import holdfast.sklearn
from sklearn.linear_model import LogisticRegression

model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
with holdfast.start_run() as run:
    info = holdfast.sklearn.log_model(
        model, name="m", params={"depth": 3}, tags={f"t{i}": "x" for i in range(120)}, model_type="classifier"
    )
    print(info.model_id, info.name, info.params, len(info.tags), info.model_type, info.run_id == run.info.run_id)
    begun = holdfast.initialize_logged_model("begun")
    again = holdfast.sklearn.log_model(model, model_id=begun.model_id)
    print(again.model_id, again.name)
    try:
        holdfast.sklearn.log_model(model, name="n", registered_model_name="registered")
    except holdfast.errors.PermissionDeniedError as error:
        print(error.reason)
    for row in range(3):
        holdfast.log_table({"row": [row]}, "out/table.json")
"""


def test_a_worker_logs_models_and_tables(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_TOKEN", environment["HOLDFAST_TOKEN"])
    with Client(environment["HOLDFAST_URI"]) as client:
        run = client.create_run("0")
        variables = run.worker_environment(path_prefix="out")
        done = python({**environment, **variables}, "-c", MODEL_WORKER)
        assert done.returncode == 0, done.stderr
        logged, begun, reason = done.stdout.splitlines()
        model_id, told = logged.split(" ", 1)
        assert told == "m {'depth': '3'} 120 classifier True"
        assert begun.split()[1:] == ["begun"]
        assert reason == "WORKER_TOKEN"
        models = {model.name: model for model in client.search_logged_models(["0"], max_results=None)}
        assert set(models) == {"m", "begun"}, "nothing is begun for what cannot be registered"
        assert {str(model.status) for model in models.values()} == {"READY"}
        assert models["m"].model_id == model_id
        assert (models["m"].params, models["m"].source_run_id) == ({"depth": "3"}, run.info.run_id)
        assert str(models["m"].principal).startswith("ada/")
        outputs = client.get_run(run.info.run_id).outputs
        assert {output.model_id for output in outputs.model_outputs} == {model.model_id for model in models.values()}
        table = client.artifacts.read_bytes(f"runs:/{run.info.run_id}/out/table.json")
        assert json.loads(table)["data"] == [[0], [1], [2]]


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
