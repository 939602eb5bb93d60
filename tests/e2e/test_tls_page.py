"""docs/tls.md does what it shows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.e2e.pages import check_page, read_page
from tests.ports import free_port

PAGE = read_page("tls.md")


@pytest.mark.slow
@pytest.mark.timeout(360)  # many processes, of which a busy machine starts one a second or less
def test_the_page_runs_as_it_reads(tmp_path: Path) -> None:
    port = free_port()
    page = PAGE.replace(":5600", f":{port}").replace("--data-dir data", f"--data-dir data --port {port}")
    page = page.replace("HOLDFAST_SERVER_TLS_CERT=tls", f"HOLDFAST_SERVER_PORT={port} HOLDFAST_SERVER_TLS_CERT=tls")
    page = page.replace(f"holdfast+tls://db.lan:{port}", "holdfast+tls://db.lan:5600")
    assert check_page(page, tmp_path) > 10


def test_every_message_of_the_table_is_one_of_the_client() -> None:
    source = (Path(__file__).parents[2] / "client" / "python" / "holdfast" / "_tls.py").read_text(encoding="utf-8")
    said = "".join(
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    rows = PAGE.partition("| message |")[2].partition("\n\n")[0].splitlines()[2:]
    messages = [row.split("|")[1].strip().partition("*")[0] for row in rows]
    assert len(messages) == 8
    assert [message for message in messages if message not in said] == []
