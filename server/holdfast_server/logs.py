"""How the log is written: for people or as JSON, with the id of the call that a line belongs to.

What peers send may end up in a line. Control characters are escaped, so that nobody writes lines, or to terminals, in
the server's name; credentials are left out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import datetime, timezone
from typing import Any, TextIO

from holdfast_server.calls import request_id

FORMATS = ("human", "json")

# C0, DEL and C1; what separates lines; what changes the direction of writing.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# What a header of credentials holds, and tokens of ours wherever somebody pasted one.
_CREDENTIAL = re.compile(r"(?<![A-Za-z_])((?i:bearer|basic)(?=\s|%20)|hft_)(?:\s+|%20)?[\w.~+/=-]+")


def configure(*, level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Write what is logged from ``level`` on, such as ``"info"``, in one of ``FORMATS`` to a stream; standard error."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else HumanFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # It warns of each attempt to reach a store; that the store is away is said once, by ourselves.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # At its debug level it tells of its own selectors.
    logging.getLogger("asyncio").setLevel(logging.INFO)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_calm)


class HumanFormatter(logging.Formatter):
    """``time level logger [request id]: message``; lines of a traceback begin with ``  |``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of a traceback behind it."""
        call = request_id.get()
        where = f"{record.name} [{call}]" if call else record.name
        lines = [f"{_time(record)} {record.levelname} {where}: {escaped(record.getMessage())}"]
        lines += [f"  | {escaped(line)}" for line in _traceback(self, record).split("\n") if line]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, request_id and, for a call that ended, what is known of it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        shown: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escaped(record.getMessage()),
        }
        if call := request_id.get():
            shown["request_id"] = call
        shown.update(getattr(record, "call", {}))
        if traceback := _traceback(self, record):
            shown["exception"] = "\n".join(map(escaped, traceback.split("\n")))
        return json.dumps(shown)  # in ASCII


def escaped(text: str) -> str:
    """A text as one line without control characters and credentials."""
    text = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
    return _CREDENTIAL.sub(r"\1 ***", text)


def _calm(record: logging.LogRecord) -> bool:
    """Leave out tracebacks that anybody can cause; one line tells of metadata that is no text, without the value."""
    if str(record.msg).startswith("Invalid encoding on"):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args, record.exc_info = "a call came with metadata that is not UTF-8", (), None
    # That a call is over before its answer was sent, as when what came could not be unpacked, is no defect of ours.
    return not str(record.msg).startswith("ExecuteBatchError raised in core")


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)
