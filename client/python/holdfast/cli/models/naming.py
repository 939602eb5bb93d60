"""Which registered model or version a word on the command line means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from holdfast._client import Client
    from holdfast.entities import ModelVersion

_FORM = re.compile(r"(?:models:/+)?(?P<name>[^/@]+)(?:/(?P<version>[0-9]+)|@(?P<alias>[^/@]+)|/(?P<latest>latest))?")


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A registered model, or one version of it.

    Attributes:
        name: Of the registered model.
        version: The number of a version; None when it is named by an alias, or the model is meant.
        alias: An alias, also ``latest``; None when it is named by its number, or the model is meant.
    """

    name: str
    version: str | None = None
    alias: str | None = None

    @property
    def is_version(self) -> bool:
        """Whether one version is meant."""
        return self.version is not None or self.alias is not None

    def find_version(self, client: Client) -> ModelVersion:
        """Read the version that is meant."""
        if self.version is not None:
            return client.get_model_version(self.name, self.version)
        return client.get_model_version_by_alias(self.name, self.alias or "latest")


def parse_reference(text: str) -> ModelReference:
    """Parse NAME, NAME/3, NAME@alias and NAME/latest, also behind ``models:/``.

    Raises:
        click.UsageError: It is none of these.
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise click.UsageError(f"{text!r} names no model; write NAME, NAME/3, NAME@alias or NAME/latest.")
    return ModelReference(found["name"], found["version"], found["alias"] or found["latest"])
