"""docs/models.md does what it says: its programs are written down, its commands run, and their output compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.pages import check_page, read_page

from holdfast import _config

PAGE = read_page("models.md")


@pytest.mark.slow
@pytest.mark.timeout(360)  # its programs import scikit-learn
def test_the_page_runs_as_it_reads(tmp_path: Path) -> None:
    assert check_page(PAGE, tmp_path) > 8


@pytest.mark.parametrize("name", ["ALLOW_PICKLE_VARIABLE", "CACHE_VARIABLE", "CACHE_SIZE_VARIABLE"])
def test_every_setting_is_on_the_page(name: str) -> None:
    assert f"`{getattr(_config, name)}`" in PAGE
