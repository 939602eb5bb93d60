"""What is written to the log: one line an event, whatever peers put into it, and no credential."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from holdfast_server import logs
from holdfast_server.calls import request_id, request_id_from

NASTY = "a\r\n2026-01-01 INFO root: forged\x1b[2J\x9b1m\x00\u2028\u202etxt"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = ("urllib3", "asyncio")
    levels = [logging.getLogger(name).level for name in names]
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(before)


def written(root: logging.Logger, log_format: str, text: str, *, error: Exception | None = None) -> list[str]:
    """The lines that one event becomes."""
    stream = io.StringIO()
    logs.configure(level="info", log_format=log_format, stream=stream)
    for handler in root.handlers:
        assert handler.formatter is not None
    root.error("it failed: %s", text, exc_info=error)
    return stream.getvalue().splitlines()


def raised() -> ValueError:
    """An error with a traceback, whose text a peer chose."""
    with pytest.raises(ValueError) as caught:
        int_of(NASTY)
    return caught.value


def int_of(text: str) -> int:
    raise ValueError(text)


@pytest.mark.parametrize("log_format", logs.FORMATS)
def test_control_characters_are_escaped(root: logging.Logger, log_format: str):
    (line,) = written(root, log_format, NASTY)
    assert line.isprintable()
    assert (
        "\\r\\n2026-01-01 INFO root: forged\\x1b[2J\\x9b1m\\x00\\u2028\\u202etxt".replace(
            "\\", "\\\\" if log_format == "json" else "\\"
        )
        in line
    )


def test_lines_of_a_traceback_cannot_be_taken_for_others(root: logging.Logger):
    first, *others = written(root, "human", "x", error=raised())
    assert first.endswith("it failed: x")
    assert any("ValueError: a" in line for line in others)
    assert all(line.startswith("  | ") and line.isprintable() for line in others)


def test_json_has_the_traceback_in_its_line(root: logging.Logger):
    (line,) = written(root, "json", "x", error=raised())
    shown = json.loads(line)
    assert (shown["level"], shown["logger"], shown["message"]) == ("error", "root", "it failed: x")
    assert "ValueError: a" in shown["exception"]
    assert shown["time"].endswith("Z")


@pytest.mark.parametrize("log_format", logs.FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        "Bearer s3cr3t-A.b_c~d+/=",
        "('authorization', 'bearer s3cr3t')",
        "Basic czNjcjN0",
        "run 'hft_s3cr3t0123456789' does not exist",
        "a%20Bearer%20s3cr3t",
    ],
)
def test_credentials_are_left_out(root: logging.Logger, log_format: str, text: str):
    (line,) = written(root, log_format, text)
    assert "s3cr3t" not in line
    assert "czNjcjN0" not in line
    assert "***" in line


@pytest.mark.parametrize("log_format", logs.FORMATS)
def test_a_line_names_the_call_that_it_belongs_to(root: logging.Logger, log_format: str):
    token = request_id.set("call-1")
    try:
        (line,) = written(root, log_format, "x")
    finally:
        request_id.reset(token)
    assert ("[call-1]" in line) if log_format == "human" else (json.loads(line)["request_id"] == "call-1")


@pytest.mark.parametrize("name", ["a", "0f" * 16, "my-job_7.retry", "x" * 64])
def test_a_client_may_name_its_call(name: str):
    assert request_id_from([("other", "1"), ("x-holdfast-request-id", name)]) == name


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="none"),
        pytest.param([""], id="empty"),
        pytest.param(["x" * 65], id="too long"),
        pytest.param(["a b"], id="space"),
        pytest.param(["a\nb"], id="newline"),
        pytest.param(["a\n"], id="newline at the end"),
        pytest.param(["-a"], id="looks like an option"),
        pytest.param(["\u00e9"], id="not ASCII"),
        pytest.param([b"abc"], id="bytes"),
        pytest.param(["a", "a"], id="twice"),
    ],
)
def test_other_names_are_replaced(values: list[object]):
    name = request_id_from([("x-holdfast-request-id", value) for value in values])
    assert len(name) == 32
    assert name not in values


def test_words_that_only_look_like_credentials_stay(root: logging.Logger):
    text = "basically, a forbearer of basics, and shft_names"
    assert written(root, "human", text)[0].endswith(f": it failed: {text}")
