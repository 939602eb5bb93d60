"""The documentation as a site: it builds without a broken link, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
        timeout=150,
    )
    pages = list(tmp_path.rglob("*.html"))
    built = {page.relative_to(tmp_path).with_suffix(".md").as_posix() for page in pages}
    assert {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")} <= built
    loaded = [
        (page.name, url)
        for page in pages
        for url in re.findall(r'<(?:script|link|img)\b[^>]*(?:src|href)="((?:https?:)?//[^"]+)"', page.read_text())
    ]
    assert loaded == []


def test_every_page_is_in_the_tables_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages - set(re.findall(r"\]\((docs/[\w-]+\.md)\)", readme)) == set()


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [target for target in re.findall(r"\]\(([^):#]+)", readme) if not (ROOT / target).exists()]
    assert missing == []
