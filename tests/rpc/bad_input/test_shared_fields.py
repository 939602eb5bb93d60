"""Bad input in fields that many methods have: request ids, users, tags, owners, snapshots."""

from __future__ import annotations

import pytest
from tests.rpc.bad_input.cases import (
    FILE_NOT_FOUND,
    INVALID_NAME,
    INVALID_VALUE,
    LIMIT_EXCEEDED,
    MODEL_NOT_FOUND,
    RUN_NOT_FOUND,
    Case,
    bad,
)
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.world import ALIAS, EXPERIMENT, MODEL, NAME, NO_MODEL, OWNER, PENDING_MODEL, RUN, World

A, E, M, R, RUNS = "ArtifactService", "ExperimentService", "ModelService", "ModelRegistryService", "RunService"
# What each mutation would accept, were it not for the one field.
RIGHT = {
    f"{A}/DeleteFiles": {"owner": OWNER, "paths": ["small.txt"]},
    f"{E}/CreateExperiment": {"name": "new"},
    f"{E}/UpdateExperiment": {"experiment_id": EXPERIMENT, "name": "new"},
    f"{E}/DeleteExperiment": {"experiment_id": EXPERIMENT},
    f"{E}/RestoreExperiment": {"experiment_id": "2"},
    f"{E}/SetExperimentTags": {"experiment_id": EXPERIMENT},
    f"{R}/CreateRegisteredModel": {"name": "new"},
    f"{R}/UpdateRegisteredModel": {"name": NAME},
    f"{R}/DeleteRegisteredModel": {"name": NAME},
    f"{R}/CreateModelVersion": {"name": NAME, "source": f"models:/{MODEL}"},
    f"{R}/UpdateModelVersion": {"name": NAME, "version": 1},
    f"{R}/DeleteModelVersion": {"name": NAME, "version": 1},
    f"{R}/CopyModelVersion": {"name": NAME, "source": f"models:/{NAME}/1"},
    f"{R}/PromoteModelVersion": {"name": NAME, "version": 1, "aliases": [{"alias": "new"}]},
    f"{R}/SetAlias": {"name": NAME, "version": 1, "alias": "new"},
    f"{R}/DeleteAlias": {"name": NAME, "alias": ALIAS},
    f"{M}/CreateLoggedModel": {},
    f"{M}/FinalizeLoggedModel": {"model_id": PENDING_MODEL, "status": 2},
    f"{M}/UpdateLoggedModel": {"model_id": MODEL},
    f"{M}/DeleteLoggedModel": {"model_id": MODEL},
    f"{M}/RestoreLoggedModel": {"model_id": MODEL},
    f"{RUNS}/UpdateRun": {"run_id": RUN, "run_name": "new"},
    f"{RUNS}/DeleteRun": {"run_id": RUN},
    f"{RUNS}/RestoreRun": {"run_id": RUN},
    f"{RUNS}/LogInputs": {"run_id": RUN},
    f"{RUNS}/LogOutputs": {"run_id": RUN},
}
CREATES = [f"{R}/CreateRegisteredModel", f"{R}/CreateModelVersion", f"{M}/CreateLoggedModel"]
UPDATES = [
    f"{R}/UpdateRegisteredModel",
    f"{R}/UpdateModelVersion",
    f"{M}/UpdateLoggedModel",
    f"{R}/PromoteModelVersion",
]


def but(method, what, outcome, field, **changed):
    """What is right but for one field."""
    return bad(method, what, {**RIGHT[method], **changed}, outcome, field)


REQUEST_IDS = [
    but(method, f"request-id-{what}", INVALID_NAME, "request_id", request_id=text)
    for method in RIGHT
    for what, text in (("with-space", "a b"), ("too-long", "r" * 129), ("with-escape", "\x1b[2J"))
]
USERS = [
    but(method, f"user-{what}", outcome, "user_id", user_id=text)
    for method in RIGHT
    if method.startswith(R)
    for what, text, outcome in (
        ("with-newline", "a\nb", INVALID_NAME),
        ("reversed", "\u202eada", INVALID_NAME),
        ("too-long", "u" * 257, LIMIT_EXCEEDED),
    )
]
TAGS = [
    row
    for method, most in [*((method, 100_000) for method in (*CREATES, *UPDATES)), (f"{E}/SetExperimentTags", 20_000)]
    for row in (
        but(method, "tag-key-with-nul", INVALID_NAME, "tags", tags=[{"key": "a\0", "value": "v"}]),
        but(method, "tag-value-too-long", LIMIT_EXCEEDED, "tags", tags=[{"key": "a", "value": "v" * (most + 1)}]),
    )
]
REMOVED_TAGS = [
    row
    for method in UPDATES
    for row in (
        but(method, "removed-tag-empty", INVALID_NAME, "deleted_tag_keys", deleted_tag_keys=[""]),
        but(
            method,
            "tag-set-and-removed",
            INVALID_VALUE,
            "deleted_tag_keys",
            tags=[{"key": "a"}],
            deleted_tag_keys=["a"],
        ),
    )
]
OTHERS = [
    but(f"{R}/UpdateModelVersion", "description-too-long", LIMIT_EXCEEDED, "description", description="d" * 100_001),
    but(f"{R}/UpdateRegisteredModel", "description-too-long", LIMIT_EXCEEDED, "description", description="d" * 100_001),
    but(f"{R}/PromoteModelVersion", "description-too-long", LIMIT_EXCEEDED, "description", description="d" * 100_001),
    but(f"{R}/PromoteModelVersion", "removed-alias-expects-a-negative-version", INVALID_VALUE, "expected_version",
        removed_aliases=[{"alias": ALIAS, "expected_version": -1}]),
    but(f"{M}/CreateLoggedModel", "param-too-long", LIMIT_EXCEEDED, "params",
        params=[{"key": "a", "value": "v" * 6_001}]),
    but(f"{M}/UpdateLoggedModel", "param-key-elsewhere", INVALID_NAME, "params",
        params=[{"key": "../a", "value": "v"}]),
    but(f"{RUNS}/LogInputs", "label-key-elsewhere", INVALID_NAME, "tags", datasets=[
        {"dataset": {"name": "d", "digest": "d"}, "tags": [{"key": "a//b", "value": "v"}]}]),
    *(
        but(f"{RUNS}/LogInputs", f"{name}-too-long", LIMIT_EXCEEDED, f"datasets.{name}", datasets=[
            {"dataset": {"name": "d", "digest": "d", name: "x" * size}}])
        for name, size in (("source", 65_536), ("schema", (1 << 20) + 1), ("profile", (1 << 20) + 1))
    ),
    bad(f"{RUNS}/RestoreRun", "id-with-space", {"run_id": RUN + " "}, RUN_NOT_FOUND),
    *(
        bad(f"{RUNS}/LogBatch", f"series-{name}-bad", {"run_id": RUN, "metric_columns": {
            "values": [1.0], "series": [{"key": "m", name: text}]}}, outcome, field)
        for name, text, outcome, field in (
            ("dataset_name", "d" * 501, LIMIT_EXCEEDED, "metric_columns.series.dataset_name"),
            ("dataset_digest", "d" * 37, LIMIT_EXCEEDED, "metric_columns.series.dataset_digest"),
            ("model_id", NO_MODEL, MODEL_NOT_FOUND, ""),
        )
    ),
    bad(f"{R}/WatchRegisteredModel", "type-unknown", {"name": NAME, "types": [77]}, INVALID_VALUE, "types"),
    bad(f"{M}/SearchLoggedModels", "view-unknown", {"experiment_ids": ["0"], "view_type": 9}, INVALID_VALUE,
        "view_type"),
    *(
        bad(f"{A}/{method}", "model-unknown", {"owner": {"model_id": NO_MODEL}, "path": "a"}, MODEL_NOT_FOUND)
        for method in ("ListFiles", "ReadFile", "ReadFiles", "ListFileBlocks")
    ),
    *(
        bad(f"{A}/{method}", f"snapshot-{what}", {"owner": OWNER, "path": "small.txt", "sequence": number},
            FILE_NOT_FOUND)
        for method in ("ReadFiles", "ListFileBlocks")
        for what, number in (("negative", -1), ("largest", (1 << 63) - 1))
    ),
    bad("LiveArtifactService/ListLiveArtifacts", "model-unknown", {"owner": {"model_id": NO_MODEL}}, MODEL_NOT_FOUND),
    bad("StorageService/CollectGarbage", "purge-nanos-negative", {"purge_deleted": {"nanos": -1}}, INVALID_VALUE,
        "purge_deleted"),
    bad("StorageService/CheckStorage", "grace-nanos-negative", {"grace": {"nanos": -1}}, INVALID_VALUE, "grace"),
]  # fmt: skip


@pytest.mark.parametrize("case", [*REQUEST_IDS, *USERS, *TAGS, *REMOVED_TAGS, *OTHERS])
def test_bad_input_in_shared_fields_is_refused(any_world: World, case: Case) -> None:
    check_refused(any_world, case)
