"""Fuzz one target with atheris: ``make fuzz ARGS='filters -max_total_time=60'``; options are libFuzzer's.

Inputs that found something new are kept in ``.fuzz/<target>`` and are where the next run begins; one that fails is
written to ``.fuzz/crash-…`` and its traceback printed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["holdfast", "holdfast_server", "tests.fuzz", "yaml"]):
    from tests.fuzz.targets import SEEDS, TARGETS
    from tests.fuzz.wire_target import Wire, seeds

KEPT = Path(".fuzz")
WIRE, WIRE_DATA = "wire", KEPT / "wire-data"
# An input that takes longer has found a hang; a call over the wire has a deadline of its own before.
DEFAULTS = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=4096", f"-artifact_prefix={KEPT}/"]
WIRE_DEFAULTS = [*DEFAULTS, "-timeout=90"]


def main(arguments: list[str]) -> None:
    """Run the target that the first argument names."""
    if not arguments or arguments[0] not in {*TARGETS, WIRE}:
        names = ", ".join([*TARGETS, WIRE])
        sys.exit(f"Name a target: {names}. Such as: make fuzz ARGS='filters -max_total_time=60'")
    name, *options = arguments
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds() if name == WIRE else SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    if name == WIRE:
        shutil.rmtree(WIRE_DATA, ignore_errors=True)
        target, defaults = Wire(WIRE_DATA), WIRE_DEFAULTS
    else:
        target, defaults = TARGETS[name], DEFAULTS
    atheris.Setup([sys.argv[0], *defaults, *options, str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
