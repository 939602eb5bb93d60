"""``python -m holdfast_server config``: every setting with its value and where it is from, secrets masked."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holdfast_server.settings.process import read
from holdfast_server.settings.resolving import DEFAULT, Resolved, resolve

MASK = "***"
# What minio-py reads besides, for the store.
STORE_VARIABLES = (
    ("AWS_ACCESS_KEY_ID", True),
    ("AWS_SECRET_ACCESS_KEY", True),
    ("AWS_SESSION_TOKEN", True),
    ("AWS_SHARED_CREDENTIALS_FILE", False),
    ("AWS_PROFILE", False),
)


def show_settings(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Print the settings that a command line and its environment make; returns the exit code.

    With ``--json`` each is an object with ``name``, ``value``, ``origin`` (a flag, a variable or ``default``) and
    ``masked``. The whole is checked as at a start: what would be refused there is refused here.

    Raises:
        UsageError: The settings cannot be used together, or one breaks its rule; they were printed if each is sound.
    """
    environment = os.environ if environment is None else environment
    as_json = "--json" in arguments
    arguments = [argument for argument in arguments if argument != "--json"]
    rows = [*map(_row, resolve(arguments, environment)), *_store_rows(environment)]
    for line in (json.dumps(row) for row in rows) if as_json else _table(rows):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    read(arguments, environment)
    return 0


def _row(found: Resolved) -> dict[str, Any]:
    shown = _without_credentials(found.text)
    return {
        "name": found.setting.flag.removeprefix("--"),
        "value": shown,
        "origin": found.origin,
        "masked": shown != found.text,
    }


def _store_rows(environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, secret in STORE_VARIABLES:
        if environment.get(name):
            yield {"name": name, "value": MASK if secret else environment[name], "origin": name, "masked": secret}


def _without_credentials(text: str) -> str:
    """A URL without the user and password that it must not hold; who wrote them there is about to be told."""
    return re.sub(r"(?<=://)[^/?#@]*@", f"{MASK}@", text)


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names, values = (max(len(str(row[key])) for row in rows) for key in ("name", "value"))
    for row in rows:
        value = str(row["value"]).encode("unicode_escape").decode() if not row["value"].isprintable() else row["value"]
        origin = DEFAULT if row["origin"] == DEFAULT else f"from {row['origin']}"
        yield f"{row['name']:{names}}  {value or '-':{values}}  {origin}"
