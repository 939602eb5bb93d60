"""Rules of names that are worth checking before anything is uploaded. The server checks them again."""

from __future__ import annotations

import re
import unicodedata

from holdfast.errors import InvalidArgumentError

MAX_NAME = 250
MAX_COMPONENT_BYTES = 255
# Characters that reorder text on screen, and those that some file systems fold to '.', '/' or '\'.
_DECEPTIVE = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\uff0e\uff0f\uff3c]")


def check_registered_model_name(name: str) -> str:
    """Return ``name`` if a registered model can have it.

    Raises:
        InvalidArgumentError: It cannot; the message states the rule.
    """
    rule = _broken_rule(name)
    if rule:
        raise InvalidArgumentError(f"The registered model name {name!r} is refused: {rule}.", reason="INVALID_NAME")
    return name


def _broken_rule(name: object) -> str:  # noqa: PLR0911 - one return per rule
    if not isinstance(name, str):
        return "it must be a text"
    if not name:
        return "it is empty"
    if len(name) > MAX_NAME:
        return f"it is longer than {MAX_NAME} characters"
    if any(character in "/:%@\\" for character in name):
        return "it must not contain any of / : % @ \\"
    if name in (".", ".."):
        return "it must not be '.' or '..'"
    if name[0] == " " or name[-1] in " .":
        return "it must not begin with a space, nor end with a space or a dot"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return "it must not contain control characters or lone surrogates"
    if _DECEPTIVE.search(name):
        return "it must not contain direction overrides or look-alikes of '.', '/' and '\\'"
    if len(name.encode()) > MAX_COMPONENT_BYTES:
        return f"it is longer than {MAX_COMPONENT_BYTES} bytes of UTF-8"
    return ""
