"""Bad input to CreateWorkerToken: runs, paths, budgets, lifetimes, descriptions."""

from __future__ import annotations

import pytest
from tests.rpc.bad_input.cases import (
    DELETED,
    INVALID_PATH,
    INVALID_VALUE,
    LIMIT_EXCEEDED,
    RUN_NOT_FOUND,
    Case,
    bad,
)
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.world import DELETED_RUN, NO_RUN, RUN, World


def worker(what, outcome, field="", **fields):
    return bad("AccessService/CreateWorkerToken", what, {"run_id": RUN, **fields}, outcome, field)


WORKERS = [
    worker("run-empty", RUN_NOT_FOUND, run_id=""),
    worker("run-not-there", RUN_NOT_FOUND, run_id=NO_RUN),
    worker("run-with-escape", RUN_NOT_FOUND, run_id="\x1b[2J"),
    worker("run-deleted", DELETED, run_id=DELETED_RUN),
    worker("path-climbing", INVALID_PATH, "path_prefix", path_prefix="../x"),
    worker("path-absolute", INVALID_PATH, "path_prefix", path_prefix="/x"),
    worker("path-with-nul", INVALID_PATH, "path_prefix", path_prefix="a\0b"),
    worker("path-ending-in-slash", INVALID_PATH, "path_prefix", path_prefix="logs/"),
    worker("budget-zero", INVALID_VALUE, "byte_budget", byte_budget=0),
    worker("budget-negative", INVALID_VALUE, "byte_budget", byte_budget=-1),
    worker("budget-largest", INVALID_VALUE, "byte_budget", byte_budget=(1 << 63) - 1),
    worker("lifetime-zero", LIMIT_EXCEEDED, "lifetime", lifetime={}),
    worker("lifetime-too-short", LIMIT_EXCEEDED, "lifetime", lifetime={"seconds": 59}),
    worker("lifetime-too-long", LIMIT_EXCEEDED, "lifetime", lifetime={"seconds": 86_401}),
    worker("lifetime-negative", INVALID_VALUE, "lifetime", lifetime={"seconds": -60}),
    worker("lifetime-of-mixed-signs", INVALID_VALUE, "lifetime", lifetime={"seconds": 60, "nanos": -1}),
    worker("lifetime-largest", INVALID_VALUE, "lifetime", lifetime={"seconds": (1 << 63) - 1}),
    worker("description-too-long", LIMIT_EXCEEDED, "description", description="d" * 501),
    worker("description-with-newline", INVALID_VALUE, "description", description="a\nb"),
]


@pytest.mark.parametrize("case", WORKERS)
def test_bad_input_about_tokens_of_workers_is_refused(any_world: World, case: Case) -> None:
    check_refused(any_world, case)
