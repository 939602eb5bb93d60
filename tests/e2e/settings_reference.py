"""The reference in docs/settings.md, written from the settings: ``make docs`` writes it, a test compares it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from holdfast._variables import VARIABLES
from holdfast.cli.models.serving import serve
from holdfast_server.settings import SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
MARK = "<!-- Below this line `make docs` writes what the settings say of themselves. -->\n"


def page_with_reference() -> str:
    """The page as it should be."""
    return PAGE.read_text(encoding="utf-8").partition(MARK)[0] + MARK + "\n" + reference()


def reference() -> str:
    """All settings as tables."""
    return "\n".join([*_server(), *_client(), *_model_server()])


def _server() -> Iterator[str]:
    yield "## The server: `holdfast server`\n"
    rows = [
        (
            _code(f"{setting.flag} {setting.metavar}".strip()),
            _code(setting.variable),
            _code(setting.default),
            setting.help,
        )
        for setting in SETTINGS
    ]
    yield _table(("option", "variable", "default", "effect"), rows)
    yield (
        "The store's credentials are those of `--s3-credentials-file`; without it `AWS_ACCESS_KEY_ID`,\n"
        "`AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, or the file of `AWS_SHARED_CREDENTIALS_FILE`, profile "
        "`AWS_PROFILE`.\n"
    )


def _client() -> Iterator[str]:
    yield "## Clients, in Python and on the command line\n"
    rows = [(_code(v.name), v.values, _code(v.default), v.help) for v in VARIABLES]
    yield _table(("variable", "takes", "default", "effect"), rows)


def _model_server() -> Iterator[str]:
    yield "## The model server: `holdfast models serve`\n"
    rows = [
        (_code(max(option.opts, key=len)), _code(str(option.envvar)), _code(_default(option)), option.help or "")
        for option in serve.params
        if isinstance(option, click.Option) and option.envvar
    ]
    yield _table(("option", "variable", "default", "effect"), rows)


def _default(option: click.Option) -> str:
    if option.is_flag:
        return "off"
    return str(option.default) if option.show_default else ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(map(_escaped, line))} |\n" for line in lines)


def _escaped(text: str) -> str:
    return re.sub(r"[<|*]", r"\\\g<0>", text)


if __name__ == "__main__":
    PAGE.write_text(page_with_reference(), encoding="utf-8")
