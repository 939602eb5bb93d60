"""The examples, as printed in the README: on the embedded default, on a server with local blocks, and on MinIO."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.minio_server import MinioServer
from tests.server_process import clean_environment, running_server

ROOT = Path(__file__).parents[2]
EXAMPLES = ("log_artifact.py", "log_model.py", "register_model.py")


@pytest.fixture(params=["embedded", "local", pytest.param("minio", marks=pytest.mark.minio)])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What an example's process finds: nothing but HOLDFAST_URI, or not even that."""
    if request.param == "embedded":
        yield clean_environment()
        return
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "server")]
    credentials: dict[str, str] = {}
    if request.param == "minio":
        minio: MinioServer = request.getfixturevalue("minio")
        arguments += ["--store", minio.store_url(request.getfixturevalue("minio_bucket"))]
        credentials = dict(minio.environment)
    with running_server(*arguments, environment=credentials) as server:
        yield clean_environment({"HOLDFAST_URI": f"holdfast://{server.address}"})


@pytest.mark.slow
def test_the_demo_runs_the_examples_and_shows_what_they_stored(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "demo.py"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^run: [0-9a-f]{32}$", done.stdout, re.MULTILINE)
    assert re.search(r"^model: models:/m-[0-9a-f]{32}$", done.stdout, re.MULTILINE)
    assert "version: 1\npredictions equal: True" in done.stdout
    assert re.search(r"^  notes\.txt +50 bytes  digest [0-9a-f]{16}…$", done.stdout, re.MULTILINE)
    assert "the reloaded model predicts what the original does: yes" in done.stdout
    assert (folder / ".holdfast").exists() == ("HOLDFAST_URI" not in environment)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_readme_shows_the_example_as_it_is(name: str) -> None:
    code = (ROOT / "examples" / name).read_text().partition('"""\n\n')[2].strip()
    assert f"```python\n{code}\n```" in (ROOT / "README.md").read_text()
