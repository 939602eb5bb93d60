"""The path rules of the format as the server's errors."""

from __future__ import annotations

from holdfast.format.paths import ancestors, broken_name_rule, broken_rule, nfc, parent_of
from holdfast_server.domain.names import shown
from holdfast_server.errors import InvalidArgument, Reason

__all__ = ["ancestors", "check_component", "check_path", "nfc", "parent_of"]


def check_path(path: str, *, field: str = "path") -> str:
    """Return ``path`` if it names a file or directory below a tree's root.

    Raises:
        InvalidArgument: INVALID_PATH; the message states the rule.
    """
    rule = broken_rule(path)
    if rule:
        raise InvalidArgument(
            f"The artifact path {shown(path)} is refused: {rule}.",
            reason=Reason.INVALID_PATH,
            metadata={"path": ascii(path[:200])},
            field=field,
        )
    return path


def check_component(name: str, *, field: str, what: str = "A name") -> str:
    """Return ``name`` if it can be one component of a path.

    Raises:
        InvalidArgument: INVALID_NAME; the message states the rule.
    """
    rule = broken_name_rule(name)
    if rule:
        raise InvalidArgument(f"{what} {shown(name)} is refused: {rule}.", reason=Reason.INVALID_NAME, field=field)
    return name
