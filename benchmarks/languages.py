"""Measures the clients of other languages against Python's: one large file up."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from client.conformance.runner.drivers import Driver
from client.conformance.runner.errors import BuildError, ConformanceError, ToolchainMissingError
from client.conformance.runner.languages import LANGUAGES, Language, build, driver_environment

from benchmarks import processes
from benchmarks.data import fingerprint, make_source
from benchmarks.markdown import spread, table
from benchmarks.rows import GIB, MIB, Store
from benchmarks.servers import Server
from benchmarks.session import Sample, Session

LABELS = {"python": "Python", "go": "Go", "typescript": "TypeScript", "java": "Java", "rust": "Rust"}
# Of Python's rate.
LEAST = 1.0
WARM_UP = 256 << 10
# Seconds for an answer.
TIMEOUT = 1_800.0


class WrongContentError(Exception):
    """What came back is not what was uploaded."""


def measure_languages(session: Session, store: Store) -> Iterator[Sample]:
    """1 GiB by each language's driver in turn, in random order, to a fresh server on local blocks."""
    if "holdfast" not in session.peers:
        return
    languages = list(_built(session))
    source = make_source(session.fresh("source"), files=1, size=max(1, round(GIB * session.scale)), seed=session.seed)
    warm_up = make_source(session.fresh("source"), files=1, size=WARM_UP, seed=session.seed)
    for repetition in range(session.repeat):
        for language in session.random.sample(languages, len(languages)):
            try:
                with ExitStack() as stack:
                    server = stack.enter_context(session.serving("holdfast", store))
                    driver = stack.enter_context(_running(language, session.fresh(language.name)))
                    run = _ready(driver, server, warm_up)
                    figures = _measure(driver, server, run, source)
                    if repetition == 0:
                        _verify(session, driver, run, source)
                    session.tidy(server, store)
            except ConformanceError as failure:
                # Hours of other measurements are not to be lost for it.
                languages.remove(language)
                _warn(language, failure)
                continue
            yield Sample(row="languages", store=store, peer=language.name, repetition=repetition, figures=figures)
    for path in (source, warm_up):
        session.discard(path)


def _built(session: Session) -> Iterator[Language]:
    for language in LANGUAGES:
        if language.name in session.languages:
            try:
                build(language)
                yield language
            except (ToolchainMissingError, BuildError) as missing:
                _warn(language, missing)


@contextmanager
def _running(language: Language, folder: Path) -> Iterator[Driver]:
    folder.mkdir()
    driver = Driver(
        language.name, language.command, folder=folder, environment=driver_environment(folder), timeout=TIMEOUT,
        transcript=[],
    )  # fmt: skip
    try:
        yield driver
    finally:
        driver.kill()


def _ask(driver: Driver, op: str, **arguments: str) -> Any:
    answer = driver.ask(op, arguments)
    if answer.ok is None:
        raise ConformanceError(f"{op} was answered {answer}")
    return answer.ok


def _warn(language: Language, reason: Exception) -> None:
    print(f"WARNING: {LABELS[language.name]} is not measured: {reason}", flush=True)


def _ready(driver: Driver, server: Server, warm_up: Path) -> str:
    """Connect, and load what is loaded lazily; returns the run to log to."""
    _ask(driver, "connect", uri=f"holdfast://{server.address}")
    run: str = _ask(driver, "create_run", experiment_id="0")["run_id"]
    _ask(driver, "log_artifact", run_id=run, local_path=str(warm_up), artifact_path="warm-up")
    return run


def _measure(driver: Driver, server: Server, run: str, source: Path) -> dict[str, float]:
    """From the request to the answer, by which every byte is durable."""
    pids = processes.session(driver.pid)
    os.sync()
    processes.reset_peaks([*pids, *server.pids()])
    before, server_before = processes.usage(pids), processes.usage(server.pids())
    start = time.monotonic()
    _ask(driver, "log_artifact", run_id=run, local_path=str(source))
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
    path = _ask(driver, "download", uri=f"runs:/{run}/{source.name}", destination=str(target))["path"]
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
