"""Checks of what users pass, which need neither gRPC nor protobuf and so keep ``import holdfast`` light."""

from __future__ import annotations

from holdfast.errors import InvalidArgumentError
from holdfast.format.names import MAX_KEY, broken_key_rule


def check_unicode(value: object, what: str) -> str:
    """Return ``value`` if it is a text that UTF-8 can hold.

    Raises:
        InvalidArgumentError: It is not a text, or has lone surrogates.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{what} is a text, not {value!r:.80} of type {type(value).__name__}.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{what} is not valid Unicode: {value!a:.80} has a lone surrogate at {error.start}. "
            f"Replace it, for example by value.encode(errors='replace').decode()."
        ) from None
    return value


def check_seconds(value: object, what: str) -> float | None:
    """Return ``value`` if it is a time to wait: seconds from 0, or None.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise InvalidArgumentError(f"{what} must be at least 0 seconds, or None not to wait; not {value!r:.80}.")
    return value


def check_text(key: object, what: str) -> str:
    """Return ``key`` if a tag, param or metric can have it; the server would say so only after others were kept.

    Raises:
        InvalidArgumentError: It cannot; the message states the rule.
    """
    if not isinstance(key, str):
        raise InvalidArgumentError(f"The key of a {what} is text, not {key!r}.", reason="INVALID_NAME")
    rule = broken_key_rule(key)
    if not rule:
        return key
    if len(key) > MAX_KEY:
        raise _too_long(f"The key {key[:80]!a}… of a {what}", len(key), MAX_KEY)
    raise InvalidArgumentError(f"The key {key!a} of a {what} is refused: {rule}.", reason="INVALID_NAME")


def check_value(key: str, value: object, what: str, limit: int | None = None) -> str:
    """The text of a value.

    Raises:
        InvalidArgumentError: It is longer than ``limit``, or no UTF-8 holds it.
    """
    text = check_unicode(str(value), f"The value of {what} {key!r}")
    if limit is not None:
        check_length(text, f"The value of {what} {key!r}", limit)
    return text


def check_length(text: object, what: str, limit: int) -> None:
    """Refuse a text of more than ``limit`` characters.

    Raises:
        InvalidArgumentError: It has more.
    """
    if isinstance(text, str) and len(text) > limit:
        raise _too_long(what, len(text), limit)


def _too_long(what: str, length: int, limit: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{what} has {length} characters; the limit is {limit}. Shorten it, or log it as an artifact.",
        reason="LIMIT_EXCEEDED",
        metadata={"limit": str(limit), "length": str(length)},
    )
