"""The benchmark runs, at a size that measures nothing, and its page can be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import processes
from benchmarks.markdown import spread
from benchmarks.report import PAGE, rewritten
from benchmarks.tables import render
from tests.minio_server import MISSING, find_binary

ROOT = Path(__file__).parent.parent.parent


def measure(tmp_path: Path, *arguments: str) -> dict:
    """Run the benchmark at a tiny scale, which is the command that `make bench` runs."""
    command = [
        sys.executable, "-m", "benchmarks", "--scale", "0.003", "--repeat", "1", "--seed", "7",
        "--json", str(tmp_path / "results.json"), "--directory", str(tmp_path), *arguments,
    ]  # fmt: skip
    # Where journals would be if the benchmark kept none of its own.
    environ = {name: value for name, value in os.environ.items() if name != "HOLDFAST_JOURNAL_DIR"}
    environ["XDG_STATE_HOME"] = str(tmp_path / "state")
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "seed 7" in output
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"], "nothing is left behind"
    return json.loads((tmp_path / "results.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_each_kind_of_row_is_measured_and_written_down(tmp_path: Path) -> None:
    rows = {
        "up-1g": {"holdfast", "bare"},
        "down-1k": {"holdfast", "bare"},
        "again-1g": {"holdfast", "sha256"},
        "unary-threads": {"holdfast", "bare"},
        "far-small": {"holdfast", "bare"},
        "far-down": {"holdfast", "bare"},
    }
    results = measure(
        tmp_path, "--stores", "local", "--peers", "holdfast,bare,sha256", "--repeat", "2", "--rows", ",".join(rows)
    )
    found = {(sample["row"], sample["peer"], sample["repetition"]) for sample in results["samples"]}
    assert found == {(row, peer, number) for row, peers in rows.items() for peer in peers for number in (0, 1)}
    page = rewritten(PAGE.read_text(), results)
    assert "| 1 GiB up, local blocks " in page
    assert rewritten(page, results) == page


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_each_row_of_tracking_is_measured_and_written_down(tmp_path: Path) -> None:
    rows = ["restart", "log-metric", "log-batch", "runs", "search", "chart", "register", "import"]
    results = measure(tmp_path, "--peers", "holdfast", "--rows", ",".join(rows))
    figures = {sample["row"]: sample["figures"] for sample in results["samples"]}
    assert list(figures) == rows
    assert figures["search"]["page_1_p50"] > 0
    assert "page_500_p50" not in figures["search"], "there is none"
    assert figures["runs"]["errors_16"] == 0
    before = PAGE.read_text()
    page = rewritten(before, results)
    assert rewritten(page, results) == page
    transfers = "### Transfers\n"
    assert (transfers in page) == (transfers in before), "what was not measured stays"
    assert "| search: metric and param " in page
    assert "| `log_metric` in a loop " in page


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_logging_and_loading_models_is_measured_and_written_down(tmp_path: Path) -> None:
    results = measure(tmp_path, "--peers", "holdfast", "--rows", "log-model,load-model")
    figures = {sample["row"]: sample["figures"] for sample in results["samples"]}
    assert list(figures) == ["log-model", "load-model"]
    assert min(figures["log-model"][name] for name in ("log_first", "log_p50")) > 0
    assert min(figures["load-model"][name] for name in ("load_p50", "load_cached_p50", "process")) > 0
    page = rewritten(PAGE.read_text(), results)
    assert "| `log_model` of a decision tree with an example " in page
    assert "| a new process that loads it " in page


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_serving_is_measured_and_written_down(tmp_path: Path) -> None:
    results = measure(tmp_path, "--peers", "holdfast", "--rows", "serve,serve-joined")
    figures = {sample["row"]: sample["figures"] for sample in results["samples"]}
    assert list(figures) == ["serve", "serve-joined"]
    for found in figures.values():
        assert found["rate_16"] > 0
        assert found["failed_16"] == 0
    page = rewritten(PAGE.read_text(), results)
    assert "| Holdfast, each request alone " in page
    assert "| Holdfast, `--batch-size 32` " in page


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_clients_of_languages_are_measured_and_written_down(tmp_path: Path) -> None:
    results = measure(tmp_path, "--peers", "holdfast", "--rows", "languages", "--languages", "python", "--repeat", "2")
    assert [(sample["row"], sample["peer"]) for sample in results["samples"]] == [("languages", "python")] * 2
    figures = results["samples"][0]["figures"]
    assert figures["bytes"] == round((1 << 30) * 0.003)
    assert figures["seconds"] > 0
    assert figures["client_cpu"] > 0
    assert "| Python  " in rewritten(PAGE.read_text(), results)


def test_a_language_is_compared_with_python_by_neighbours() -> None:
    used = {"bytes": 1 << 30, "client_cpu": 1, "client_above": 1 << 20}
    samples = [
        {"row": "languages", "store": "local", "peer": peer, "repetition": number, "figures": {"seconds": took, **used}}
        for peer, times in {"python": (4, 8), "go": (2, 8), "java": (5, 10)}.items()
        for number, took in enumerate(times)
    ]
    lines = render({"options": {}, "samples": samples}).partition("### Clients of other languages")[2].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["Python", "Go", "Java"]
    assert [row[2:5] for row in rows] == [
        ["", "", ""],
        [spread([1, 2], ".2f"), "1", "met"],
        [spread([0.8, 0.8], ".2f"), "1", "missed"],
    ]


@pytest.mark.parametrize(
    ("row", "client", "server", "verdicts"),
    [
        ("up-1g", 95, 143, ["met", "met"]),
        ("up-1g", 97, 145, ["missed", "missed"]),
        ("workers", 95, 383, ["met", "met"]),
    ],
)
def test_memory_is_compared_with_its_targets(row: str, client: int, server: int, verdicts: list[str]) -> None:
    used = {"client_above": client << 20, "server_peak": server << 20, "client_cpu": 1, "server_cpu": 1, "store_cpu": 0}
    figures = {"bytes": 1 << 30, "seconds": 1, **used}
    text = render({"options": {}, "samples": [{"row": row, "store": "local", "peer": "holdfast", "figures": figures}]})
    (line,) = [line for line in text.partition("### CPU and memory")[2].splitlines() if "Holdfast" in line]
    assert [cell.strip() for cell in line.strip("|").split("|")][-2:] == verdicts


@pytest.mark.slow
@pytest.mark.minio
def test_minio_rows_are_measured_against_minio_itself(tmp_path: Path) -> None:
    if find_binary() is None:
        pytest.skip(MISSING)
    results = measure(
        tmp_path, "--stores", "minio", "--peers", "holdfast,minio", "--rows", "up-1g,down-1g,up-1k,down-1k"
    )
    assert {(sample["row"], sample["peer"]) for sample in results["samples"]} == {
        (row, peer) for row in ("up-1g", "down-1g", "up-1k", "down-1k") for peer in ("holdfast", "minio")
    }
    assert all(sample["figures"]["seconds"] > 0 for sample in results["samples"])


def test_memory_and_time_of_processes_are_read() -> None:
    command = [sys.executable, "-c", "x = bytes(range(256)) * (1 << 18); print(flush=True); input()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert processes.session(process.pid) == [process.pid]
        usage = processes.usage([process.pid])
        process.communicate("\n")
    assert usage.peak > 64 << 20
    assert 0 <= usage.cpu < 60
