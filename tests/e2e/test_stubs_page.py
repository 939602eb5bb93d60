"""What docs/stubs.md shows does what the page says."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.pages import check_page, read_page


def test_the_calls_of_the_page_are_made(tmp_path: Path) -> None:
    assert check_page(read_page("stubs.md"), tmp_path) == 1
