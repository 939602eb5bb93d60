"""``python -m benchmarks.clients.log_metric <peer> <address> <calls>``: log points in a loop, as a training does."""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

WARM_UP = 100


def main() -> None:
    peer, address, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    fluent = importlib.import_module(peer)
    fluent.set_tracking_uri(f"{'http' if peer == 'mlflow' else 'holdfast'}://{address}")
    # MLflow's own has no queue to wait for: its calls are durable when they return.
    flush: Callable[[], Any] = getattr(fluent, "flush", lambda: None)
    with fluent.start_run() as run:
        for step in range(WARM_UP):
            fluent.log_metric("warm-up", 1.0, step=step)
        flush()
        cpu, start = time.process_time(), time.perf_counter()
        for step in range(calls):
            fluent.log_metric("loss", 0.5, step=step)
        returned = time.perf_counter()
        flush()
        end = time.perf_counter()
        cpu = time.process_time() - cpu
    client = fluent.MlflowClient() if peer == "mlflow" else fluent.Client(fluent.get_tracking_uri())
    kept = len(client.get_metric_history(run.info.run_id, "loss"))
    assert kept == calls, f"{calls} calls, {kept} points"
    figures = {
        "calls": calls,
        "seconds": end - start,
        "returned_seconds": returned - start,
        "client_cpu": cpu,
        "client_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
