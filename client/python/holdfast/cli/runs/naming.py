"""Which run a word on the command line means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from holdfast.entities import ViewType
from holdfast.errors import NotFoundError

if TYPE_CHECKING:
    from holdfast._client import Client

# Fewer digits would soon mean another run.
_LEAST_DIGITS = 4
_DIGITS = 32


def find_run_id(client: Client, text: str) -> str:
    """The id of a run that is given by it, by its beginning, or as ``runs:/<run_id>``.

    A whole id is taken at its word; only the beginning of one is looked for.

    Raises:
        click.UsageError: Several runs begin so.
        NotFoundError: None does.
    """
    word = text.removeprefix("runs:/").strip("/")
    if not re.fullmatch(rf"[0-9a-f]{{{_LEAST_DIGITS},{_DIGITS - 1}}}", word):
        return word
    found = client.search_runs(
        [],
        f"attributes.run_id LIKE '{word}%'",
        ViewType.ALL,
        max_results=2,
        fields=["attributes"],
        search_all_experiments=True,
    )
    if not found:
        raise NotFoundError(f"There is no run whose id begins with {word!r}.", reason="RUN_NOT_FOUND")
    if len(found) > 1:
        raise click.UsageError(f"The ids of several runs begin with {word!r}; write more of it.")
    return found[0].info.run_id
