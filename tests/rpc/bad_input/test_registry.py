"""Bad input to ExperimentService, ModelService and ModelRegistryService: names, aliases, versions, sources, tags."""

from __future__ import annotations

import pytest
from tests.rpc.bad_input.cases import (
    ALIAS_NOT_FOUND,
    ALREADY_EXISTS,
    CONFLICT,
    DELETED,
    EXPERIMENT_NOT_FOUND,
    FILE_NOT_FOUND,
    INVALID_CURSOR,
    INVALID_NAME,
    INVALID_PAGE_TOKEN,
    INVALID_PATH,
    INVALID_VALUE,
    LIMIT_EXCEEDED,
    MODEL_FINALIZED,
    MODEL_NOT_FOUND,
    MODEL_NOT_READY,
    MODEL_VERSION_NOT_FOUND,
    REGISTERED_MODEL_NOT_FOUND,
    RUN_NOT_FOUND,
    Case,
    bad,
)
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.world import (
    ALIAS,
    DELETED_EXPERIMENT,
    DELETED_MODEL,
    DELETED_RUN,
    EXPERIMENT,
    MODEL,
    NAME,
    NO_EXPERIMENT,
    NO_MODEL,
    NO_RUN,
    PENDING_MODEL,
    RUN,
    World,
)

E, M, R = "ExperimentService", "ModelService", "ModelRegistryService"
NEW_MODEL, NEW_VERSION = f"{R}/CreateRegisteredModel", f"{R}/CreateModelVersion"
PROMOTE, COPY, SET_ALIAS, GET_VERSION = (
    f"{R}/PromoteModelVersion",
    f"{R}/CopyModelVersion",
    f"{R}/SetAlias",
    f"{R}/GetModelVersion",
)
NEW_LOGGED = f"{M}/CreateLoggedModel"
BIG = (1 << 63) - 1


def named(what, name, outcome=INVALID_NAME):
    return bad(NEW_MODEL, f"name-{what}", {"name": name}, outcome, "name")


def logged(what, name, outcome=INVALID_NAME):
    return bad(NEW_LOGGED, f"name-{what}", {"name": name}, outcome, "name")


def experiment(what, name, outcome=INVALID_NAME):
    return bad(f"{E}/CreateExperiment", f"name-{what}", {"name": name}, outcome, "name")


def alias(what, text, outcome=INVALID_NAME):
    return bad(SET_ALIAS, f"alias-{what}", {"name": NAME, "alias": text, "version": 1}, outcome, "alias")


def version(what, outcome, field="", **fields):
    """A version that cannot be registered."""
    return bad(NEW_VERSION, what, {"name": NAME, "source": f"models:/{MODEL}", **fields}, outcome, field)


def promotion(what, outcome, field="", **fields):
    return bad(PROMOTE, what, {"name": NAME, "version": 1, **fields}, outcome, field)


EXPERIMENTS = [
    experiment("empty", ""),
    experiment("of-spaces", " \t "),
    experiment("with-nul", "a\0"),
    experiment("with-escape", "a\x1b]0;title\x07"),
    experiment("reversed", "a\u202eb"),
    experiment("with-line-separator", "a\u2028b"),
    experiment("too-long", "n" * 501, LIMIT_EXCEEDED),
    experiment("taken", "second", ALREADY_EXISTS),
    experiment("taken-by-a-deleted-one", "gone", ALREADY_EXISTS),
    bad(
        f"{E}/CreateExperiment",
        "location-too-long",
        {"name": "x", "artifact_location": "l" * 2_049},
        LIMIT_EXCEEDED,
        "artifact_location",
    ),
    bad(
        f"{E}/CreateExperiment",
        "tag-too-long",
        {"name": "x", "tags": [{"key": "k", "value": "v" * 20_001}]},
        LIMIT_EXCEEDED,
        "tags",
    ),
    bad(f"{E}/GetExperiment", "neither-id-nor-name", {}, INVALID_VALUE, "selector"),
    bad(f"{E}/GetExperiment", "id-empty", {"experiment_id": ""}, INVALID_NAME, "experiment_id"),
    bad(f"{E}/GetExperiment", "id-with-leading-zero", {"experiment_id": "01"}, INVALID_NAME, "experiment_id"),
    bad(f"{E}/GetExperiment", "id-with-sign", {"experiment_id": "+1"}, INVALID_NAME, "experiment_id"),
    bad(f"{E}/GetExperiment", "id-exponent", {"experiment_id": "1e3"}, INVALID_NAME, "experiment_id"),
    bad(f"{E}/GetExperiment", "id-unknown", {"experiment_id": NO_EXPERIMENT}, EXPERIMENT_NOT_FOUND),
    bad(f"{E}/GetExperiment", "name-of-another-case", {"name": "SECOND"}, EXPERIMENT_NOT_FOUND),
    bad(f"{E}/GetExperiment", "name-of-a-megabyte", {"name": "\u202e" * (1 << 18)}, EXPERIMENT_NOT_FOUND),
    bad(f"{E}/UpdateExperiment", "name-empty", {"experiment_id": EXPERIMENT, "name": ""}, INVALID_NAME, "name"),
    bad(
        f"{E}/UpdateExperiment", "name-taken", {"experiment_id": EXPERIMENT, "name": "Default"}, ALREADY_EXISTS, "name"
    ),
    bad(f"{E}/UpdateExperiment", "deleted", {"experiment_id": DELETED_EXPERIMENT, "name": "x"}, DELETED),
    bad(f"{E}/DeleteExperiment", "default", {"experiment_id": "0"}, INVALID_VALUE, "experiment_id"),
    bad(f"{E}/DeleteExperiment", "id-malformed", {"experiment_id": "../0"}, INVALID_NAME, "experiment_id"),
    bad(f"{E}/RestoreExperiment", "unknown", {"experiment_id": NO_EXPERIMENT}, EXPERIMENT_NOT_FOUND),
    bad(
        f"{E}/SetExperimentTags",
        "key-with-quote",
        {"experiment_id": "1", "tags": [{"key": "a'b"}]},
        INVALID_NAME,
        "tags",
    ),
    bad(
        f"{E}/SetExperimentTags",
        "removes-bad-key",
        {"experiment_id": "1", "deleted_tag_keys": ["\0"]},
        INVALID_NAME,
        "deleted_tag_keys",
    ),
    bad(
        f"{E}/SetExperimentTags",
        "removes-too-many",
        {"experiment_id": "1", "deleted_tag_keys": [f"k{i}" for i in range(101)]},
        LIMIT_EXCEEDED,
        "deleted_tag_keys",
    ),
    bad(f"{E}/SetExperimentTags", "deleted", {"experiment_id": DELETED_EXPERIMENT, "tags": [{"key": "a"}]}, DELETED),
    bad(f"{E}/WatchExperiment", "type-unknown", {"experiment_id": "0", "types": [1_000]}, INVALID_VALUE, "types"),
    bad(f"{E}/WatchExperiment", "id-malformed", {"experiment_id": "x"}, INVALID_NAME, "experiment_id"),
    bad(
        f"{E}/WatchExperiment",
        "cursor-of-a-run",
        lambda world: {"experiment_id": "0", "cursor": world.tokens["WatchRun"]},
        INVALID_CURSOR,
        "cursor",
    ),
]
LOGGED_MODELS = [
    *(logged(f"with-{ord(sign):02x}", f"a{sign}b") for sign in "/:.%\"'\\\0\n\u202e\uff0f"),
    logged("of-spaces", "   "),
    logged("ends-with-space", "a "),
    logged("too-long", "n" * 251, LIMIT_EXCEEDED),
    logged("too-many-bytes", "\u65e5" * 86),
    bad(NEW_LOGGED, "id-malformed", {"model_id": "cd" * 16}, INVALID_NAME, "model_id"),
    bad(NEW_LOGGED, "id-taken-by-another-run", {"model_id": MODEL, "source_run_id": ""}, ALREADY_EXISTS, "model_id"),
    bad(NEW_LOGGED, "run-malformed", {"source_run_id": "x"}, RUN_NOT_FOUND),
    bad(NEW_LOGGED, "run-unknown", {"source_run_id": NO_RUN}, RUN_NOT_FOUND),
    bad(NEW_LOGGED, "run-deleted", {"source_run_id": DELETED_RUN}, DELETED),
    bad(NEW_LOGGED, "experiment-malformed", {"experiment_id": "x"}, INVALID_NAME, "experiment_id"),
    bad(NEW_LOGGED, "type-too-long", {"model_type": "t" * 501}, LIMIT_EXCEEDED, "model_type"),
    bad(NEW_LOGGED, "param-twice", {"params": [{"key": "a"}] * 2}, INVALID_VALUE, "params"),
    bad(f"{M}/GetLoggedModel", "id-empty", {}, MODEL_NOT_FOUND),
    bad(f"{M}/GetLoggedModel", "id-of-control-characters", {"model_id": "m-\x1b[2J"}, MODEL_NOT_FOUND),
    bad(f"{M}/GetLoggedModel", "deleted", {"model_id": DELETED_MODEL}, MODEL_NOT_FOUND),
    bad(
        f"{M}/GetLoggedModel",
        "token-forged",
        {"model_id": MODEL, "page_token": "AAAA"},
        INVALID_PAGE_TOKEN,
        "page_token",
    ),
    bad(f"{M}/FinalizeLoggedModel", "status-absent", {"model_id": PENDING_MODEL}, INVALID_VALUE, "status"),
    bad(
        f"{M}/FinalizeLoggedModel", "status-pending", {"model_id": PENDING_MODEL, "status": 1}, INVALID_VALUE, "status"
    ),
    bad(
        f"{M}/FinalizeLoggedModel", "status-unknown", {"model_id": PENDING_MODEL, "status": 4}, INVALID_VALUE, "status"
    ),
    bad(
        f"{M}/FinalizeLoggedModel",
        "message-too-long",
        {"model_id": PENDING_MODEL, "status": 3, "status_message": "m" * 5_001},
        LIMIT_EXCEEDED,
        "status_message",
    ),
    bad(f"{M}/FinalizeLoggedModel", "final", {"model_id": MODEL, "status": 3}, MODEL_FINALIZED),
    bad(f"{M}/UpdateLoggedModel", "unknown", {"model_id": NO_MODEL, "tags": [{"key": "a"}]}, MODEL_NOT_FOUND),
    bad(f"{M}/UpdateLoggedModel", "deleted", {"model_id": DELETED_MODEL, "tags": [{"key": "a"}]}, DELETED),
    bad(f"{M}/DeleteLoggedModel", "id-malformed", {"model_id": "m-"}, MODEL_NOT_FOUND),
    bad(f"{M}/RestoreLoggedModel", "unknown", {"model_id": NO_MODEL}, MODEL_NOT_FOUND),
]
REGISTERED_MODELS = [
    named("empty", ""),
    named("of-spaces", "  "),
    *(named(f"with-{ord(sign):02x}", f"a{sign}b") for sign in "/:%@\\\0\r\x7f\u202e\u2066\uff0e\uff3c"),
    named("dot", "."),
    named("dots", ".."),
    named("ends-with-dot", "a."),
    named("begins-with-space", " a"),
    named("that-is-a-model-id", MODEL),
    named("too-long", "n" * 251, LIMIT_EXCEEDED),
    named("too-many-bytes", "\U0001f600" * 64),
    named("taken", NAME, ALREADY_EXISTS),
    bad(NEW_MODEL, "description-too-long", {"name": "x", "description": "d" * 100_001}, LIMIT_EXCEEDED, "description"),
    bad(
        NEW_MODEL,
        "tags-too-large",
        {"name": "x", "tags": [{"key": f"k{i}", "value": "v" * 100_000} for i in range(6)]},
        LIMIT_EXCEEDED,
        "tags",
    ),
    bad(NEW_MODEL, "user-with-escape", {"name": "x", "user_id": "\x1b[1m"}, INVALID_NAME, "user_id"),
    bad(f"{R}/GetRegisteredModel", "name-empty", {}, REGISTERED_MODEL_NOT_FOUND),
    bad(f"{R}/GetRegisteredModel", "name-of-another-case", {"name": "NAME"}, REGISTERED_MODEL_NOT_FOUND),
    bad(f"{R}/GetRegisteredModel", "name-with-nul", {"name": "name\0"}, REGISTERED_MODEL_NOT_FOUND),
    bad(f"{R}/GetRegisteredModel", "name-of-a-megabyte", {"name": "\u65e5" * 300_000}, REGISTERED_MODEL_NOT_FOUND),
    bad(f"{R}/UpdateRegisteredModel", "new-name-bad", {"name": NAME, "new_name": "a/b"}, INVALID_NAME, "new_name"),
    bad(f"{R}/UpdateRegisteredModel", "new-name-empty", {"name": NAME, "new_name": ""}, INVALID_NAME, "new_name"),
    bad(
        f"{R}/UpdateRegisteredModel", "new-name-taken", {"name": NAME, "new_name": "other"}, ALREADY_EXISTS, "new_name"
    ),
    bad(f"{R}/UpdateRegisteredModel", "unknown", {"name": "nobody", "description": "d"}, REGISTERED_MODEL_NOT_FOUND),
    bad(f"{R}/DeleteRegisteredModel", "unknown", {"name": "nobody"}, REGISTERED_MODEL_NOT_FOUND),
    bad(f"{R}/WatchRegisteredModel", "unknown", {"name": "nobody"}, REGISTERED_MODEL_NOT_FOUND),
    bad(f"{R}/WatchRegisteredModel", "alias-that-none-can-be", {"name": NAME, "alias": "a b"}, INVALID_NAME, "alias"),
    bad(f"{R}/WatchRegisteredModel", "cursor-forged", {"name": NAME, "cursor": "A" * 64}, INVALID_CURSOR, "cursor"),
]
VERSIONS = [
    version("name-bad", INVALID_NAME, "name", name="a@b", create_registered_model=True),
    version("name-unknown", REGISTERED_MODEL_NOT_FOUND, name="nobody"),
    version("source-empty", INVALID_VALUE, "source", source=""),
    version("source-of-another-scheme", INVALID_VALUE, "source", source="s3://bucket/model"),
    version("source-file-uri", INVALID_VALUE, "source", source="file:///etc/passwd"),
    version("source-a-path", INVALID_VALUE, "source", source="/etc/passwd"),
    version("source-climbs", INVALID_PATH, "source", source=f"runs:/{RUN}/../../etc"),
    version("source-encoded-climb", INVALID_PATH, "source", source=f"runs:/{RUN}/%2e%2e/a"),
    version("source-with-nul", INVALID_PATH, "source", source=f"runs:/{RUN}/dir\0"),
    version("source-too-long", LIMIT_EXCEEDED, "source", source="models:/" + "a" * 2_041),
    version("source-a-file", INVALID_VALUE, "source", source=f"runs:/{RUN}/small.txt"),
    version("source-not-there", FILE_NOT_FOUND, source=f"runs:/{RUN}/nothing"),
    version("source-run-unknown", RUN_NOT_FOUND, source=f"runs:/{NO_RUN}/a"),
    version("source-run-malformed", RUN_NOT_FOUND, source="runs:/x/a"),
    version("source-model-unknown", MODEL_NOT_FOUND, source=f"models:/{NO_MODEL}"),
    version("source-model-pending", MODEL_NOT_READY, source=f"models:/{PENDING_MODEL}"),
    version("source-version-unknown", MODEL_VERSION_NOT_FOUND, source=f"models:/{NAME}/99"),
    version("run-malformed", INVALID_NAME, "run_id", run_id="x"),
    version("import-id-with-space", INVALID_NAME, "import_id", import_id="a b"),
    version("run-link-too-long", LIMIT_EXCEEDED, "run_link", run_link="l" * 2_049),
    version("description-too-long", LIMIT_EXCEEDED, "description", description="d" * 100_001),
    version("alias-empty", INVALID_NAME, "alias", aliases=[""]),
    version("alias-reserved", INVALID_NAME, "alias", aliases=["good", "Latest"]),
    version("alias-that-looks-like-a-version", INVALID_NAME, "alias", aliases=["V7"]),
    version("alias-with-escape", INVALID_NAME, "alias", aliases=["\x1b[2J"]),
    version("alias-too-long", INVALID_NAME, "alias", aliases=["a" * 256]),
    version("alias-twice", INVALID_VALUE, "aliases", aliases=["a", "b", "a"]),
    version("too-many-aliases", LIMIT_EXCEEDED, "aliases", aliases=[f"a{i}" for i in range(101)]),
    version("tag-key-bad", INVALID_NAME, "tags", tags=[{"key": "a\\b"}]),
    bad(GET_VERSION, "nothing-selected", {"name": NAME}, INVALID_VALUE, "selector"),
    bad(GET_VERSION, "latest-false", {"name": NAME, "latest": False}, INVALID_VALUE, "selector"),
    bad(GET_VERSION, "version-zero", {"name": NAME, "version": 0}, INVALID_VALUE, "version"),
    bad(GET_VERSION, "version-negative", {"name": NAME, "version": -1}, INVALID_VALUE, "version"),
    bad(GET_VERSION, "version-largest", {"name": NAME, "version": BIG}, MODEL_VERSION_NOT_FOUND),
    bad(GET_VERSION, "stage-unknown", {"name": NAME, "latest_in_stage": 5}, INVALID_VALUE, "latest_in_stage"),
    bad(GET_VERSION, "stage-unspecified", {"name": NAME, "latest_in_stage": 0}, INVALID_VALUE, "selector"),
    bad(GET_VERSION, "stage-without-versions", {"name": NAME, "latest_in_stage": 3}, MODEL_VERSION_NOT_FOUND),
    bad(GET_VERSION, "alias-unknown", {"name": NAME, "alias": "nobody"}, ALIAS_NOT_FOUND),
    bad(GET_VERSION, "alias-empty", {"name": NAME, "alias": ""}, ALIAS_NOT_FOUND),
    bad(GET_VERSION, "alias-with-escape", {"name": NAME, "alias": "\x1b[2J"}, ALIAS_NOT_FOUND),
    bad(f"{R}/UpdateModelVersion", "stage-unknown", {"name": NAME, "version": 1, "stage": 9}, INVALID_VALUE, "stage"),
    bad(
        f"{R}/UpdateModelVersion",
        "archives-without-a-stage",
        {"name": NAME, "version": 1, "archive_existing_versions": True},
        INVALID_VALUE,
        "archive_existing_versions",
    ),
    bad(f"{R}/UpdateModelVersion", "version-unknown", {"name": NAME, "version": 99}, MODEL_VERSION_NOT_FOUND),
    bad(f"{R}/DeleteModelVersion", "version-zero", {"name": NAME}, INVALID_VALUE, "version"),
    bad(f"{R}/DeleteModelVersion", "name-unknown", {"name": "x", "version": 1}, REGISTERED_MODEL_NOT_FOUND),
    bad(COPY, "source-a-run", {"source": f"runs:/{RUN}", "name": NAME}, INVALID_VALUE, "source"),
    bad(COPY, "source-below-a-version", {"source": f"models:/{NAME}/1/a", "name": NAME}, INVALID_VALUE, "source"),
    bad(
        COPY, "source-version-too-long", {"source": f"models:/{NAME}/{'1' * 19}", "name": NAME}, INVALID_VALUE, "source"
    ),
    bad(
        COPY, "source-superscript-version", {"source": f"models:/{NAME}/\u00b2", "name": NAME}, INVALID_VALUE, "source"
    ),
    bad(COPY, "name-bad", {"source": f"models:/{NAME}/1", "name": ".."}, INVALID_NAME, "name"),
]
ALIASES = [
    alias("empty", ""),
    alias("latest", "latest"),
    alias("latest-in-another-case", "LaTeSt"),
    alias("that-looks-like-a-version", "v12"),
    alias("with-space", "a b"),
    alias("with-newline", "a\n"),
    alias("with-letters-of-another-script", "\u0430dmin"),
    alias("too-long", "a" * 256),
    bad(SET_ALIAS, "version-unknown", {"name": NAME, "alias": "a", "version": 99}, MODEL_VERSION_NOT_FOUND),
    bad(SET_ALIAS, "version-zero", {"name": NAME, "alias": "a"}, INVALID_VALUE, "version"),
    bad(SET_ALIAS, "name-unknown", {"name": "nobody", "alias": "a", "version": 1}, REGISTERED_MODEL_NOT_FOUND),
    bad(SET_ALIAS, "expects-another", {"name": NAME, "alias": ALIAS, "version": 2, "expected_version": 2}, CONFLICT),
    bad(
        SET_ALIAS,
        "expects-a-negative-version",
        {"name": NAME, "alias": ALIAS, "version": 2, "expected_version": -1},
        INVALID_VALUE,
        "expected_version",
    ),
    bad(f"{R}/DeleteAlias", "alias-bad", {"name": NAME, "alias": "../a"}, INVALID_NAME, "alias"),
    bad(f"{R}/DeleteAlias", "expects-another", {"name": NAME, "alias": ALIAS, "expected_version": 0}, CONFLICT),
    bad(f"{R}/DeleteAlias", "name-unknown", {"name": "nobody", "alias": "a"}, REGISTERED_MODEL_NOT_FOUND),
    promotion("nothing-asked", INVALID_VALUE, "aliases"),
    promotion("alias-twice", INVALID_VALUE, "aliases", aliases=[{"alias": "a"}, {"alias": "a"}]),
    promotion(
        "alias-moved-and-removed", INVALID_VALUE, "aliases", aliases=[{"alias": "a"}], removed_aliases=[{"alias": "a"}]
    ),
    promotion("aliases-too-many", LIMIT_EXCEEDED, "aliases", aliases=[{"alias": f"a{i}"} for i in range(101)]),
    promotion("alias-empty", INVALID_NAME, "alias", aliases=[{}]),
    promotion("one-expectation-fails", CONFLICT, aliases=[{"alias": "new"}, {"alias": ALIAS, "expected_version": 7}]),
    promotion("version-unknown", MODEL_VERSION_NOT_FOUND, version=99, aliases=[{"alias": "a"}]),
    promotion("stage-negative", INVALID_VALUE, "stage", stage=-1),
]


@pytest.mark.parametrize("case", [*EXPERIMENTS, *LOGGED_MODELS, *REGISTERED_MODELS, *VERSIONS, *ALIASES])
def test_bad_input_about_experiments_and_models_is_refused(any_world: World, case: Case) -> None:
    check_refused(any_world, case)
