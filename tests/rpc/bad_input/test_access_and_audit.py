"""Bad input to AccessService and AuditService: principals, roles, expiries, token ids, grants, conditions."""

from __future__ import annotations

import pytest
from tests.rpc.bad_input.cases import (
    EXPERIMENT_NOT_FOUND,
    INVALID_NAME,
    INVALID_PAGE_TOKEN,
    INVALID_VALUE,
    LIMIT_EXCEEDED,
    PRINCIPAL_NOT_FOUND,
    REGISTERED_MODEL_NOT_FOUND,
    REQUEST_ID_REUSED,
    TOKEN_NOT_FOUND,
    Case,
    bad,
    flipped,
)
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.world import (
    EXPERIMENT,
    LAST_SECOND,
    MODEL,
    NAME,
    NO_EXPERIMENT,
    PRINCIPAL,
    RUN,
    USED_REQUEST_ID,
    World,
)

A, U = "AccessService", "AuditService"
NEW_TOKEN, REVOKE, TOKENS = f"{A}/CreateToken", f"{A}/RevokeToken", f"{A}/ListTokens"
SET, DELETE, PRINCIPALS = f"{A}/SetPrincipal", f"{A}/DeletePrincipal", f"{A}/ListPrincipals"
GRANT, GRANTS = f"{A}/SetGrant", f"{A}/ListGrants"
RECORDS, SEGMENTS = f"{U}/ListAuditRecords", f"{U}/ListAuditSegments"
BIG, SMALL = (1 << 63) - 1, -(1 << 63)
UNKNOWN_ROLES = {"unknown": 6, "negative": -1, "largest": (1 << 31) - 1}
# What no principal can be called.
NO_NAMES = {
    "empty": "",
    "of-spaces": "  ",
    "with-space": "a b",
    "with-newline": "ada\n",
    "with-nul": "ada\0",
    "with-escape": "\x1b[2J",
    "reversed": "\u202eada",
    "of-another-script": "\u0430da",
    "fullwidth": "\uff41da",
    "beginning-with-a-dot": ".ada",
    "beginning-with-a-dash": "-ada",
    "with-slash": "ada/bob",
    "with-quote": "ada' OR '1'='1",
    "the-owner": "owner",
}
EXPERIMENT_RESOURCE = {"experiment_id": EXPERIMENT}


def token(what, outcome, field="", **fields):
    return bad(NEW_TOKEN, what, {"principal": PRINCIPAL, **fields}, outcome, field)


def expiry(what, **fields):
    return token(f"expiry-{what}", INVALID_VALUE, "expire_time", expire_time=fields)


def grant(what, outcome, field="", **fields):
    right = {"principal": PRINCIPAL, "resource": EXPERIMENT_RESOURCE, "role": 2}
    return bad(GRANT, what, {**right, **fields}, outcome, field)


def records(what, outcome, field, **fields):
    return bad(RECORDS, what, fields, outcome, field)


NAMES = [
    *(token(f"principal-{what}", INVALID_NAME, "principal", principal=name) for what, name in NO_NAMES.items()),
    *(bad(SET, f"name-{what}", {"name": name, "role": 2}, INVALID_NAME, "name") for what, name in NO_NAMES.items()),
    token("principal-too-long", LIMIT_EXCEEDED, "principal", principal="a" * 129),
    token("principal-of-a-megabyte", LIMIT_EXCEEDED, "principal", principal="\u202e" * (1 << 18)),
    token("principal-not-there", PRINCIPAL_NOT_FOUND, principal="nobody"),
    token("principal-of-another-case", PRINCIPAL_NOT_FOUND, principal=PRINCIPAL.upper()),
    bad(SET, "name-too-long", {"name": "a" * 129, "role": 2}, LIMIT_EXCEEDED, "name"),
    *(
        bad(DELETE, f"name-{what}", {"name": name}, PRINCIPAL_NOT_FOUND)
        for what, name in {**NO_NAMES, "not-there": "nobody", "of-a-megabyte": "\x1b" * (1 << 20)}.items()
    ),
]
ROLES = [
    *(token(f"ceiling-{w}", INVALID_VALUE, "ceiling", ceiling=number) for w, number in UNKNOWN_ROLES.items()),
    *(
        token(f"new-role-{what}", INVALID_VALUE, "new_principal_role", principal="new", new_principal_role=number)
        for what, number in UNKNOWN_ROLES.items()
    ),
    *(bad(SET, f"role-{w}", {"name": "new", "role": role}, INVALID_VALUE, "role") for w, role in UNKNOWN_ROLES.items()),
    *(grant(f"role-{what}", INVALID_VALUE, "role", role=number) for what, number in UNKNOWN_ROLES.items()),
    token("ceiling-none", INVALID_VALUE, "ceiling", ceiling=1),
    bad(SET, "role-absent", {"name": "new"}, INVALID_VALUE, "role"),
    grant("role-admin", INVALID_VALUE, "role", role=5),
]  # fmt: skip
SECRETS = [
    expiry("past", seconds=1_000_000_000),
    expiry("1970", seconds=0),
    expiry("before-1970", seconds=-1),
    expiry("year-0", seconds=-62_135_596_801),
    expiry("after-9999", seconds=LAST_SECOND + 1),
    expiry("largest", seconds=BIG),
    expiry("smallest", seconds=SMALL),
    expiry("in-milliseconds", seconds=4_102_444_800_000),
    expiry("nanos-negative", seconds=LAST_SECOND, nanos=-1),
    expiry("too-many-nanos", seconds=LAST_SECOND, nanos=1_000_000_000),
    token("description-too-long", LIMIT_EXCEEDED, "description", description="d" * 501),
    token("description-of-a-megabyte", LIMIT_EXCEEDED, "description", description="\u65e5" * (1 << 18)),
    token("description-with-newline", INVALID_VALUE, "description", description="a\nb"),
    token("description-with-nul", INVALID_VALUE, "description", description="\0"),
    token("description-with-escape", INVALID_VALUE, "description", description="\x1b]0;title\x07"),
    token("description-reversed", INVALID_VALUE, "description", description="\u202eda"),
    *(
        bad(REVOKE, f"id-{what}", {"token_id": token_id}, TOKEN_NOT_FOUND)
        for what, token_id in {
            "empty": "",
            "not-there": "0" * 16,
            "too-short": "0" * 15,
            "too-long": "0" * 17,
            "in-capitals": "ABCDEF0123456789",
            "with-newline": "0" * 16 + "\n",
            "with-quote": "' OR 1=1 --",
            "with-escape": "\x1b[2J",
            "of-a-megabyte": "f" * (1 << 20),
            "of-a-run": RUN,
        }.items()
    ),
    bad(REVOKE, "secret-for-an-id", lambda world: {"token_id": world.secrets["good"][1]}, TOKEN_NOT_FOUND),
]
GIVEN = [
    grant("resource-absent", INVALID_VALUE, "resource", resource={}),
    grant("resource-empty-id", INVALID_NAME, "experiment_id", resource={"experiment_id": ""}),
    grant("experiment-malformed", INVALID_NAME, "experiment_id", resource={"experiment_id": "../1"}),
    grant("experiment-negative", INVALID_NAME, "experiment_id", resource={"experiment_id": "-1"}),
    grant("experiment-too-large", INVALID_NAME, "experiment_id", resource={"experiment_id": "9" * 19}),
    grant("experiment-not-there", EXPERIMENT_NOT_FOUND, resource={"experiment_id": NO_EXPERIMENT}),
    grant("model-empty", REGISTERED_MODEL_NOT_FOUND, resource={"registered_model": ""}),
    grant("model-not-there", REGISTERED_MODEL_NOT_FOUND, resource={"registered_model": "nobody"}),
    grant("model-of-another-case", REGISTERED_MODEL_NOT_FOUND, resource={"registered_model": NAME.upper()}),
    grant("model-with-escape", REGISTERED_MODEL_NOT_FOUND, resource={"registered_model": "\x1b[2J"}),
    grant("model-of-a-megabyte", REGISTERED_MODEL_NOT_FOUND, resource={"registered_model": "m" * (1 << 20)}),
    grant("logged-model", REGISTERED_MODEL_NOT_FOUND, resource={"registered_model": MODEL}),
    # Field 3 of a resource, which a newer client may know.
    bad(GRANT, "resource-of-an-unknown-kind", b"\x0a\x03ada\x12\x03\x1a\x01x\x18\x02", INVALID_VALUE, "resource"),
    grant("principal-empty", PRINCIPAL_NOT_FOUND, principal=""),
    grant("principal-not-there", PRINCIPAL_NOT_FOUND, principal="nobody"),
    grant("principal-the-owner", PRINCIPAL_NOT_FOUND, principal="owner"),
    grant("principal-with-escape", PRINCIPAL_NOT_FOUND, principal="\x1b[2J"),
    bad(GRANTS, "resource-absent", {"resource": {}}, INVALID_VALUE, "resource"),
    bad(GRANTS, "experiment-not-there", {"resource": {"experiment_id": NO_EXPERIMENT}}, EXPERIMENT_NOT_FOUND),
    bad(GRANTS, "experiment-malformed", {"resource": {"experiment_id": "1e3"}}, INVALID_NAME, "experiment_id"),
    bad(GRANTS, "model-not-there", {"resource": {"registered_model": "x"}}, REGISTERED_MODEL_NOT_FOUND),
]
RIGHT = {
    REVOKE: {"token_id": "0" * 16},
    SET: {"name": "new", "role": 2},
    DELETE: {"name": PRINCIPAL},
    GRANT: {"principal": PRINCIPAL, "resource": EXPERIMENT_RESOURCE, "role": 2},
}
REQUEST_IDS = [
    # Answers are kept for each caller by itself: this was used by the one whose channel the world has.
    *(
        bad(
            method,
            "request-id-of-another-request",
            {**fields, "request_id": USED_REQUEST_ID},
            REQUEST_ID_REUSED,
            "request_id",
        )
        for method, fields in RIGHT.items()
    ),
    *(
        bad(method, f"request-id-{what}", {**fields, "request_id": text}, INVALID_NAME, "request_id")
        for method, fields in RIGHT.items()
        for what, text in (("with-space", "a b"), ("too-long", "r" * 129), ("with-escape", "\x1b[2J"))
    ),
]
PAGES = [
    *(
        bad(method, f"{what}", {"page_size": size}, outcome, "page_size")
        for method in (TOKENS, PRINCIPALS, GRANTS, RECORDS, SEGMENTS)
        for what, size, outcome in (
            ("page-size-negative", -1, INVALID_VALUE),
            ("page-size-too-large", 1_001, LIMIT_EXCEEDED),
            ("page-size-largest", (1 << 31) - 1, LIMIT_EXCEEDED),
        )
    ),
    *(
        bad(method, f"token-{what}", {"page_token": text}, INVALID_PAGE_TOKEN, "page_token")
        for method in (TOKENS, PRINCIPALS, GRANTS, RECORDS, SEGMENTS)
        for what, text in (
            ("forged", "AAAA"),
            ("not-base64", "!!!"),
            ("not-ascii", "\u00e9\u202e"),
            ("of-a-megabyte", "A" * (1 << 20)),
        )
    ),
    *(
        bad(
            method,
            f"token-of-{other}",
            lambda world, other=other: {"page_token": world.tokens[other]},
            INVALID_PAGE_TOKEN,
            "page_token",
        )
        for method in (TOKENS, PRINCIPALS, GRANTS, RECORDS, SEGMENTS)
        for other in ("ListTokens", "ListPrincipals", "ListGrants", "SearchRuns", "WatchRun")
        if not method.endswith(other)
    ),
    bad(
        TOKENS,
        "token-of-all-principals",
        lambda world: {"principal": PRINCIPAL, "page_token": world.tokens["ListTokens"]},
        INVALID_PAGE_TOKEN,
        "page_token",
    ),
    bad(
        GRANTS,
        "token-of-all-principals",
        lambda world: {"principal": PRINCIPAL, "page_token": world.tokens["ListGrants"]},
        INVALID_PAGE_TOKEN,
        "page_token",
    ),
    bad(
        GRANTS,
        "token-of-all-resources",
        lambda world: {"resource": EXPERIMENT_RESOURCE, "page_token": world.tokens["ListGrants"]},
        INVALID_PAGE_TOKEN,
        "page_token",
    ),
    bad(PRINCIPALS, "token-cut", lambda world: {"page_token": world.tokens["ListPrincipals"][:-4]}, INVALID_PAGE_TOKEN,
        "page_token"),
    bad(PRINCIPALS, "token-one-bit-off", lambda world: {"page_token": flipped(world.tokens["ListPrincipals"])},
        INVALID_PAGE_TOKEN, "page_token"),
]  # fmt: skip
CONDITIONS = [
    *(
        records(f"{field}-{what}", INVALID_VALUE, field, **{field: fields})
        for field in ("since_time", "until_time")
        for what, fields in (
            ("year-0", {"seconds": -62_135_596_801}),
            ("after-9999", {"seconds": LAST_SECOND + 1}),
            ("largest", {"seconds": BIG}),
            ("nanos-negative", {"nanos": -1}),
            ("too-many-nanos", {"nanos": 1_000_000_000}),
        )
    ),
    records("until-before-since", INVALID_VALUE, "until_time", since_time={"seconds": 2}, until_time={"seconds": 1}),
    records("until-at-since", INVALID_VALUE, "until_time", since_time={"seconds": 2}, until_time={"seconds": 2}),
    *(
        records(f"principal-{what}", INVALID_NAME, "principal", principal=name)
        for what, name in NO_NAMES.items()
        if what not in {"empty", "the-owner"}
    ),
    records("resource-too-long", LIMIT_EXCEEDED, "resource", resource="run/" + "a" * 2_045),
    records("principal-too-long", LIMIT_EXCEEDED, "principal", principal="a" * 129),
    records("method-that-changes-nothing", INVALID_VALUE, "method", method="holdfast.v1.RunService/GetRun"),
    *(
        records(f"resource-{what}", INVALID_VALUE, "resource", resource=text)
        for what, text in (
            ("without-a-kind", EXPERIMENT),
            ("of-no-name", "experiment/"),
            ("with-newline", "experiment/1\n"),
            ("with-escape", "experiment/\x1b[2J"),
            ("in-capitals", "Experiment/1"),
            ("that-is-a-uri", f"runs:/{RUN}"),
        )
    ),
    *(
        records(f"method-{what}", INVALID_VALUE, "method", method=text)
        for what, text in (
            ("without-a-package", "RunService/CreateRun"),
            ("with-a-slash-before", "/holdfast.v1.RunService/CreateRun"),
            ("unknown", "holdfast.v1.RunService/CreateRuns"),
            ("pattern", "holdfast.v1.%"),
            ("with-nul", "holdfast.v1.RunService/CreateRun\0"),
        )
    ),
]
BY_PRINCIPAL = [
    *(
        bad(method, f"principal-{what}", {"principal": name}, INVALID_NAME, "principal")
        for method in (TOKENS, GRANTS)
        for what, name in NO_NAMES.items()
        if what not in {"empty", "the-owner"}
    ),
    *(
        bad(method, "principal-too-long", {"principal": "a" * 129}, LIMIT_EXCEEDED, "principal")
        for method in (TOKENS, GRANTS)
    ),
]


@pytest.mark.parametrize("case", [*NAMES, *ROLES, *SECRETS, *GIVEN, *REQUEST_IDS, *PAGES, *CONDITIONS, *BY_PRINCIPAL])
def test_bad_input_about_access_and_the_audit_log_is_refused(any_world: World, case: Case) -> None:
    check_refused(any_world, case)
