"""Which logged model a word on the command line means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from holdfast.cli.paging import through_pages
from holdfast.entities import ViewType
from holdfast.errors import NotFoundError

if TYPE_CHECKING:
    from holdfast._client import Client

# Fewer digits would soon mean another model.
_LEAST_DIGITS = 4
_DIGITS = 32
_PAGE = 1_000


def find_model_id(client: Client, text: str) -> str:
    """The id of a logged model that is given by it, by its beginning, or as ``models:/<model_id>``.

    A whole id is taken at its word; only the beginning of one is looked for.

    Raises:
        click.UsageError: Several logged models begin so.
        NotFoundError: None does.
    """
    word = text.removeprefix("models:/").strip("/")
    if not re.fullmatch(rf"m-[0-9a-f]{{{_LEAST_DIGITS},{_DIGITS - 1}}}", word):
        return word
    found = client.search_logged_models(
        every_experiment_id(client),
        f"model_id LIKE '{word}%'",
        max_results=2,
        view_type=ViewType.ALL,
        fields=["attributes"],
    )
    if not found:
        raise NotFoundError(f"There is no logged model whose id begins with {word!r}.", reason="MODEL_NOT_FOUND")
    if len(found) > 1:
        raise click.UsageError(f"The ids of several logged models begin with {word!r}; write more of it.")
    return found[0].model_id


def every_experiment_id(client: Client) -> list[str]:
    """The ids of all experiments, deleted or not: searches for logged models have to name experiments."""
    pages = through_pages(lambda token: client.search_experiments(ViewType.ALL, _PAGE, page_token=token))
    return [experiment.experiment_id for experiment in pages]
