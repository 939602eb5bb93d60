"""``python -m benchmarks``: measure, print tables, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import environment, report
from benchmarks.far import measure_far
from benchmarks.languages import LABELS as LANGUAGES
from benchmarks.languages import measure_languages
from benchmarks.models import ROWS as MODELS
from benchmarks.models import measure_models
from benchmarks.restart import measure_restart
from benchmarks.rows import ROWS, STORES, Store
from benchmarks.serving import ROWS as SERVING
from benchmarks.serving import measure_serving
from benchmarks.session import SERVERS, Sample, Session
from benchmarks.tables import render
from benchmarks.tracking import measure_log_metric
from benchmarks.tracking_server import MEASUREMENTS as TRACKING
from benchmarks.tracking_tables import LINES
from benchmarks.transfers import measure_row
from benchmarks.unary import measure_unary

# Of a sample's figures, while the benchmark runs.
SHOWN = {"seconds", "client_cpu", "server_cpu", "loaded_get_run_p50", "loaded_get_run_p99", "log_artifact_p50"}
SHOWN |= {figure for line in LINES for figure in (line.figure, line.bounded)}
SHOWN |= {"rate_1", "rate_16", "p99_ms_16", "log_p50", "inference_cpu", "load_p50", "load_cached_p50", "process"}
SHOWN |= {"after_stop", "after_kill", "empty"}
RESULTS = Path(__file__).parent / "results" / "latest.json"

Measure = Callable[[Session, Store], Iterator[Sample]]

MEASUREMENTS: dict[str, Measure] = {
    **{row.name: partial(measure_row, row) for row in ROWS},
    "unary": partial(measure_unary, threads=False),
    "unary-threads": partial(measure_unary, threads=True),
    "log-metric": measure_log_metric,
    "restart": measure_restart,
    "languages": measure_languages,
    "far-small": partial(measure_far, row="far-small"),
    "far-up": partial(measure_far, row="far-up"),
    "far-down": partial(measure_far, row="far-down"),
    **TRACKING,
    **{row: partial(measure_models, row=row) for row in MODELS},
    **{row: partial(measure_serving, row=row) for row in SERVING},
}
# What lies between client and server does not depend on where the server keeps blocks.
LOCAL_ONLY = {"log-metric", "restart", "unary-threads", "far-small", "far-up", "far-down", "languages"}
LOCAL_ONLY |= {*TRACKING, *MODELS, *SERVING}


# Of rows that are measured together as a rule.
GROUPS = {"tracking": ["log-metric", *TRACKING]}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    # So that servers are ended, which lead sessions of their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=options.directory) as directory:
        # MinIO keeps its data there as well.
        tempfile.tempdir = directory
        # What a client that failed could not send is not to wait in the developer's own journals.
        os.environ["HOLDFAST_JOURNAL_DIR"] = str(Path(directory, "journals"))
        results = _results(options, Path(directory))
        try:
            _measure(options, Path(directory), results["samples"])
        finally:
            # An interrupted run keeps what it has.
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{render(results)}\nwritten to {options.json}")
    if options.report:
        report.write(options.json)


def _results(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    return {
        "environment": environment.describe(directory),
        "options": {"seed": options.seed, "scale": options.scale, "repeat": options.repeat, "link": options.link_mbit},
        "samples": [],
    }


def _measure(options: argparse.Namespace, directory: Path, samples: list[dict[str, Any]]) -> None:
    if environment.is_in_memory(directory):
        print("WARNING: the directory is in memory, where syncing costs nothing; name another by --directory")
    session = Session(
        directory=directory,
        seed=options.seed,
        scale=options.scale,
        repeat=options.repeat,
        peers=frozenset(options.peers),
        languages=frozenset(options.languages),
        link_mbit=options.link_mbit,
    )
    print(f"seed {options.seed}, scale {options.scale:g}, {options.repeat} repetitions", flush=True)
    try:
        for name in options.rows:
            for store in options.stores:
                if store == "local" or name not in LOCAL_ONLY:
                    for sample in MEASUREMENTS[name](session, store):
                        samples.append(sample.to_json())
                        print(_line(sample), flush=True)
    finally:
        session.close()


def _line(sample: Sample) -> str:
    figures = " ".join(f"{name}={value:.4g}" for name, value in sample.figures.items() if name in SHOWN)
    return f"{sample.row:13} {sample.store:6} {sample.peer:9} {figures}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    rows = list(MEASUREMENTS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--rows", type=_names(rows, GROUPS), default=rows,
        help=f"of {','.join(rows)}; {', '.join(GROUPS)} for all of its table; all by default",
    )  # fmt: skip
    parser.add_argument("--stores", type=_names(STORES), default=STORES, help="of local,minio; both by default")
    parser.add_argument("--peers", type=_names(SERVERS), default=list(SERVERS), help=f"of {','.join(SERVERS)}")
    parser.add_argument(
        "--languages", type=_names(LANGUAGES), default=list(LANGUAGES),
        help=f"of {','.join(LANGUAGES)}, whose drivers the row `languages` builds and compares",
    )  # fmt: skip
    parser.add_argument("--scale", type=float, default=1, help="shrinks files, or how many there are of small ones")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each peer on each row")
    parser.add_argument("--link-mbit", type=float, default=1_000, help="Mbit/s each way of the far rows; 0: any rate")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the order")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the samples go")
    parser.add_argument("--report", action="store_true", help="put the tables into docs/benchmarks.md as well")
    parser.add_argument("--directory", help="on the disk that is to be measured; the default for temporary files else")
    return parser.parse_args(arguments)


def _names(known: Sequence[str] | Any, groups: Mapping[str, Sequence[str]] | None = None) -> Any:
    def parse(text: str) -> list[str]:
        names = [name for given in text.split(",") for name in (groups or {}).get(given, [given])]
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is not one of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    main()
