"""Promotion over a real socket: aliases, tags, description and stage of a version, all at once or not at all."""

from __future__ import annotations

import asyncio

import pytest
from tests.rpc.artifact_api import inline

from holdfast.v1 import experiment_pb2 as experiment_pb
from holdfast.v1 import model_registry_service_pb2 as service
from holdfast.v1 import registered_model_pb2 as pb

Tag = experiment_pb.Tag
Change = service.AliasChange


@pytest.fixture(autouse=True)
async def source(api, registry) -> str:
    """A directory of a run; it is three versions of m."""
    owner = await api.new_run()
    await api.commit(owner, inline("model/MLmodel", b"flavors: {}"))
    source = f"runs:/{owner.run_id}/model"
    for _ in range(3):
        await registry.CreateModelVersion(
            service.CreateModelVersionRequest(name="m", source=source, create_registered_model=True)
        )
    return source


async def aliases(registry, name="m") -> dict[str, int]:
    model = (await registry.GetRegisteredModel(service.GetRegisteredModelRequest(name=name))).registered_model
    return {alias.alias: alias.version for alias in model.aliases}


async def promote(registry, version, **fields):
    request = service.PromoteModelVersionRequest(name="m", version=version, **fields)
    return (await registry.PromoteModelVersion(request)).model_version


async def test_everything_moves_together(registry):
    await promote(registry, 1, aliases=[Change(alias="prod")], stage=pb.MODEL_STAGE_PRODUCTION)
    await promote(registry, 2, aliases=[Change(alias="candidate")], tags=[Tag(key="old")])
    promoted = await promote(
        registry,
        2,
        aliases=[Change(alias="prod", expected_version=1), Change(alias="eu", expected_version=0)],
        removed_aliases=[Change(alias="candidate", expected_version=2), Change(alias="absent")],
        tags=[Tag(key="checked", value="yes")],
        deleted_tag_keys=["old"],
        description="Better.",
        stage=pb.MODEL_STAGE_PRODUCTION,
        archive_existing_versions=True,
    )
    assert await aliases(registry) == {"prod": 2, "eu": 2}
    assert (list(promoted.aliases), promoted.description, promoted.stage) == (
        ["eu", "prod"],
        "Better.",
        pb.MODEL_STAGE_PRODUCTION,
    )
    assert [(tag.key, tag.value) for tag in promoted.tags] == [("checked", "yes")]
    before = await registry.GetModelVersion(service.GetModelVersionRequest(name="m", version=1))
    assert before.model_version.stage == pb.MODEL_STAGE_ARCHIVED


async def test_a_version_that_only_gets_an_alias_is_not_changed(registry):
    version = (await registry.GetModelVersion(service.GetModelVersionRequest(name="m", version=2))).model_version
    promoted = await promote(registry, 2, aliases=[Change(alias="prod")])
    assert promoted.update_time == version.update_time


@pytest.mark.parametrize("expected", [0, 2, 3])
async def test_nothing_moves_when_one_alias_is_not_as_expected(registry, refused, expected):
    await promote(registry, 1, aliases=[Change(alias="prod")])
    version = await registry.GetModelVersion(service.GetModelVersionRequest(name="m", version=2))
    changes = [Change(alias="first"), Change(alias="prod", expected_version=expected)]
    call = promote(registry, 2, aliases=changes, tags=[Tag(key="k")], stage=pb.MODEL_STAGE_PRODUCTION)
    error = await refused(call, "ABORTED", "CONFLICT")
    wanted = f"version {expected}" if expected else "no version"
    assert f"Alias 'prod' of 'm' names version 1 now, where {wanted} was expected" in error.message
    assert error.metadata == {"name": "m", "alias": "prod", "version": "1"}
    assert await aliases(registry) == {"prod": 1}
    assert await registry.GetModelVersion(service.GetModelVersionRequest(name="m", version=2)) == version


async def test_one_of_many_that_race_wins_and_its_changes_are_whole(registry):
    await promote(registry, 1, aliases=[Change(alias="prod"), Change(alias="eu")])
    calls = [
        promote(
            registry,
            2 + number % 2,
            aliases=[Change(alias="prod", expected_version=1), Change(alias="eu", expected_version=1)],
            tags=[Tag(key="by", value=str(number))],
        )
        for number in range(12)
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    (won,) = [outcome for outcome in outcomes if isinstance(outcome, pb.ModelVersion)]
    assert await aliases(registry) == {"prod": won.version, "eu": won.version}
    lost = await registry.GetModelVersion(service.GetModelVersionRequest(name="m", version=5 - won.version))
    assert not lost.model_version.tags


async def test_a_retry_does_not_undo_what_came_between(registry):
    first = await promote(registry, 1, aliases=[Change(alias="prod")], request_id="r")
    await promote(registry, 2, aliases=[Change(alias="prod")])
    assert await promote(registry, 1, aliases=[Change(alias="prod")], request_id="r") == first
    assert await aliases(registry) == {"prod": 2}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({}, "INVALID_VALUE", id="nothing"),
        pytest.param({"aliases": [Change(alias="a"), Change(alias="a")]}, "INVALID_VALUE", id="twice"),
        pytest.param(
            {"aliases": [Change(alias="a")], "removed_aliases": [Change(alias="a")]}, "INVALID_VALUE", id="both"
        ),
        pytest.param({"aliases": [Change(alias="latest")]}, "INVALID_NAME", id="latest"),
        pytest.param({"removed_aliases": [Change(alias="v1")]}, "INVALID_NAME", id="number"),
        pytest.param({"aliases": [Change(alias=f"a{i}") for i in range(101)]}, "LIMIT_EXCEEDED", id="too many"),
        pytest.param({"archive_existing_versions": True, "description": "d"}, "INVALID_VALUE", id="archive"),
        pytest.param({"stage": 9}, "INVALID_VALUE", id="stage"),
        pytest.param({"tags": [Tag(key=f"t{i}") for i in range(101)]}, "LIMIT_EXCEEDED", id="tags"),
    ],
)
async def test_what_cannot_be_meant_is_refused(registry, refused, fields, reason):
    await refused(promote(registry, 1, **fields), "INVALID_ARGUMENT", reason)


async def test_who_is_not_there_is_not_promoted(registry, refused):
    call = promote(registry, 9, aliases=[Change(alias="a")])
    await refused(call, "NOT_FOUND", "MODEL_VERSION_NOT_FOUND")
    request = service.PromoteModelVersionRequest(name="n", version=1, aliases=[Change(alias="a")])
    await refused(registry.PromoteModelVersion(request), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")


async def test_aliases_that_go_make_room_for_those_that_come(registry, refused):
    for start in range(0, 500, 100):
        await promote(registry, 1, aliases=[Change(alias=f"a{i}") for i in range(start, start + 100)])
    one_more = [Change(alias="one-more")]
    await refused(promote(registry, 2, aliases=one_more), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    await promote(registry, 2, aliases=one_more, removed_aliases=[Change(alias="a7")])
    assert len(await aliases(registry)) == 500


async def test_copies_pin_the_same_files(registry, refused):
    await promote(registry, 1, aliases=[Change(alias="prod")], tags=[Tag(key="k", value="v")], description="d")
    request = service.CopyModelVersionRequest(source="models:/m@prod", name="n", user_id="ada")
    copied = (await registry.CopyModelVersion(request)).model_version
    original = (await registry.GetModelVersion(service.GetModelVersionRequest(name="m", version=1))).model_version
    assert (copied.name, copied.version, copied.source, copied.user_id) == ("n", 1, "models:/m/1", "ada")
    assert (copied.tree, copied.path, copied.run_id) == (original.tree, original.path, original.run_id)
    assert (copied.description, list(copied.tags), list(copied.aliases)) == ("d", list(original.tags), [])
    again = (await registry.CopyModelVersion(request)).model_version
    assert again.version == 2


@pytest.mark.parametrize(
    ("uri", "code", "reason"),
    [
        ("models:/m/9", "NOT_FOUND", "MODEL_VERSION_NOT_FOUND"),
        ("models:/none/1", "NOT_FOUND", "MODEL_VERSION_NOT_FOUND"),
        ("models:/m/1/MLmodel", "INVALID_ARGUMENT", "INVALID_VALUE"),
        ("models:/m", "INVALID_ARGUMENT", "INVALID_VALUE"),
        ("models:/m-" + "0" * 32, "INVALID_ARGUMENT", "INVALID_VALUE"),
        ("runs:/" + "0" * 32 + "/model", "INVALID_ARGUMENT", "INVALID_VALUE"),
        ("s3://bucket/model", "INVALID_ARGUMENT", "INVALID_VALUE"),
        ("/etc/passwd", "INVALID_ARGUMENT", "INVALID_VALUE"),
        ("", "INVALID_ARGUMENT", "INVALID_VALUE"),
    ],
)
async def test_only_versions_are_copied(registry, refused, uri, code, reason):
    await refused(registry.CopyModelVersion(service.CopyModelVersionRequest(source=uri, name="n")), code, reason)
    call = registry.GetRegisteredModel(service.GetRegisteredModelRequest(name="n"))
    await refused(call, "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")


OUTSIDE = ["file:///etc/passwd", "s3://bucket/model", "https://host/model", "/etc", "dbfs:/m", ""]


@pytest.mark.parametrize("uri", OUTSIDE)
async def test_sources_are_runs_or_models_only(registry, refused, uri):
    request = service.CreateModelVersionRequest(name="m", source=uri)
    await refused(registry.CreateModelVersion(request), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_what_was_imported_is_registered_once(registry, source):
    request = service.CreateModelVersionRequest(name="n", source=source, create_registered_model=True, import_id="x")
    answers = await asyncio.gather(*[registry.CreateModelVersion(request) for _ in range(8)])
    assert {answer.model_version.version for answer in answers} == {1}
    await registry.DeleteModelVersion(service.DeleteModelVersionRequest(name="n", version=1))
    assert (await registry.CreateModelVersion(request)).model_version.version == 2
