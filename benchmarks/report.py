"""``python -m benchmarks.report results.json``: put the tables of a run into docs/benchmarks.md.

What stands outside of the two marks on that page is written by hand and kept; so are sections that the run has no
samples of. Each section says when and where it was measured.
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
    """The page with these results between its marks, in place of the sections that they are of.

    Raises:
        ValueError: The page lacks a mark.
    """
    before, rest = page[: page.index(BEGIN)], page[page.index(END) :]
    sections = _sections(page[page.index(BEGIN) + len(BEGIN) : page.index(END)])
    sections |= {title: f"{_what_was_run(results)}\n\n{text}" for title, text in _sections(render(results)).items()}
    written = "".join(f"### {title}\n\n{text}\n\n" for title, text in sections.items())
    return f"{before}{BEGIN}\n\n{written}{rest}"


def _sections(text: str) -> dict[str, str]:
    """What stands under each title; what stands before the first of them is said of all."""
    shared, *sections = ("\n" + text).split("\n### ")
    found = {}
    for section in sections:
        title, _, body = section.partition("\n")
        found[title] = "\n\n".join(filter(None, (shared.strip(), body.strip())))
    return found


def _what_was_run(results: dict[str, Any]) -> str:
    of, options = results["environment"], results["options"]
    packages = [f"{name} {of[name]}" for name in ("mlflow", "minio", "grpcio", "protobuf", "boto3") if name in of]
    return (
        f"Measured {of['date']} on {of['cores']} cores ({of['cpu']}), {of['memory']}, {of['file system']}, "
        f"kernel {of['kernel']}, Python {of['python']}, {', '.join(packages)}; Holdfast at {of['commit']}. "
        f"{options['repeat']} repetitions, order by seed {options['seed']}, scale {options['scale']:g}"
        f"{'' if options['scale'] == 1 else ' (sizes in the tables are those of scale 1)'}."
    )


def write(path: Path) -> None:
    """Put the tables of the results in a file into the page."""
    PAGE.write_text(rewritten(PAGE.read_text(), json.loads(path.read_text())))
    print(f"{PAGE.name} has the tables of {path}")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
