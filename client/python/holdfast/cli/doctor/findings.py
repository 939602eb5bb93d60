"""What a check found."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Status(str, enum.Enum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was looked at, such as ``"clock"``.
        status: How it came out; only failures make ``holdfast doctor`` fail.
        message: What was found.
        advice: What to do; empty when there is nothing to do.
    """

    check: str
    status: Status
    message: str
    advice: str = ""


def ok(check: str, message: str) -> Finding:
    """Nothing is to be done."""
    return Finding(check, Status.OK, message)


def warning(check: str, message: str, advice: str) -> Finding:
    """It works, and should be looked at."""
    return Finding(check, Status.WARNING, message, advice)


def failure(check: str, message: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(check, Status.FAILURE, message, advice)


def skipped(check: str, message: str) -> Finding:
    """It could not be looked at, or does not concern this server."""
    return Finding(check, Status.SKIPPED, message)
