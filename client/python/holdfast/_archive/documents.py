"""Messages as JSON documents of an archive."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from holdfast._archive.members import not_ours

M = TypeVar("M", bound=Message)


def to_document(message: Message, *left_out: str) -> dict[str, Any]:
    """A message in protobuf's JSON, without some of its fields."""
    document = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {name: value for name, value in document.items() if name not in left_out}


def from_document(document: Any, message: M) -> M:
    """Fill a message from its document; fields that a newer version added are passed over.

    Raises:
        InvalidArgumentError: It is none of such a message.
    """
    try:
        json_format.ParseDict(document, message, ignore_unknown_fields=True)
    except (json_format.ParseError, TypeError, AttributeError):
        raise not_ours(f"it has no {type(message).__name__} where one belongs") from None
    return message
