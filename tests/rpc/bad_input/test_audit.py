"""Bad questions to the audit log."""

from __future__ import annotations

import pytest
from tests.rpc.bad_input.cases import INVALID_NAME, INVALID_PAGE_TOKEN, INVALID_VALUE, LIMIT_EXCEEDED, Case, bad
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.world import World

RECORDS, SEGMENTS = "AuditService/ListAuditRecords", "AuditService/ListAuditSegments"

FILTERS = [
    bad(RECORDS, f"{field}-{what}", {field: value}, outcome, field)
    for field, what, value, outcome in (
        ("principal", "injection", "' OR 1=1 --", INVALID_NAME),
        ("principal", "worker-without-a-token", "ada/", INVALID_NAME),
        ("principal", "worker-of-nobody", "/0123456789abcdef", INVALID_NAME),
        ("principal", "nul", "a\0b", INVALID_NAME),
        ("principal", "too-long", "p" * 129, LIMIT_EXCEEDED),
        ("resource", "without-an-id", "run/", INVALID_VALUE),
        ("resource", "of-no-kind", "secret/1", INVALID_VALUE),
        ("resource", "id-alone", "0" * 32, INVALID_VALUE),
        ("resource", "injection", "' OR 1 = 1 --", INVALID_VALUE),
        ("resource", "too-long", "run/" + "x" * 997, LIMIT_EXCEEDED),
        ("method", "name-alone", "DeleteRun", INVALID_VALUE),
        ("method", "wildcard", "holdfast.v1.RunService/%", INVALID_VALUE),
        ("method", "nul", "holdfast.v1.RunService/Delete\0Run", INVALID_VALUE),
        ("since_time", "far", {"seconds": 1 << 62}, INVALID_VALUE),
        ("since_time", "nanos", {"nanos": -2}, INVALID_VALUE),
        ("until_time", "far", {"seconds": -(1 << 62)}, INVALID_VALUE),
        ("until_time", "nanos", {"nanos": 1_000_000_001}, INVALID_VALUE),
    )
]
FILTERS.append(
    bad(RECORDS, "no-time", {"since_time": {"seconds": 9}, "until_time": {"seconds": 8}}, INVALID_VALUE, "until_time")
)
PAGES = [
    bad(method, f"{field}-{what}", {field: value}, outcome, field)
    for method in (RECORDS, SEGMENTS)
    for field, what, value, outcome in (
        ("page_size", "negative", -2, INVALID_VALUE),
        ("page_size", "too-large", 1_002, LIMIT_EXCEEDED),
        ("page_token", "forged", "AAAABBBB", INVALID_PAGE_TOKEN),
        ("page_token", "no-base64", "%%", INVALID_PAGE_TOKEN),
    )
]


@pytest.mark.parametrize("case", [*FILTERS, *PAGES])
def test_bad_questions_to_the_audit_log_are_refused(any_world: World, case: Case) -> None:
    check_refused(any_world, case)
