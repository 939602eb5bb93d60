"""Bad filters, orderings, page tokens, page sizes and masks, in each search and listing that takes them."""

from __future__ import annotations

import base64
import hashlib

import pytest
from tests.rpc.bad_input.cases import (
    EXPERIMENT_NOT_FOUND,
    FILE_NOT_FOUND,
    INVALID_FILTER,
    INVALID_NAME,
    INVALID_PAGE_TOKEN,
    INVALID_VALUE,
    LIMIT_EXCEEDED,
    REGISTERED_MODEL_NOT_FOUND,
    Case,
    bad,
    flipped,
)
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.world import NAME, OWNER, RUN, World

RUNS, STREAM = "RunService/SearchRuns", "RunService/StreamRuns"
EXPERIMENTS, MODELS = "ExperimentService/SearchExperiments", "ModelService/SearchLoggedModels"
REGISTERED, VERSIONS = "ModelRegistryService/SearchRegisteredModels", "ModelRegistryService/SearchModelVersions"
DATASETS, LISTED = "ExperimentService/ListDatasets", "ArtifactService/ListFiles"
CHANGES, BLOCKS = "ModelRegistryService/ListRegistryHistory", "ArtifactService/ListFileBlocks"
WHERE = {RUNS: {"experiment_ids": ["0"]}, STREAM: {"experiment_ids": ["0"]}, MODELS: {"experiment_ids": ["0"]}}
SEARCHES = [RUNS, STREAM, EXPERIMENTS, MODELS, REGISTERED, VERSIONS]


def filtered(what, filter_, outcome=INVALID_FILTER, method=RUNS):
    return bad(method, f"filter-{what}", {**WHERE.get(method, {}), "filter": filter_}, outcome, "filter")


def ordered(what, *order_by, outcome=INVALID_FILTER, method=RUNS):
    return bad(method, f"order-{what}", {**WHERE.get(method, {}), "order_by": order_by}, outcome, "order_by")


def token(what, method, page_token, fields=None, field="page_token"):
    fields = WHERE.get(method, {}) if fields is None else fields
    if callable(page_token):
        return bad(method, what, lambda world: {**fields, field: page_token(world)}, INVALID_PAGE_TOKEN, field)
    return bad(method, what, {**fields, field: page_token}, INVALID_PAGE_TOKEN, field)


def path_token(sequence, after, query):
    """As the server makes them, which anybody can: what one leads to is checked like a request."""
    fingerprint = hashlib.sha256(query.encode()).hexdigest()[:16]
    return base64.urlsafe_b64encode(f"{sequence}\0{fingerprint}\0{after}".encode()).decode()


FILTERS = [
    filtered("statement", "metrics.m < 1; DROP TABLE runs"),
    filtered("union", "params.p = '1' UNION SELECT * FROM requests"),
    filtered("comment", "params.p = '1' -- "),
    filtered("always-true", "1 = 1"),
    filtered("or", "params.p = '1' OR params.p = '2'"),
    filtered("not", "NOT params.p = '1'"),
    filtered("parentheses", "(params.p = '1')"),
    filtered("nested-a-thousand-times", "(" * 1_000 + "params.p = '1'" + ")" * 1_000),
    filtered("unclosed-quote", "params.p = '1"),
    filtered("unclosed-backtick", "params.`p = '1'"),
    filtered("lone-quote", "'"),
    filtered("only-and", "AND"),
    filtered("ends-with-and", "params.p = '1' AND"),
    filtered("nul", "params.p\0 = '1'"),
    filtered("escape-character", "\x1b[2J"),
    filtered("fullwidth-comparison", "metrics.m \uff1c 1"),
    filtered("reversed", "\u202eparams.p = '1'"),
    filtered("unknown-attribute", "attributes.password = 'x'"),
    filtered("unknown-kind", "secrets.a = 'x'"),
    filtered("column-of-the-database", "runs.rowid = 1"),
    filtered("no-key", "metrics. < 1"),
    filtered("no-value", "metrics.m <"),
    filtered("value-of-a-metric-in-quotes", "metrics.m < '1'"),
    filtered("value-of-a-param-bare", "params.p = 1"),
    filtered("nan", "metrics.m = nan"),
    filtered("hexadecimal", "metrics.m = 0x10"),
    filtered("arabic-digit", "metrics.m = \u0661"),
    filtered("fullwidth-digits", "start_time > \uff11\uff12"),
    filtered("number-of-two-points", "metrics.m = 1.2.3"),
    filtered("point-alone", "metrics.m = ."),
    filtered("byte-order-mark", "\ufeffparams.p = '1'"),
    filtered("metric-like", "metrics.m LIKE '1'"),
    filtered("long-key-with-wrong-operator", f"metrics.`{'k' * 16_000}` LIKE '1'"),
    filtered("control-key-with-wrong-operator", "metrics.`\x1b[2J\u202e` LIKE '1'"),
    filtered("is-nothing", "params.p IS 1"),
    filtered("in-without-list", "run_id IN 'a'"),
    filtered("in-empty", "run_id IN ()"),
    filtered("in-unclosed", "run_id IN ('a', 'b'"),
    filtered("in-nested", "run_id IN (('a'))"),
    filtered("pattern-too-long", f"params.p LIKE '{'%a' * 501}'"),
    filtered("too-many-conditions", " AND ".join(["params.p = '1'"] * 101)),
    filtered("too-long", "params.p = '" + "v" * (16 << 10) + "'", LIMIT_EXCEEDED),
    filtered("digits-and-a-letter", "metrics.m < " + "1" * 16_000 + "a"),
    filtered("dataset-key", "dataset.secret = 'x'"),
    filtered("status-unknown", "attributes.state = 'x'", method=STREAM),
    filtered("metrics", "metrics.m < 1", method=EXPERIMENTS),
    filtered("params", "params.p = '1'", method=REGISTERED),
    filtered("datasets", "dataset.name = 'x'", method=MODELS),
    filtered("version-as-text", "version_number = 'x'", method=VERSIONS),
    *(filtered("quote", "name = ''' OR ''1''=''1", method=method) for method in SEARCHES if method != STREAM),
]
ORDERINGS = [
    ordered("empty", ""),
    ordered("statement", "metrics.m ASC; DROP TABLE runs"),
    ordered("two-keys", "metrics.m, params.p"),
    ordered("direction-unknown", "metrics.m UPWARDS"),
    ordered("function", "random()"),
    ordered("dataset", "dataset.name"),
    ordered("number", "1"),
    ordered("too-long", "metrics." + "m" * 1_024),
    ordered("too-many", *["metrics.m"] * 11, outcome=LIMIT_EXCEEDED),
    ordered("dataset-without-a-name", "metrics.m DATASET", method=MODELS),
    ordered("dataset-name-empty", "metrics.m DATASET ''", method=MODELS),
    ordered("digest-without-a-text", "metrics.m DATASET 'd' DIGEST 1", method=MODELS),
    *(ordered("unknown", "attributes.password DESC", method=method) for method in SEARCHES),
]
TOKENS = [
    *(token("token-forged", method, "AAAA") for method in SEARCHES if method != STREAM),
    token("token-not-base64", RUNS, "!!!"),
    token("token-not-ascii", RUNS, "\u00e9\u202e"),
    token("token-of-a-megabyte", RUNS, "A" * (1 << 20)),
    token(
        "token-of-another-page-size-and-filter",
        RUNS,
        lambda world: world.tokens["SearchRuns"],
        {"experiment_ids": ["0"], "view_type": 3, "filter": "metrics.m < 1"},
    ),
    token("token-of-another-view", RUNS, lambda world: world.tokens["SearchRuns"]),
    token(
        "token-of-another-order",
        RUNS,
        lambda world: world.tokens["SearchRuns"],
        {"experiment_ids": ["0"], "view_type": 3, "order_by": ["run_name"]},
    ),
    token("token-of-another-search", EXPERIMENTS, lambda world: world.tokens["SearchRuns"]),
    token("token-cut", RUNS, lambda world: world.tokens["SearchRuns"][:-4], {"experiment_ids": ["0"], "view_type": 3}),
    token(
        "token-one-bit-off",
        RUNS,
        lambda world: flipped(world.tokens["SearchRuns"]),
        {"experiment_ids": ["0"], "view_type": 3},
    ),
    token("token-that-is-a-cursor", RUNS, lambda world: world.tokens["WatchRun"], {"experiment_ids": ["0"]}),
    token(
        "token-of-another-key",
        "RunService/ListMetricHistory",
        lambda world: world.tokens["ListMetricHistory"],
        {"run_id": RUN, "key": "n"},
    ),
    token(
        "token-of-other-steps",
        "RunService/ListMetricHistory",
        lambda world: world.tokens["ListMetricHistory"],
        {"run_id": RUN, "key": "m", "min_step": 0},
    ),
    token("token-of-another-name", CHANGES, lambda world: world.tokens["ListRegistryHistory"], {"name": "other"}),
    token("token-forged", CHANGES, "AAAA", {"name": NAME}),
    token("token-forged", DATASETS, "AAAA", {"experiment_ids": ["0"]}),
    token("resume-token-forged", STREAM, "AAAA", field="resume_token"),
    token(
        "resume-token-of-another-filter",
        STREAM,
        lambda world: world.tokens["StreamRuns"],
        {"experiment_ids": ["0"], "filter": "metrics.m < 1"},
        "resume_token",
    ),
    token("token-forged", LISTED, "AAAA", {"owner": OWNER}),
    token("token-of-another-path", LISTED, lambda world: world.tokens["ListFiles"], {"owner": OWNER, "path": "dir"}),
    token("token-recursive", LISTED, lambda world: world.tokens["ListFiles"], {"owner": OWNER, "recursive": True}),
    token("token-with-a-huge-snapshot", LISTED, path_token(10**30, "a", f"{RUN}\0\0False"), {"owner": OWNER}),
    token("token-with-a-negative-snapshot", LISTED, path_token(-1, "a", f"{RUN}\0\0False"), {"owner": OWNER}),
    bad(
        LISTED,
        "token-of-a-snapshot-to-come",
        {"owner": OWNER, "page_token": path_token(10**6, "a", f"{RUN}\0\0False")},
        FILE_NOT_FOUND,
    ),
    token(
        "token-with-a-huge-position",
        BLOCKS,
        path_token(1, 10**30, f"{RUN}\0dir/file\0blocks"),
        {"owner": OWNER, "path": "dir/file"},
    ),
    token(
        "token-with-a-negative-position",
        BLOCKS,
        path_token(1, -1, f"{RUN}\0dir/file\0blocks"),
        {"owner": OWNER, "path": "dir/file"},
    ),
    token(
        "token-without-a-position",
        BLOCKS,
        path_token(1, "x", f"{RUN}\0dir/file\0blocks"),
        {"owner": OWNER, "path": "dir/file"},
    ),
]
SIZES = [
    *(
        bad(method, f"page-{what}", {**fields, "page_size": size}, outcome, "page_size")
        for method, fields, largest in (
            (RUNS, {"experiment_ids": ["0"]}, 50_000),
            (EXPERIMENTS, {}, 50_000),
            (MODELS, {"experiment_ids": ["0"]}, 10_000),
            (REGISTERED, {}, 1_000),
            (VERSIONS, {}, 10_000),
            (DATASETS, {"experiment_ids": ["0"]}, 10_000),
            (CHANGES, {"name": NAME}, 1_000),
            (LISTED, {"owner": OWNER}, 10_000),
            (BLOCKS, {"owner": OWNER, "path": "dir/file"}, 65_536),
        )
        for what, size, outcome in (
            ("negative", -1, INVALID_VALUE),
            ("too-large", largest + 1, LIMIT_EXCEEDED),
        )
    ),
]
SCOPES = [
    bad(RUNS, "nowhere", {}, INVALID_VALUE, "experiment_ids"),
    bad(
        RUNS,
        "everywhere-and-somewhere",
        {"experiment_ids": ["0"], "all_experiments": True},
        INVALID_VALUE,
        "experiment_ids",
    ),
    bad(RUNS, "experiment-malformed", {"experiment_ids": ["0", "0x1"]}, INVALID_NAME, "experiment_ids"),
    bad(RUNS, "experiments-too-many", {"experiment_ids": ["0"] * 10_001}, LIMIT_EXCEEDED, "experiment_ids"),
    bad(RUNS, "view-unknown", {"experiment_ids": ["0"], "view_type": 4}, INVALID_VALUE, "view_type"),
    bad(STREAM, "view-negative", {"experiment_ids": ["0"], "view_type": -1}, INVALID_VALUE, "view_type"),
    bad(RUNS, "field-unknown", {"experiment_ids": ["0"], "fields": ["metrics.m", "secrets"]}, INVALID_VALUE, "fields"),
    bad(RUNS, "field-key-empty", {"experiment_ids": ["0"], "fields": ["metrics."]}, INVALID_NAME, "fields"),
    bad(RUNS, "field-key-of-inputs", {"experiment_ids": ["0"], "fields": ["model_inputs.a"]}, INVALID_VALUE, "fields"),
    bad(RUNS, "fields-too-many", {"experiment_ids": ["0"], "fields": ["metrics"] * 1_001}, LIMIT_EXCEEDED, "fields"),
    bad(STREAM, "field-with-nul", {"experiment_ids": ["0"], "fields": ["metrics.\0"]}, INVALID_NAME, "fields"),
    bad(EXPERIMENTS, "view-unknown", {"view_type": 99}, INVALID_VALUE, "view_type"),
    bad(MODELS, "nowhere", {}, INVALID_VALUE, "experiment_ids"),
    bad(MODELS, "run-malformed", {"source_run_id": "x"}, INVALID_NAME, "source_run_id"),
    bad(
        MODELS,
        "dataset-without-a-name",
        {"experiment_ids": ["0"], "datasets": [{"digest": "d"}]},
        INVALID_VALUE,
        "datasets.name",
    ),
    bad(
        MODELS,
        "datasets-too-many",
        {"experiment_ids": ["0"], "datasets": [{"name": "d"}] * 101},
        LIMIT_EXCEEDED,
        "datasets",
    ),
    bad(MODELS, "field-unknown", {"experiment_ids": ["0"], "fields": ["dataset_inputs"]}, INVALID_VALUE, "fields"),
    bad(DATASETS, "nowhere", {}, INVALID_VALUE, "experiment_ids"),
    bad(DATASETS, "experiment-malformed", {"experiment_ids": [""]}, INVALID_NAME, "experiment_ids"),
    bad(CHANGES, "version-negative", {"name": NAME, "version": -1}, INVALID_VALUE, "version"),
    bad(CHANGES, "name-empty", {}, INVALID_NAME, "name"),
    bad(CHANGES, "name-unknown", {"name": "nobody"}, REGISTERED_MODEL_NOT_FOUND),
    bad("ExperimentService/WatchExperiment", "unknown", {"experiment_id": "999"}, EXPERIMENT_NOT_FOUND),
]


@pytest.mark.parametrize("case", [*FILTERS, *ORDERINGS, *TOKENS, *SIZES, *SCOPES])
def test_bad_searches_and_listings_are_refused(any_world: World, case: Case) -> None:
    check_refused(any_world, case)
