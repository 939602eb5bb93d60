"""How the command line reads lengths of time."""

from __future__ import annotations

import re
from datetime import timedelta

import click

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def length_of_time(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    """Parse a length of time; zero needs no unit.

    Raises:
        click.BadParameter: It is none.
    """
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd])", value.strip())
    if found:
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
    if value.strip() == "0":
        return timedelta(0)
    raise click.BadParameter(f"{value!r} is not a length of time; write 90s, 15m, 24h, 30d or 0.", ctx, param)
