"""``python -m benchmarks.clients <job as JSON>``: prepare, say so, wait for a line, do what is measured, answer."""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.clients.job import Job, Result
from benchmarks.clients.latency import measure_latency

WARM_UP = 256 << 10


def main() -> None:
    # Libraries print; what was standard output is kept for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = Job(**json.loads(sys.argv[1]))
    client = importlib.import_module(f"benchmarks.clients.{job.peer}").Client(job)
    with tempfile.TemporaryDirectory() as scratch:
        _warm_up(client, Path(scratch))
        print("ready", file=answers, flush=True)
        sys.stdin.readline()
        result = _measure(client, job)
    print(json.dumps(result.to_json()), file=answers, flush=True)


def _warm_up(client: Any, scratch: Path) -> None:
    """Connect and load what is loaded lazily: start-up is not what is measured."""
    source = scratch / "warm-up.bin"
    source.write_bytes(os.urandom(WARM_UP))
    (scratch / "target").mkdir()
    client.download(client.upload(source), scratch / "target")


def _measure(client: Any, job: Job) -> Result:
    processes.reset_peaks([os.getpid()])
    resident, _ = processes.own_memory()
    before, start = _cpu(), time.monotonic()
    remote, figures = "", dict[str, float]()
    if job.operation == "up":
        with ThreadPoolExecutor(len(job.sources)) as threads:
            remote = list(threads.map(client.upload, map(Path, job.sources)))[-1]
    elif job.operation == "down":
        client.download(job.sources[0], Path(job.target))
    else:
        figures = client.measure(job) if job.operation == "tracking" else measure_latency(client, job)
    end = time.monotonic()
    cpu, (_, peak) = _cpu() - before, processes.own_memory()
    return Result(
        start=start, end=end, cpu=cpu, memory_before=resident, memory_peak=peak, remote=remote, figures=figures
    )


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
