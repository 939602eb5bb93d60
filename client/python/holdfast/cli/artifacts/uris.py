"""Artifact URIs as arguments: mistakes that need no server are told at once."""

from __future__ import annotations

import re

import click

_FORMS = "runs:/<run_id>/<path>, models:/<name>/<version>, models:/<name>@<alias> or models:/<model_id>"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")


def artifact_uri(text: str) -> str:
    """The type of an argument that is the URI of a file or directory among artifacts.

    Raises:
        click.BadParameter: It cannot be one; the message says what may have been meant.
    """
    scheme, separator, rest = text.partition(":")
    if separator and scheme in {"runs", "models"} and rest.strip("/"):
        # A second slash is a habit from other URIs.
        return f"{scheme}:/{rest.strip('/')}"
    head = text.strip("/").partition("/")[0]
    if _RUN_ID.fullmatch(head):
        raise click.BadParameter(f"{text!r} lacks its scheme: write runs:/{text.strip('/')}.")
    if _MODEL_ID.fullmatch(head):
        raise click.BadParameter(f"{text!r} lacks its scheme: write models:/{text.strip('/')}.")
    raise click.BadParameter(f"{text!r} is no artifact URI: write {_FORMS}.")


def run_path(uri: str, verb: str) -> tuple[str, str]:
    """The run and the path below it that a URI names.

    Raises:
        click.UsageError: It names a model, whose artifacts do not change.
    """
    scheme, _, rest = uri.partition(":/")
    if scheme != "runs":
        raise click.UsageError(
            f"{uri} belongs to a model, and what a model holds does not change: {verb} takes runs:/<run_id>/<path>."
        )
    run_id, _, path = rest.partition("/")
    return run_id, path
