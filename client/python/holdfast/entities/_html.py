"""Tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any


def table(title: str, rows: Mapping[str, Any]) -> str:
    """A two-column HTML table; everything in it is escaped, rows that say nothing are left out."""
    body = "".join(
        f"<tr><th style='text-align:left;vertical-align:top'>{html.escape(name)}</th><td>{_cell(value)}</td></tr>"
        for name, value in rows.items()
        if value not in (None, "", {}, [], ())
    )
    return f"<table><caption style='text-align:left'><b>{html.escape(title)}</b></caption>{body}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return "<br>".join(f"{html.escape(str(key))} = {html.escape(str(item))}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(html.escape(str(item)) for item in value)
    return html.escape(str(value))
