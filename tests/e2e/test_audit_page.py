"""docs/audit.md does what it says, and tells of every kind of resource."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.e2e.pages import check_page, read_page

from holdfast_server.domain.audit import KINDS, STORE

PAGE = read_page("audit.md")
SERVER = Path(__file__).parents[2] / "server" / "holdfast_server"


@pytest.mark.slow
@pytest.mark.timeout(360)  # each command is a process, of which a busy machine starts one a second or less
def test_the_page_runs_as_it_reads() -> None:
    folder = Path(tempfile.mkdtemp(prefix="hf"))  # the path of a socket is short
    try:
        assert check_page(PAGE, folder, "--auth", "tokens", "--audit-interval", "1") > 12
    finally:
        shutil.rmtree(folder)


def test_every_kind_of_resource_is_on_the_page() -> None:
    sources = "".join((SERVER / name).read_text("utf-8") for name in ("rpc/audited.py", "services/auditing.py"))
    assert {*re.findall(r'named\("(\w+)"', sources), *re.findall(r'f"(\w+)/\{', sources)} <= {*KINDS}
    for kind in (*KINDS, STORE):
        assert re.search(rf"`{kind}[/`]", PAGE), kind
