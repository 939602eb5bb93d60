"""Fuzz one target with atheris: ``make fuzz ARGS='filters -max_total_time=60'``; options are libFuzzer's.

Inputs that found something new are kept in ``.fuzz/<target>`` and are where the next run begins; one that fails is
written to ``.fuzz/crash-…`` and its traceback printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["holdfast", "holdfast_server", "tests.fuzz", "yaml"]):
    from tests.fuzz.targets import SEEDS, TARGETS

KEPT = Path(".fuzz")
# An input that takes longer has found a hang.
DEFAULTS = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=4096", f"-artifact_prefix={KEPT}/"]


def main(arguments: list[str]) -> None:
    """Run the target that the first argument names."""
    if not arguments or arguments[0] not in TARGETS:
        sys.exit(f"Name a target: {', '.join(TARGETS)}. Such as: make fuzz ARGS='filters -max_total_time=60'")
    name, *options = arguments
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *DEFAULTS, *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
