"""Which experiment a word on the command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from holdfast.errors import NotFoundError

if TYPE_CHECKING:
    from holdfast._client import Client
    from holdfast.entities import Experiment


def find_experiment(client: Client, text: str) -> Experiment:
    """The experiment of an id or a name, deleted or not.

    Raises:
        click.UsageError: It is the id of one and the name of another.
        NotFoundError: It is neither.
    """
    named, numbered = client.get_experiment_by_name(text), _by_id(client, text)
    if named and numbered and named.experiment_id != numbered.experiment_id:
        raise click.UsageError(
            f"{text!r} is the id of {numbered.name!r} and the name of experiment {named.experiment_id}: "
            f"write id:{text} or name:{text}."
        )
    found = named or numbered
    if found is None:
        kind, _, rest = text.partition(":")
        if kind == "id":
            found = _by_id(client, rest)
        elif kind == "name":
            found = client.get_experiment_by_name(rest)
    if found is None:
        raise NotFoundError(f"There is no experiment with the id or name {text!r}.", reason="EXPERIMENT_NOT_FOUND")
    return found


def _by_id(client: Client, text: str) -> Experiment | None:
    if not (text.isascii() and text.isdigit()):
        return None
    try:
        return client.get_experiment(text)
    except NotFoundError:
        return None
