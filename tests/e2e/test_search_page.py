"""docs/search.md: its example does what it says, and it names every attribute and field."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.server_process import clean_environment, running_server

from holdfast_server.services.search import fields
from holdfast_server.services.search.mask import MODEL_LISTS, RUN_LISTS

PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")) as server:
        environment = clean_environment({"HOLDFAST_URI": f"holdfast://{server.address}"})
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "first 0.3\n"), done.stderr


def test_attributes_and_fields_are_on_the_page() -> None:
    for name in {*fields.RUNS.attributes, *RUN_LISTS, *MODEL_LISTS}:
        assert f"`{name}" in PAGE, name
