"""Rules of names that are worth checking before anything is uploaded. The server checks them again."""

from __future__ import annotations

from holdfast._checks import check_unicode
from holdfast.errors import InvalidArgumentError
from holdfast.format.names import MAX_MODEL_TYPE, broken_logged_model_name_rule, broken_registered_model_name_rule

# Of the reason why a model FAILED, in characters; the server takes more.
MAX_STATUS_MESSAGE = 1_000


def check_registered_model_name(name: str) -> str:
    """Return ``name`` if a registered model can have it.

    Raises:
        InvalidArgumentError: It cannot; the message states the rule.
    """
    rule = broken_registered_model_name_rule(name) if isinstance(name, str) else "it must be a text"
    if rule:
        raise InvalidArgumentError(
            f"The registered model name {name!r:.200} is refused: {rule}.", reason="INVALID_NAME"
        )
    return name


def check_logged_model_name(name: str) -> str:
    """Return ``name`` if a logged model can have it.

    Raises:
        InvalidArgumentError: It cannot; the message states the rule.
    """
    rule = broken_logged_model_name_rule(name) if isinstance(name, str) else "it must be a text"
    if rule:
        raise InvalidArgumentError(f"The name {name!r:.200} of a model is refused: {rule}.", reason="INVALID_NAME")
    return name


def check_model_type(model_type: str) -> str:
    """Return ``model_type`` if a model can have it.

    Raises:
        InvalidArgumentError: It is no text, or too long.
    """
    if len(check_unicode(model_type, "model_type")) > MAX_MODEL_TYPE:
        raise InvalidArgumentError(
            f"model_type has {len(model_type)} characters; the limit is {MAX_MODEL_TYPE}. Say more in a tag.",
            reason="LIMIT_EXCEEDED",
        )
    return model_type
