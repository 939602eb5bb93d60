"""Measures the clients of other languages against Python's: one large file up."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.data import fingerprint, make_source
from benchmarks.language_drivers import LANGUAGES, Driver, DriverError, NoDriverError, build, running_driver
from benchmarks.markdown import spread, table
from benchmarks.rows import GIB, MIB, Store
from benchmarks.servers import Server
from benchmarks.session import Sample, Session

LABELS = {"python": "Python", "go": "Go", "typescript": "TypeScript", "java": "Java", "rust": "Rust"}
# Of Python's rate.
LEAST = 1.0
WARM_UP = 256 << 10


class WrongContentError(Exception):
    """What came back is not what was uploaded."""


def measure_languages(session: Session, store: Store) -> Iterator[Sample]:
    """1 GiB by each language's driver in turn, in random order, to a fresh server on local blocks."""
    if "holdfast" not in session.peers:
        return
    drivers = dict(_built(session))
    source = make_source(session.fresh("source"), files=1, size=max(1, round(GIB * session.scale)), seed=session.seed)
    warm_up = make_source(session.fresh("source"), files=1, size=WARM_UP, seed=session.seed)
    for repetition in range(session.repeat):
        for language in session.random.sample(list(drivers), len(drivers)):
            try:
                with ExitStack() as stack:
                    server = stack.enter_context(session.serving("holdfast", store))
                    driver = stack.enter_context(running_driver(drivers[language], session.fresh(language)))
                    run = _ready(driver, server, warm_up)
                    figures = _measure(driver, server, run, source)
                    if repetition == 0:
                        _verify(session, driver, run, source)
                    session.tidy(server, store)
            except DriverError as failure:
                # Hours of other measurements are not to be lost for it.
                del drivers[language]
                _warn(language, failure)
                continue
            yield Sample(row="languages", store=store, peer=language, repetition=repetition, figures=figures)
    for path in (source, warm_up):
        session.discard(path)


def _built(session: Session) -> Iterator[tuple[str, list[str]]]:
    for language in LANGUAGES:
        if language in session.languages:
            try:
                yield language, build(language)
            except (NoDriverError, DriverError) as missing:
                _warn(language, missing)


def _warn(language: str, reason: Exception) -> None:
    print(f"WARNING: {LABELS[language]} is not measured: {reason}", flush=True)


def _ready(driver: Driver, server: Server, warm_up: Path) -> str:
    """Connect, and load what is loaded lazily; returns the run to log to."""
    driver.ask("connect", uri=f"holdfast://{server.address}")
    run: str = driver.ask("create_run", experiment_id="0")["run_id"]
    driver.ask("log_artifact", run_id=run, local_path=str(warm_up), artifact_path="warm-up")
    return run


def _measure(driver: Driver, server: Server, run: str, source: Path) -> dict[str, float]:
    """From the request to the answer, by which every byte is durable."""
    pids = driver.pids()
    os.sync()
    processes.reset_peaks([*pids, *server.pids()])
    before, server_before = processes.usage(pids), processes.usage(server.pids())
    start = time.monotonic()
    driver.ask("log_artifact", run_id=run, local_path=str(source))
    seconds = time.monotonic() - start
    after, server_after = processes.usage(pids), processes.usage(server.pids())
    return {
        "seconds": seconds,
        "bytes": source.stat().st_size,
        "client_cpu": after.cpu - before.cpu,
        "client_above": after.peak - before.peak,
        "client_peak": after.peak,
        "server_cpu": server_after.cpu - server_before.cpu,
    }


def _verify(session: Session, driver: Driver, run: str, source: Path) -> None:
    """That what was measured is there: an upload that lost something would look fast."""
    target = session.fresh("target")
    target.mkdir()
    path = driver.ask("download", uri=f"runs:/{run}/{source.name}", destination=str(target))["path"]
    if fingerprint(Path(path)) != fingerprint(source):
        raise WrongContentError(f"what {path} holds is not what was uploaded")
    session.discard(target)


def language_lines(samples: Sequence[dict[str, Any]]) -> list[str]:
    """The table; only its header when nothing was measured."""
    lines = []
    python = _of(samples, "python")
    for language, label in LABELS.items():
        found = _of(samples, language)
        if not found:
            continue
        verdict = ["", "", ""]
        if python and language != "python":
            ratios = [theirs["seconds"] / mine["seconds"] for mine, theirs in zip(found, python, strict=False)]
            met = statistics.median(ratios) >= LEAST
            verdict = [spread(ratios, ".2f"), f"{LEAST:g}", "met" if met else "missed"]
        lines.append([
            label,
            f"{spread([each['bytes'] / MIB / each['seconds'] for each in found])} MiB/s",
            *verdict,
            spread([each["client_cpu"] / (each["bytes"] / GIB) for each in found], ".2f"),
            spread([each["client_above"] / MIB for each in found]),
        ])  # fmt: skip
    header = ["1 GiB up, local blocks, by", "rate: median (least–most)", "this ÷ Python", "at least", ""]
    return table([*header, "client CPU-s/GiB", "client MiB above"], lines)


def _of(samples: Sequence[dict[str, Any]], language: str) -> list[dict[str, float]]:
    found = [sample for sample in samples if sample["peer"] == language]
    return [sample["figures"] for sample in sorted(found, key=lambda sample: int(sample["repetition"]))]
