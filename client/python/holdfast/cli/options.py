"""Options and parsing that several groups of commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from holdfast.entities import ViewType

F = TypeVar("F", bound=Callable[..., object])

_VIEWS = {"active": ViewType.ACTIVE_ONLY, "deleted": ViewType.DELETED_ONLY, "all": ViewType.ALL}


def key_value_pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Parse ``key=value``; what is behind the first ``=`` is the value, which may be empty. Each key comes once."""
    found: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{value!r} is not key=value.", ctx, param)
        if key in found:
            raise click.BadParameter(f"{key!r} is given twice; each key goes once.", ctx, param)
        found[key] = text
    return found


def _view(ctx: click.Context, param: click.Parameter, value: str) -> ViewType:  # noqa: ARG001 - click's signature
    return _VIEWS[value.lower()]


def json_option(text: str) -> Callable[[F], F]:
    """``--json``, with what it prints."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def tags_option() -> Callable[[F], F]:
    """``--tag``, several times, as a dictionary."""
    return click.option(
        "--tag", "tags", multiple=True, callback=key_value_pairs, metavar="KEY=VALUE", help="Set a tag; several times."
    )


def view_option() -> Callable[[F], F]:
    """``--view``, as a ``ViewType``."""
    return click.option(
        "--view",
        type=click.Choice(list(_VIEWS), case_sensitive=False),
        default="active",
        show_default=True,
        callback=_view,
        help="Those that are not deleted, those that are, or both.",
    )


def limit_options(default: int) -> Callable[[F], F]:
    """``--max`` and ``--all``, which has no end."""

    def decorate(function: F) -> F:
        function = click.option("--all", "unlimited", is_flag=True, help="All of them, however many.")(function)
        return click.option(
            "--max",
            "--limit",
            "max_results",
            type=click.IntRange(min=1),
            default=default,
            show_default=True,
            help="At most so many.",
        )(function)

    return decorate
