"""Errors and protos keep what they promise: each error has a status and a reason, each reason has its place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from holdfast.v1 import error_reason_pb2
from holdfast_server import errors
from holdfast_server.rpc.errors import STATUS

ROOT = Path(__file__).parents[2]
PROTOS = sorted((ROOT / "protos" / "holdfast" / "v1").glob("*.proto"))
SOURCES = sorted((ROOT / "server" / "holdfast_server").rglob("*.py"))
PREFIX = "ERROR_REASON_"


def subclasses(base: type) -> Iterator[type]:
    for cls in base.__subclasses__():
        yield cls
        yield from subclasses(cls)


def documented_statuses() -> dict[str, str]:
    """The status that the comment of each reason ends with."""
    text = (ROOT / "protos" / "holdfast" / "v1" / "error_reason.proto").read_text(encoding="utf-8")
    found = re.findall(r"// .*?([A-Z_]+)\.\n\s*ERROR_REASON_(\w+) = \d+;", text)
    return {reason: status for status, reason in found}


def raised() -> Iterator[tuple[str, str, str]]:
    """Every construction of a domain error with a reason in the server: place, class, reason."""
    classes = {cls.__name__ for cls in subclasses(errors.DomainError)}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            reason = next((k.value for k in node.keywords if k.arg == "reason"), None)
            if name in classes and isinstance(reason, ast.Attribute):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", name, reason.attr


def test_every_domain_error_has_a_status():
    assert set(subclasses(errors.DomainError)) == set(STATUS)


def test_reasons_are_those_of_the_protos():
    names = {name.removeprefix(PREFIX) for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118 - no mapping
    assert {reason.value for reason in errors.Reason} == names - {"UNSPECIFIED"}
    assert all(reason.name == reason.value for reason in errors.Reason)


def test_every_reason_says_its_status():
    assert set(documented_statuses()) == {reason.value for reason in errors.Reason}
    known = {code.name for code in grpc.StatusCode}
    assert set(documented_statuses().values()) <= known


@pytest.mark.parametrize("cls", sorted(STATUS, key=lambda c: c.__name__), ids=lambda c: c.__name__)
def test_default_reason_travels_with_its_status(cls):
    assert documented_statuses()[cls.default_reason.value] == STATUS[cls].name


def test_reasons_are_raised_with_the_status_that_they_document():
    documented = documented_statuses()
    found = list(raised())
    assert len(found) > 30
    wrong = [
        f"{place}: {name} with {reason}, which is documented as {documented[reason]}"
        for place, name, reason in found
        if STATUS[getattr(errors, name)].name != documented[reason]
    ]
    assert wrong == []


@pytest.mark.parametrize("path", PROTOS, ids=lambda p: p.name)
def test_everything_in_the_protos_is_documented(path):
    declaration = re.compile(r"^\s*(message|enum|service|rpc|oneof)\s+\w+|^\s*[\w. ]+\s+\w+\s*=\s*\d+(\s*\[.*\])?;")
    previous, missing = "", []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if declaration.match(line) and not previous.strip().startswith("//"):
            missing.append(f"{path.name}:{number}: {line.strip()}")
        if line.strip():
            previous = line
    assert missing == []
