"""Measures what model servers answer in a second: the same package, the same request, the same load."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import processes, servers
from benchmarks.markdown import spread, table
from benchmarks.rows import Store
from benchmarks.servers import Server
from benchmarks.session import Sample, Session

CONNECTIONS = (1, 16)
SECONDS = 8.0
WARM_UP_SECONDS = 1.0
LEAST_RATIO = 5
JOINED = 32
PEERS = ("holdfast", "mlflow")
ROWS = {"serve": [], "serve-joined": ["--batch-size", str(JOINED)]}
TITLES = {"serve": "each request alone", "serve-joined": f"`--batch-size {JOINED}`"}


def measure_serving(session: Session, store: Store, *, row: str) -> Iterator[Sample]:
    """Ask a server for the class of three flowers, over a few connections that each wait for their answer."""
    package = session.fresh("model")
    _save_package(package)
    body = session.fresh("request")
    body.write_bytes((package / "serving_input_example.json").read_bytes())
    # MLflow joins no requests: it is measured once.
    peers = [peer for peer in PEERS if peer in session.peers and (peer == "holdfast" or row == "serve")]
    for repetition in range(session.repeat):
        for peer in session.random.sample(peers, len(peers)):
            with _serving(peer, session.fresh(peer), package, ROWS[row]) as server:
                figures: dict[str, float] = {}
                for connections in CONNECTIONS:
                    _load(server, body, connections, WARM_UP_SECONDS * min(1.0, session.scale * 10))
                    before = processes.usage(server.pids()).cpu
                    found = _load(server, body, connections, max(0.3, SECONDS * session.scale))
                    used = processes.usage(server.pids()).cpu - before
                    found["cpu_ms"] = used * 1000 / max(1, found.pop("answers"))
                    figures |= {f"{name}_{connections}": value for name, value in found.items()}
            yield Sample(row=row, store=store, peer=peer, repetition=repetition, figures=figures)


def serving_lines(samples: Sequence[dict[str, Any]]) -> list[str]:
    """The table of these measurements."""
    lines = []
    theirs = _figures(samples, "serve", "mlflow")
    for connections in CONNECTIONS:
        for row, title in TITLES.items():
            ours = _figures(samples, row, "holdfast")
            if ours:
                lines.append(_line(f"Holdfast, {title}", connections, ours, theirs))
        if theirs:
            lines.append(_line("MLflow", connections, theirs, []))
    return table(
        [
            "",
            "connections",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "server CPU ms each",
            "failed",
            "MLflow's rate ×",
            f"at least {LEAST_RATIO}",
        ],
        lines,
    )


def _line(title: str, connections: int, found: list[dict[str, float]], theirs: list[dict[str, float]]) -> list[str]:
    def of(name: str, form: str) -> str:
        return spread([figures[f"{name}_{connections}"] for figures in found], form)

    rate = f"rate_{connections}"
    ratios = [ours[rate] / other[rate] for ours, other in zip(found, theirs, strict=False)]
    met = "" if not ratios else "met" if sorted(ratios)[len(ratios) // 2] >= LEAST_RATIO else "missed"
    failed = f"{sum(figures[f'failed_{connections}'] for figures in found):.0f}"
    ratio = spread(ratios, ".1f") if ratios else ""
    cpu = spread([figures[f"cpu_ms_{connections}"] for figures in found], ".2f")
    return [
        title,
        str(connections),
        of("rate", ",.0f"),
        of("p50_ms", ".1f"),
        of("p99_ms", ".1f"),
        cpu,
        failed,
        ratio,
        met,
    ]


def _figures(samples: Sequence[dict[str, Any]], row: str, peer: str) -> list[dict[str, float]]:
    return [sample["figures"] for sample in samples if (sample["row"], sample["peer"]) == (row, peer)]


def _save_package(path: Path) -> None:
    """A logistic regression of four columns, with a signature and an example of three rows."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    import holdfast.sklearn
    from holdfast.models import infer_signature

    data, target = load_iris(return_X_y=True, as_frame=True)
    model = LogisticRegression(max_iter=500).fit(data, target)
    holdfast.sklearn.save_model(
        model,
        path,
        signature=infer_signature(data, model.predict(data)),
        input_example=data.iloc[[0, 60, 120]],
        pip_requirements=["scikit-learn"],
    )


def _serving(peer: str, directory: Path, package: Path, arguments: list[str]) -> AbstractContextManager[Server]:
    if peer == "mlflow":
        return _mlflow_model_server(directory, package)
    return _holdfast_model_server(directory, package, arguments)


@contextmanager
def _holdfast_model_server(directory: Path, package: Path, arguments: list[str]) -> Iterator[Server]:
    command = [
        str(Path(sys.executable).with_name("holdfast")), "models", "serve", "-m", str(package),
        "-p", "0", "--grpc-port", "off", *arguments,
    ]  # fmt: skip
    with servers.running(command, directory) as process:
        deadline = time.monotonic() + servers.START_TIMEOUT
        while not (found := re.search(r"http://([\w.]+:\d+)", (directory / "log").read_text())):
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, "it does not start"
            time.sleep(0.05)
        yield Server(found[1], directory, process.pid)


@contextmanager
def _mlflow_model_server(directory: Path, package: Path) -> Iterator[Server]:
    """``mlflow models serve`` with its defaults, in this environment."""
    address = f"127.0.0.1:{servers.free_port()}"
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", str(package), "--env-manager", "local",
        "-h", "127.0.0.1", "-p", address.rpartition(":")[2],
    ]  # fmt: skip
    # It starts `uvicorn` by name, and refuses pickles unless told otherwise.
    path = f"{Path(sys.executable).parent}:{servers.environment()['PATH']}"
    settings = {"PATH": path, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}
    with servers.running(command, directory, settings) as process:
        servers.wait_for(f"http://{address}/ping", process, directory)
        yield Server(address, directory, process.pid)


def _load(server: Server, body: Path, connections: int, seconds: float) -> dict[str, float]:
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.clients.http_load",
            f"http://{server.address}", str(body), str(connections), str(seconds),
        ],
        env=servers.environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
