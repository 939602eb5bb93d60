"""Values survive the way to messages and back."""

from __future__ import annotations

import math

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from holdfast.v1 import run_pb2
from holdfast_server.domain.access import Grant, Principal, ResourceKind, Role, Secret, Token
from holdfast_server.domain.experiment import Experiment, Lifecycle, Tag, ViewType
from holdfast_server.domain.metric_chart import MetricBucket
from holdfast_server.domain.model import ModelData, ModelInfo, ModelRegistration, ModelStatus
from holdfast_server.domain.registry import (
    Alias,
    ModelVersion,
    RegisteredModel,
    ResolvedSource,
    Stage,
    VersionStatus,
)
from holdfast_server.domain.registry_history import Actor, Change, ChangeKind, RecordedChange
from holdfast_server.domain.run import (
    Dataset,
    DatasetInput,
    DatasetSummary,
    Metric,
    ModelOutput,
    Param,
    RunData,
    RunInfo,
    RunStatus,
)
from holdfast_server.errors import InvalidArgument, Unauthenticated
from holdfast_server.rpc.convert import (
    access,
    experiments,
    metric_charts,
    models,
    registry,
    registry_history,
    runs,
    times,
)

RUN_ID, MODEL_ID = "ab" * 16, "m-" + "cd" * 16
TAGS = (Tag("a", "1"), Tag("b", "é"))
METRIC = Metric("m", math.inf, -5, -3, MODEL_ID, "data", "1")


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_moments_survive(ms):
    assert times.ms_from_proto(times.ms_to_proto(ms), field="t") == ms


@pytest.mark.parametrize(
    "timestamp",
    [Timestamp(seconds=1 << 50), Timestamp(seconds=-(1 << 50)), Timestamp(nanos=-1), Timestamp(nanos=1_000_000_000)],
)
def test_impossible_moments_are_refused(timestamp):
    with pytest.raises(InvalidArgument, match="not a valid timestamp"):
        times.ms_from_proto(timestamp, field="t")


def test_nanoseconds_are_rounded_down():
    assert times.ms_from_proto(Timestamp(seconds=-1, nanos=999_999_999), field="t") == -1


@pytest.mark.parametrize("lifecycle", Lifecycle)
def test_experiments_survive(lifecycle):
    experiment = Experiment(7, "näme", lifecycle, 1_001, 2_002, TAGS, "s3://bucket/é")
    assert experiments.experiment_from_proto(experiments.experiment_to_proto(experiment)) == experiment


def test_unspecified_view_is_active_only():
    assert experiments.view_from_proto(0) is ViewType.ACTIVE_ONLY


@pytest.mark.parametrize("end_time", [None, 0, 5])
@pytest.mark.parametrize("status", RunStatus)
def test_runs_survive(status, end_time):
    info = RunInfo(3, RUN_ID, 1, "n", "ada", status, Lifecycle.ACTIVE, 1_001, end_time, end_time is None)
    data = RunData(
        params=(Param("p", "1"),),
        tags=TAGS,
        metrics=(METRIC,),
        dataset_inputs=(DatasetInput(Dataset("d", "1", "local", "{}", "[]", "{}"), TAGS),),
        model_inputs=(MODEL_ID,),
        model_outputs=(ModelOutput(MODEL_ID, 4),),
    )
    assert runs.run_from_proto(runs.run_to_proto(info, data), 3) == (info, data)


def test_datasets_of_experiments_survive():
    summary = DatasetSummary(7, "iris", "d1", "training")
    assert runs.dataset_summary_from_proto(runs.dataset_summary_to_proto(summary)) == summary


def test_absent_metric_time_is_when_it_came():
    assert runs.metric_from_proto(run_pb2.Metric(key="m"), 77).timestamp == 77
    assert runs.metric_from_proto(run_pb2.Metric(key="m", timestamp=Timestamp()), 77).timestamp == 0


@pytest.mark.parametrize("status", ModelStatus)
def test_logged_models_survive(status):
    info = ModelInfo(3, MODEL_ID, 1, "n", RUN_ID, "t", status, "why", Lifecycle.DELETED, 1, 2)
    data = ModelData((Param("p", "1"),), TAGS, (METRIC,), (ModelRegistration("r", 2),))
    assert models.model_from_proto(models.model_to_proto(info, data), 3) == (info, data)


@pytest.mark.parametrize("owner", [RUN_ID, MODEL_ID])
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("status", VersionStatus)
def test_registered_models_survive(owner, stage, status):
    digests = bytes(range(32)), bytes(range(32, 64))
    source = ResolvedSource(owner, 4, digests[0], "a/b", RUN_ID, MODEL_ID, 5, 6, "ada", digests[1])
    version = ModelVersion(
        "r", 2, "runs:/x", RUN_ID, source, status, "why", stage, "d", "ada", 1, 2, TAGS, ("x", "y"), "l"
    )
    model = RegisteredModel(9, "r", "d", 1, 2, TAGS, (Alias("x", 2),), (version,))
    assert registry.version_from_proto(registry.version_to_proto(version)) == version
    assert registry.registered_model_from_proto(registry.registered_model_to_proto(model), 9) == model


@pytest.mark.parametrize(
    "bucket",
    [
        pytest.param(MetricBucket(3, 1, -math.inf, 2.5, -5, 1 << 62, -7, -0.0), id="numbers"),
        pytest.param(MetricBucket(1, 1, None, None, 0, 0, 0, 1.0), id="only NaN"),
    ],
)
def test_buckets_of_charts_survive(bucket):
    assert metric_charts.bucket_from_proto(metric_charts.bucket_to_proto(bucket)) == bucket


@pytest.mark.parametrize(("old", "new"), [(None, ""), ("", None), ("a", "é")])
@pytest.mark.parametrize("kind", ChangeKind)
def test_changes_of_the_registry_survive(kind, old, new):
    change = Change(kind=kind, name="m", version=3, key="k", old=old, new=new, tree_digest=bytes(range(32)))
    recorded = RecordedChange(7, 1_001, Actor("alice", "ada"), change)
    assert registry_history.change_from_proto(registry_history.change_to_proto(recorded)) == recorded


@pytest.mark.parametrize("role", Role)
def test_principals_and_grants_survive(role):
    assert access.role_from_proto(access.role_to_proto(role)) is role
    principal = Principal(name="ada", role=role, create_time=1)
    assert access.principal_from_proto(access.principal_to_proto(principal)) == principal
    for kind, resource in ((ResourceKind.EXPERIMENT, "3"), (ResourceKind.REGISTERED_MODEL, "m")):
        grant = Grant("ada", kind, resource, role)
        assert access.grant_from_proto(access.grant_to_proto(grant)) == grant


@pytest.mark.parametrize("time", [None, 0, 5])
def test_tokens_survive(time):
    token = Token(
        id="t", principal="ada", ceiling=Role.READ, description="d", create_time=7,
        expire_time=time, last_use_time=time, revoke_time=time,
    )  # fmt: skip
    assert access.token_from_proto(access.token_to_proto(token)) == token


def test_an_unspecified_role_is_none_and_an_unknown_one_is_refused():
    assert access.role_from_proto(0) is None
    with pytest.raises(InvalidArgument):
        access.role_from_proto(9)


@given(st.binary(min_size=32, max_size=32))
def test_every_token_that_is_made_is_one(random):
    secret = Secret.make(random)
    assert len(secret.text) == 53
    assert Secret.parse(secret.text) == secret


@given(st.binary(min_size=32, max_size=32), st.integers(4, 52), st.sampled_from("0Aaz"))
def test_one_wrong_letter_is_noticed(random, place, letter):
    text = Secret.make(random).text
    wrong = text[:place] + letter + text[place + 1 :]
    if wrong != text:
        with pytest.raises(Unauthenticated):
            Secret.parse(wrong)
