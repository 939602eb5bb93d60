"""What docs/offline.md shows does what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.pages import check_page, read_page


@pytest.mark.slow
def test_the_commands_of_the_page_print_what_it_shows(tmp_path: Path) -> None:
    assert check_page(read_page("offline.md"), tmp_path) == 5
