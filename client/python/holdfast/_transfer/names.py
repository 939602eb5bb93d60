"""Names that a local file system cannot hold, or would mix up."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from holdfast.errors import LocalFileError
from holdfast.format.paths import broken_rule

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_WINDOWS_FORBIDDEN = re.compile(r'[<>:"|?*]')


def check_received_path(path: str) -> str:
    """Return an artifact path that a server sent, if it stays below where it is written.

    Servers refuse other paths; a client that believes them would be at the mercy of whoever it connects to.

    Raises:
        LocalFileError: It breaks a rule of artifact paths.
    """
    rule = broken_rule(path)
    if rule:
        raise LocalFileError(f"The server sent the path {path[:200]!a}, and nothing is written there: {rule}.")
    return path


def is_folding(directory: Path) -> bool:
    """Whether the file system of ``directory`` takes two names that differ in case for the same file."""
    probe = directory / f".holdfast-Probe-{secrets.token_hex(4)}"
    try:
        probe.touch(exist_ok=False)
    except OSError as error:
        raise LocalFileError(f"{directory} cannot be written: {error.strerror}.") from error
    try:
        return probe.with_name(probe.name.lower()).exists()
    finally:
        probe.unlink()


def check_local_names(paths: Iterable[str], *, folding: bool) -> None:
    """Refuse what cannot be written here.

    Raises:
        LocalFileError: The platform reserves a name, or two names would be one file; both are named.
    """
    seen: dict[str, str] = {}
    for path in paths:
        if os.name == "nt":
            for component in path.split("/"):
                if _RESERVED.fullmatch(component) or _WINDOWS_FORBIDDEN.search(component):
                    raise LocalFileError(f"{path!r} cannot be written on Windows, which reserves {component!r}.")
        if folding:
            other = seen.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
            if other != path:
                raise LocalFileError(
                    f"{other!r} and {path!r} would be the same file here. Download them to different directories."
                )
