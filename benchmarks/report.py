"""``python -m benchmarks.report results.json``: put the tables of a run into docs/benchmarks.md.

What stands outside of the two marks on that page is written by hand and kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.tables import render

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def rewritten(page: str, results: dict[str, Any]) -> str:
    """The page with these results between its marks.

    Raises:
        ValueError: The page lacks a mark.
    """
    before, rest = page[: page.index(BEGIN)], page[page.index(END) :]
    return f"{before}{BEGIN}\n\n{_what_was_run(results)}\n\n{render(results)}\n{rest}"


def _what_was_run(results: dict[str, Any]) -> str:
    of, options = results["environment"], results["options"]
    packages = [f"{name} {of[name]}" for name in ("mlflow", "minio", "grpcio", "protobuf", "boto3") if name in of]
    return (
        f"Measured {of['date']} on {of['cores']} cores ({of['cpu']}), {of['memory']}, {of['file system']}, "
        f"kernel {of['kernel']}, Python {of['python']}, {', '.join(packages)}; Holdfast at {of['commit']}. "
        f"{options['repeat']} repetitions, order by seed {options['seed']}, scale {options['scale']:g}"
        f"{'' if options['scale'] == 1 else ' (sizes in the tables are those of scale 1)'}."
    )


def main(arguments: list[str]) -> None:
    results = json.loads(Path(arguments[0]).read_text())
    PAGE.write_text(rewritten(PAGE.read_text(), results))
    print(f"{PAGE.name} has the tables of {arguments[0]}")


if __name__ == "__main__":
    main(sys.argv[1:])
