"""Finds out which version a URI names, so that exactly that one is loaded and told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from holdfast.errors import InvalidArgumentError
from holdfast.serving.model import Identity

if TYPE_CHECKING:
    from holdfast._client import Client

__all__ = ["alias_of", "identify", "version_identity"]

_ALIAS = re.compile(r"models:/+([^@]+)@([^@/]+)")
_LATEST = re.compile(r"models:/+([^@/]+)/latest", re.IGNORECASE)
_VERSION = re.compile(r"models:/+([^@/]+)/([0-9]+)")


def alias_of(uri: str) -> tuple[str, str]:
    """The registered model and the alias of ``models:/<name>@<alias>``.

    Raises:
        InvalidArgumentError: The URI names no alias, so that there is nothing to follow.
    """
    found = _ALIAS.fullmatch(uri)
    if found is None:
        raise InvalidArgumentError(f"Only an alias can be followed, models:/<name>@<alias>; {uri!r} names none.")
    return found[1], found[2]


def identify(client: Client, uri: str) -> Identity:
    """What ``uri`` names now.

    Raises:
        NotFoundError: There is no such model, version or alias.
        UnavailableError: The server cannot be reached.
    """
    if found := _ALIAS.fullmatch(uri):
        return version_identity(found[1], client.get_model_version_by_alias(found[1], found[2]).version)
    if found := _LATEST.fullmatch(uri):
        return version_identity(found[1], client.get_model_version_by_alias(found[1], "latest").version)
    if found := _VERSION.fullmatch(uri):
        return version_identity(found[1], found[2])
    return Identity(uri)


def version_identity(name: str, version: str | int) -> Identity:
    """One version of a registered model."""
    return Identity(f"models:/{name}/{version}", name, str(version))
