"""Bad input to RunService: ids, names, metric keys and values, timestamps, links and positions."""

from __future__ import annotations

import pytest
from tests.rpc.bad_input.cases import (
    ALREADY_EXISTS,
    CONFLICT,
    DELETED,
    EXPERIMENT_NOT_FOUND,
    INVALID_CURSOR,
    INVALID_NAME,
    INVALID_PAGE_TOKEN,
    INVALID_VALUE,
    LIMIT_EXCEEDED,
    MODEL_NOT_FOUND,
    PARAM_IMMUTABLE,
    REQUEST_ID_REUSED,
    RUN_NOT_FOUND,
    TAG_NOT_FOUND,
    Case,
    bad,
)
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.world import (
    DELETED_EXPERIMENT,
    DELETED_RUN,
    NO_EXPERIMENT,
    NO_MODEL,
    NO_RUN,
    RUN,
    USED_REQUEST_ID,
    World,
)

CREATE, UPDATE, LOG = "RunService/CreateRun", "RunService/UpdateRun", "RunService/LogBatch"
INPUTS, OUTPUTS = "RunService/LogInputs", "RunService/LogOutputs"
CHART, HISTORY, POINTS = "RunService/GetMetricChart", "RunService/ListMetricHistory", "RunService/ListMetricPoints"
BIG = (1 << 63) - 1


def log(what, outcome, field="", **batch):
    return bad(LOG, what, {"run_id": RUN, **batch}, outcome, field)


def point(what, outcome, field="metrics", **metric):
    return log(what, outcome, field, metrics=[{"key": "m", "value": 1.0}, {"key": "m", **metric}])


def columns(what, outcome, field, **metric_columns):
    return log(what, outcome, f"metric_columns{field}", metric_columns=metric_columns)


IDS = [
    bad("RunService/GetRun", "id-empty", {}, RUN_NOT_FOUND),
    bad("RunService/GetRun", "id-upper-case", {"run_id": RUN.upper()}, RUN_NOT_FOUND),
    bad("RunService/GetRun", "id-with-newline", {"run_id": RUN + "\n"}, RUN_NOT_FOUND),
    bad("RunService/GetRun", "id-fullwidth-digits", {"run_id": "\uff11" * 32}, RUN_NOT_FOUND),
    bad("RunService/GetRun", "id-of-a-megabyte", {"run_id": "a" * (1 << 20)}, RUN_NOT_FOUND),
    bad("RunService/GetRun", "id-of-control-characters", {"run_id": "\x1b[2J\u202e\0"}, RUN_NOT_FOUND),
    bad("RunService/GetRun", "id-of-a-statement", {"run_id": "' OR 1=1 --"}, RUN_NOT_FOUND),
    bad("RunService/GetRun", "id-unknown", {"run_id": NO_RUN}, RUN_NOT_FOUND),
    bad("RunService/DeleteRun", "id-unknown", {"run_id": NO_RUN}, RUN_NOT_FOUND),
    bad("RunService/RestoreRun", "id-empty", {}, RUN_NOT_FOUND),
    bad(UPDATE, "id-unknown", {"run_id": NO_RUN, "run_name": "x"}, RUN_NOT_FOUND),
    bad(UPDATE, "deleted", {"run_id": DELETED_RUN, "run_name": "x"}, DELETED),
    bad(LOG, "id-unknown", {"run_id": NO_RUN, "metrics": [{"key": "m"}]}, RUN_NOT_FOUND),
    bad(LOG, "deleted", {"run_id": DELETED_RUN, "metrics": [{"key": "m"}]}, DELETED),
    bad(INPUTS, "deleted", {"run_id": DELETED_RUN}, DELETED),
    bad(OUTPUTS, "id-unknown", {"run_id": NO_RUN}, RUN_NOT_FOUND),
    bad(CHART, "id-unknown", {"run_id": NO_RUN, "key": "m"}, RUN_NOT_FOUND),
    bad(HISTORY, "id-empty", {"key": "m"}, RUN_NOT_FOUND),
    bad(POINTS, "id-unknown", {"run_id": NO_RUN}, RUN_NOT_FOUND),
    bad("RunService/WatchRun", "id-unknown", {"run_id": NO_RUN}, RUN_NOT_FOUND),
    bad("RunService/WatchRun", "type-unknown", {"run_id": RUN, "types": [99]}, INVALID_VALUE, "types"),
    bad("RunService/WatchRun", "type-negative", {"run_id": RUN, "types": [1, -1]}, INVALID_VALUE, "types"),
    bad("RunService/WatchRun", "type-unspecified", {"run_id": RUN, "types": [0]}, INVALID_VALUE, "types"),
    bad("RunService/WatchRun", "cursor-forged", {"run_id": RUN, "cursor": "AAAA"}, INVALID_CURSOR, "cursor"),
    bad("RunService/WatchRun", "cursor-of-control", {"run_id": RUN, "cursor": "\0\u202e"}, INVALID_CURSOR, "cursor"),
    bad(
        "RunService/WatchRun",
        "cursor-of-another-run",
        lambda world: {"run_id": DELETED_RUN, "cursor": world.tokens["WatchRun"]},
        INVALID_CURSOR,
        "cursor",
    ),
    bad(
        "RunService/WatchRun",
        "cursor-that-is-a-page-token",
        lambda world: {"run_id": RUN, "cursor": world.tokens["SearchRuns"]},
        INVALID_CURSOR,
        "cursor",
    ),
    # Of a field that comes twice the last counts, for checks as for what is done.
    bad("RunService/GetRun", "id-twice", b"\x0a\x20" + RUN.encode() + b"\x0a\x20" + NO_RUN.encode(), RUN_NOT_FOUND),
    bad("RunService/RenewLeases", "id-with-nul", {"run_ids": [RUN, "\0"]}, INVALID_NAME, "run_ids"),
    bad("RunService/RenewLeases", "too-many", {"run_ids": [RUN] * 1_001}, LIMIT_EXCEEDED, "run_ids"),
]

CREATING = [
    bad(CREATE, "id-short", {"run_id": "ab"}, INVALID_NAME, "run_id"),
    bad(CREATE, "id-upper-case", {"run_id": "AB" * 16}, INVALID_NAME, "run_id"),
    bad(CREATE, "id-taken-by-another-user", {"run_id": RUN, "user_id": "mallory"}, ALREADY_EXISTS, "run_id"),
    bad(CREATE, "experiment-unknown", {"experiment_id": NO_EXPERIMENT}, EXPERIMENT_NOT_FOUND),
    bad(CREATE, "experiment-deleted", {"experiment_id": DELETED_EXPERIMENT}, DELETED),
    bad(CREATE, "experiment-negative", {"experiment_id": "-1"}, INVALID_NAME, "experiment_id"),
    bad(CREATE, "experiment-of-19-digits", {"experiment_id": "9" * 19}, INVALID_NAME, "experiment_id"),
    bad(CREATE, "experiment-arabic-digit", {"experiment_id": "\u0661"}, INVALID_NAME, "experiment_id"),
    bad(CREATE, "experiment-with-statement", {"experiment_id": "0; DROP TABLE runs"}, INVALID_NAME, "experiment_id"),
    bad(CREATE, "name-of-spaces", {"run_name": "  \u3000"}, INVALID_NAME, "run_name"),
    bad(CREATE, "name-with-nul", {"run_name": "a\0b"}, INVALID_NAME, "run_name"),
    bad(CREATE, "name-with-escape", {"run_name": "\x1b[31mred"}, INVALID_NAME, "run_name"),
    bad(CREATE, "name-with-c1", {"run_name": "a\x9bb"}, INVALID_NAME, "run_name"),
    bad(CREATE, "name-reversed", {"run_name": "a\u202egpj"}, INVALID_NAME, "run_name"),
    bad(CREATE, "name-too-long", {"run_name": "n" * 251}, LIMIT_EXCEEDED, "run_name"),
    bad(CREATE, "user-too-long", {"user_id": "n" * 257}, LIMIT_EXCEEDED, "user_id"),
    bad(CREATE, "user-with-newline", {"user_id": "ada\nroot"}, INVALID_NAME, "user_id"),
    bad(
        CREATE,
        "name-and-tag-differ",
        {"run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]},
        INVALID_VALUE,
        "run_name",
    ),
    bad(CREATE, "tag-key-empty", {"tags": [{"value": "v"}]}, INVALID_NAME, "tags"),
    bad(CREATE, "tag-key-elsewhere", {"tags": [{"key": "../a"}]}, INVALID_NAME, "tags"),
    bad(CREATE, "tags-too-many", {"tags": [{"key": f"k{i}"} for i in range(101)]}, LIMIT_EXCEEDED, "tags"),
    bad(CREATE, "start-nanos-negative", {"start_time": {"nanos": -1}}, INVALID_VALUE, "start_time"),
    bad(CREATE, "start-nanos-a-second", {"start_time": {"nanos": 1_000_000_000}}, INVALID_VALUE, "start_time"),
    bad(CREATE, "start-after-9999", {"start_time": {"seconds": 253_402_300_800}}, INVALID_VALUE, "start_time"),
    bad(CREATE, "start-before-year-1", {"start_time": {"seconds": -62_135_596_801}}, INVALID_VALUE, "start_time"),
    bad(CREATE, "start-largest", {"start_time": {"seconds": BIG}}, INVALID_VALUE, "start_time"),
    bad(CREATE, "request-id-with-space", {"request_id": "a b"}, INVALID_NAME, "request_id"),
    bad(CREATE, "request-id-not-ascii", {"request_id": "\u00e9"}, INVALID_NAME, "request_id"),
    bad(CREATE, "request-id-with-newline", {"request_id": "a\n"}, INVALID_NAME, "request_id"),
    bad(CREATE, "request-id-too-long", {"request_id": "r" * 129}, INVALID_NAME, "request_id"),
    bad(CREATE, "request-id-of-another-call", {"request_id": USED_REQUEST_ID}, REQUEST_ID_REUSED, "request_id"),
]

CHANGING = [
    bad(UPDATE, "status-unknown", {"run_id": RUN, "status": 6}, INVALID_VALUE, "status"),
    bad(UPDATE, "status-negative", {"run_id": RUN, "status": -1}, INVALID_VALUE, "status"),
    bad(UPDATE, "status-largest", {"run_id": RUN, "status": (1 << 31) - 1}, INVALID_VALUE, "status"),
    bad(UPDATE, "name-empty", {"run_id": RUN, "run_name": ""}, INVALID_NAME, "run_name"),
    bad(
        UPDATE,
        "running-with-an-end",
        {"run_id": RUN, "status": 1, "end_time": {"seconds": 1}},
        INVALID_VALUE,
        "end_time",
    ),
    bad(UPDATE, "end-nanos-negative", {"run_id": RUN, "end_time": {"nanos": -5}}, INVALID_VALUE, "end_time"),
    bad(UPDATE, "lost-and-ended", {"run_id": RUN, "status": 3, "lost": True}, INVALID_VALUE, "lost"),
]

LOGGING = [
    point("key-empty", INVALID_NAME, key=""),
    point("key-with-nul", INVALID_NAME, key="a\0"),
    point("key-with-newline", INVALID_NAME, key="a\n"),
    point("key-absolute", INVALID_NAME, key="/a"),
    point("key-emoji", INVALID_NAME, key="\U0001f600"),
    point("key-reversed", INVALID_NAME, key="a\u202eb"),
    point("key-too-long", LIMIT_EXCEEDED, key="k" * 251),
    point("time-nanos-negative", INVALID_VALUE, "metrics.timestamp", timestamp={"nanos": -1}),
    point("time-after-9999", INVALID_VALUE, "metrics.timestamp", timestamp={"seconds": 253_402_300_800}),
    point("time-least", INVALID_VALUE, "metrics.timestamp", timestamp={"seconds": -(1 << 63)}),
    point("model-unknown", MODEL_NOT_FOUND, "", model_id=NO_MODEL),
    point("model-malformed", MODEL_NOT_FOUND, "", model_id="m-\0"),
    point("dataset-name-too-long", LIMIT_EXCEEDED, "metrics.dataset_name", dataset_name="d" * 501),
    point("dataset-digest-too-long", LIMIT_EXCEEDED, "metrics.dataset_digest", dataset_digest="d" * 37),
    log("metrics-too-many", LIMIT_EXCEEDED, "metrics", metrics=[{"key": "m"}] * 1_001),
    log("too-large", LIMIT_EXCEEDED, params=[{"key": f"p{i}", "value": "v" * 6_000} for i in range(180)]),
    log("param-another-value", PARAM_IMMUTABLE, "params", params=[{"key": "p", "value": "2"}]),
    log("param-twice", INVALID_VALUE, "params", params=[{"key": "q", "value": "2"}] * 2),
    log("param-key-dots", INVALID_NAME, "params", params=[{"key": "a/../b"}]),
    log("param-too-long", LIMIT_EXCEEDED, "params", params=[{"key": "q", "value": "v" * 6_001}]),
    log("tag-too-long", LIMIT_EXCEEDED, "tags", tags=[{"key": "q", "value": "v" * 8_001}]),
    log("tag-of-the-name-empty", INVALID_NAME, "tags", tags=[{"key": "mlflow.runName"}]),
    log("removes-the-name", INVALID_VALUE, "deleted_tag_keys", deleted_tag_keys=["mlflow.runName"]),
    log("removes-what-is-not-there", TAG_NOT_FOUND, deleted_tag_keys=["t", "nope"]),
    log("sets-and-removes", INVALID_VALUE, "deleted_tag_keys", tags=[{"key": "t"}], deleted_tag_keys=["t"]),
    log("writer-with-space", INVALID_NAME, "writer_id", writer_id="a b"),
    log("writer-position-negative", INVALID_VALUE, "writer_sequence", writer_id="w", writer_sequence=-1),
    log("writer-position-largest", INVALID_VALUE, "writer_sequence", writer_id="w", writer_sequence=BIG),
    log("writer-position-after-a-gap", CONFLICT, writer_id="w", writer_sequence=1, metrics=[{"key": "m"}]),
    log("position-without-a-writer", INVALID_VALUE, "writer_id", writer_sequence=5, metrics=[{"key": "m"}]),
    log("request-id-of-another-batch", REQUEST_ID_REUSED, "request_id", request_id=USED_REQUEST_ID),
    columns("no-series", INVALID_VALUE, ".series_positions", values=[1.0]),
    columns(
        "series-not-there",
        INVALID_VALUE,
        ".series_positions",
        values=[1.0],
        series=[{"key": "m"}],
        series_positions=[(1 << 32) - 1],
    ),
    columns("steps-short", INVALID_VALUE, ".steps", values=[1.0, 2.0], series=[{"key": "m"}], steps=[1]),
    columns("steps-without-values", INVALID_VALUE, ".steps", series=[{"key": "m"}], steps=[1]),
    columns(
        "time-after-9999",
        INVALID_VALUE,
        ".times_ms",
        values=[1.0],
        series=[{"key": "m"}],
        times_ms=[253_402_300_800_000],
    ),
    columns("key-elsewhere", INVALID_NAME, ".series", values=[1.0], series=[{"key": "a//b"}]),
    columns("too-many", LIMIT_EXCEEDED, "", values=[1.0] * 1_001, series=[{"key": "m"}]),
]

LINKING = [
    bad(INPUTS, "no-dataset", {"run_id": RUN, "datasets": [{}]}, INVALID_NAME, "datasets.name"),
    bad(
        INPUTS, "no-digest", {"run_id": RUN, "datasets": [{"dataset": {"name": "d"}}]}, INVALID_NAME, "datasets.digest"
    ),
    bad(
        INPUTS,
        "source-type-too-long",
        {"run_id": RUN, "datasets": [{"dataset": {"name": "d", "digest": "d", "source_type": "s" * 501}}]},
        LIMIT_EXCEEDED,
        "datasets.source_type",
    ),
    bad(
        INPUTS,
        "label-without-key",
        {"run_id": RUN, "datasets": [{"dataset": {"name": "d", "digest": "d"}, "tags": [{"value": "v"}]}]},
        INVALID_NAME,
        "tags",
    ),
    bad(
        INPUTS,
        "datasets-too-many",
        {"run_id": RUN, "datasets": [{"dataset": {"name": "d", "digest": "d"}}] * 101},
        LIMIT_EXCEEDED,
        "datasets",
    ),
    bad(INPUTS, "models-too-many", {"run_id": RUN, "models": [{"model_id": NO_MODEL}] * 101}, LIMIT_EXCEEDED, "models"),
    bad(INPUTS, "model-unknown", {"run_id": RUN, "models": [{"model_id": NO_MODEL}]}, MODEL_NOT_FOUND),
    bad(INPUTS, "model-empty", {"run_id": RUN, "models": [{}]}, MODEL_NOT_FOUND),
    bad(OUTPUTS, "model-malformed", {"run_id": RUN, "models": [{"model_id": "m-" + "G" * 32}]}, MODEL_NOT_FOUND),
    bad(
        OUTPUTS, "models-too-many", {"run_id": RUN, "models": [{"model_id": NO_MODEL}] * 101}, LIMIT_EXCEEDED, "models"
    ),
]

READING = [
    bad("RunService/GetRun", "token-forged", {"run_id": RUN, "page_token": "AAAA"}, INVALID_PAGE_TOKEN, "page_token"),
    bad(POINTS, "position-negative", {"run_id": RUN, "start_position": -1}, INVALID_VALUE, "start_position"),
    bad(POINTS, "page-too-large", {"run_id": RUN, "page_size": 25_001}, LIMIT_EXCEEDED, "page_size"),
    bad(POINTS, "page-negative", {"run_id": RUN, "page_size": -1}, INVALID_VALUE, "page_size"),
    bad(HISTORY, "page-least", {"run_id": RUN, "key": "m", "page_size": -(1 << 31)}, INVALID_VALUE, "page_size"),
    bad(HISTORY, "page-largest", {"run_id": RUN, "key": "m", "page_size": (1 << 31) - 1}, LIMIT_EXCEEDED, "page_size"),
    bad(HISTORY, "key-empty", {"run_id": RUN}, INVALID_NAME, "key"),
    bad(
        HISTORY, "steps-reversed", {"run_id": RUN, "key": "m", "min_step": 2, "max_step": 1}, INVALID_VALUE, "min_step"
    ),
    bad(
        CHART,
        "steps-reversed",
        {"run_id": RUN, "key": "m", "min_step": BIG, "max_step": -BIG},
        INVALID_VALUE,
        "min_step",
    ),
    bad(CHART, "buckets-negative", {"run_id": RUN, "key": "m", "max_buckets": -1}, INVALID_VALUE, "max_buckets"),
    bad(CHART, "buckets-too-many", {"run_id": RUN, "key": "m", "max_buckets": 5_001}, LIMIT_EXCEEDED, "max_buckets"),
    bad(CHART, "key-with-quote", {"run_id": RUN, "key": "m'"}, INVALID_NAME, "key"),
]


@pytest.mark.parametrize("case", [*IDS, *CREATING, *CHANGING, *LOGGING, *LINKING, *READING])
def test_bad_input_about_runs_is_refused(any_world: World, case: Case) -> None:
    check_refused(any_world, case)
