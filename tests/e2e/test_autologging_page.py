"""What docs/autologging.md and docs/system-metrics.md show does what they say."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from tests.e2e.pages import check_page, read_page

import holdfast.sklearn
from holdfast import _context, _system_metrics


@pytest.mark.slow
@pytest.mark.parametrize("name", ["autologging.md", "system-metrics.md"])
def test_the_page_s_programs_print_what_it_says(name: str, tmp_path: Path) -> None:
    assert check_page(read_page(name), tmp_path) == 1


def test_each_argument_is_on_the_page() -> None:
    named = set(re.findall(r"`(\w+)`", read_page("autologging.md"))) | {"disable"}
    assert set(inspect.signature(holdfast.sklearn.autolog).parameters) <= named


def test_each_setting_and_tag_is_on_the_page() -> None:
    page = read_page("system-metrics.md")
    variables = {value for key, value in vars(_system_metrics).items() if key.endswith("_VARIABLE")}
    tags = {
        value for key, value in vars(_context).items() if key.endswith("_TAG") and key.startswith(("GIT", "SOURCE"))
    }
    assert all(f"`{name}`" in page for name in variables | tags)
