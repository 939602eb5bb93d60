"""docs/errors.md lists every reason with the status that the proto gives it, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
PROTO = (ROOT / "protos" / "holdfast" / "v1" / "error_reason.proto").read_text(encoding="utf-8")


def rows() -> list[tuple[str, str, str, str]]:
    return re.findall(r"^\| `(\w+)` \| (\w+) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def test_every_reason_is_listed_once_with_its_status() -> None:
    found = re.findall(r"// .*?([A-Z_]+)\.\n\s*ERROR_REASON_(\w+) = \d+;", PROTO)
    assert len(rows()) == len(found)
    assert {reason: status for reason, status, *_ in rows()} == {reason: status for status, reason in found}


def test_every_reason_says_what_it_means_and_what_to_do() -> None:
    assert all(meaning.endswith(".") and remedy.endswith(".") for _, _, meaning, remedy in rows())
