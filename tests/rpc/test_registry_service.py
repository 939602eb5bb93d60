"""ModelRegistryService over a real socket."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.v1 import experiment_pb2 as experiment_pb
from holdfast.v1 import model_registry_service_pb2 as service
from holdfast.v1 import model_service_pb2
from holdfast.v1 import registered_model_pb2 as pb
from holdfast_server.domain.registry import ResolvedSource
from holdfast_server.errors import NotFound, Reason
from holdfast_server.services import registry as registry_use_cases

Tag = experiment_pb.Tag
DIGEST = bytes(range(32))


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    """Sources are resolved by the artifact plane, which has its own tests; here `ok:<model>` names a snapshot."""

    def resolve(tx, uri):
        scheme, _, model_id = uri.partition(":")
        if scheme != "ok":
            raise NotFound("There is no such source.", reason=Reason.MODEL_NOT_FOUND)
        return ResolvedSource(model_id or "ab" * 16, 3, DIGEST, "dir", "cd" * 16, model_id, 2, 9)

    original = registry_use_cases.create_version
    monkeypatch.setattr(registry_use_cases, "create_version", lambda tx, new, _: original(tx, new, resolve))


@pytest.fixture
async def model(registry):
    return (await registry.CreateRegisteredModel(service.CreateRegisteredModelRequest(name="m"))).registered_model


async def get(registry, name="m"):
    return (await registry.GetRegisteredModel(service.GetRegisteredModelRequest(name=name))).registered_model


async def add(registry, name="m", source="ok:", **fields):
    request = service.CreateModelVersionRequest(name=name, source=source, **fields)
    return (await registry.CreateModelVersion(request)).model_version


async def version_of(registry, name="m", **selector):
    return (await registry.GetModelVersion(service.GetModelVersionRequest(name=name, **selector))).model_version


async def update(registry, version, **fields):
    request = service.UpdateModelVersionRequest(name="m", version=version, **fields)
    return (await registry.UpdateModelVersion(request)).model_version


async def set_alias(registry, alias, version, **fields):
    await registry.SetAlias(service.SetAliasRequest(name="m", alias=alias, version=version, **fields))


async def test_registered_model_reads_back(registry, refused):
    request = service.CreateRegisteredModelRequest(name="ü m", description="d", tags=[Tag(key="b"), Tag(key="a")])
    created = (await registry.CreateRegisteredModel(request)).registered_model
    assert (created.name, created.description, [t.key for t in created.tags]) == ("ü m", "d", ["a", "b"])
    assert await get(registry, "ü m") == created
    await refused(registry.CreateRegisteredModel(request), "ALREADY_EXISTS", "ALREADY_EXISTS")
    await refused(get(registry, "none"), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *[
            (name, "INVALID_NAME")
            for name in ("", " ", "a/b", "a:b", "a%b", "a@b", "..", ".", "a.", " a", "a\\b", "a\0b")
        ],
        ("x" * 251, "LIMIT_EXCEEDED"),
    ],
)
async def test_bad_names_are_refused(registry, model, refused, name, reason):
    call = registry.CreateRegisteredModel(service.CreateRegisteredModelRequest(name=name))
    await refused(call, "INVALID_ARGUMENT", reason)
    rename = service.UpdateRegisteredModelRequest(name="m", new_name=name)
    assert (await refused(registry.UpdateRegisteredModel(rename), "INVALID_ARGUMENT", reason)).field == "new_name"


async def test_versions_and_aliases_follow_a_new_name(registry, model, refused):
    await add(registry)
    await set_alias(registry, "champion", 1)
    request = service.UpdateRegisteredModelRequest(name="m", new_name="n", tags=[Tag(key="t", value="1")])
    renamed = (await registry.UpdateRegisteredModel(request)).registered_model
    assert (renamed.name, renamed.description) == ("n", "")
    assert (await version_of(registry, "n", alias="champion")).name == "n"
    await refused(get(registry), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")
    await registry.CreateRegisteredModel(service.CreateRegisteredModelRequest(name="m"))
    taken = service.UpdateRegisteredModelRequest(name="m", new_name="n", tags=[Tag(key="x")])
    await refused(registry.UpdateRegisteredModel(taken), "ALREADY_EXISTS", "ALREADY_EXISTS")
    assert not (await get(registry)).tags


async def test_description_and_tags_change(registry, model):
    request = service.UpdateRegisteredModelRequest(
        name="m", description="d", tags=[Tag(key="a", value="1"), Tag(key="b")]
    )
    changed = (await registry.UpdateRegisteredModel(request)).registered_model
    assert changed.update_time.ToNanoseconds() >= model.update_time.ToNanoseconds()
    request = service.UpdateRegisteredModelRequest(name="m", deleted_tag_keys=["a", "absent"])
    changed = (await registry.UpdateRegisteredModel(request)).registered_model
    assert (changed.description, [t.key for t in changed.tags]) == ("d", ["b"])


async def test_version_pins_its_source(registry, model):
    created = await add(registry, description="d", user_id="ada", tags=[Tag(key="t", value="1")])
    assert (created.version, created.source, created.path) == (1, "ok:", "dir")
    assert (created.tree.owner.run_id, created.tree.sequence, created.tree.digest) == ("ab" * 16, 3, DIGEST)
    assert (created.tree.file_count, created.tree.total_size) == (2, 9)
    assert (created.run_id, created.user_id, created.description) == ("cd" * 16, "ada", "d")
    assert created.status == pb.MODEL_VERSION_STATUS_READY
    assert created.stage == pb.MODEL_STAGE_NONE
    assert await version_of(registry, version=1) == created
    assert (await add(registry, run_id="ef" * 16)).run_id == "ef" * 16


async def test_a_link_to_the_run_is_kept_as_given(registry, model, refused):
    made = await add(registry, run_link="https://other.example/runs/é", import_id="i")
    assert made.run_link == "https://other.example/runs/é"
    assert await version_of(registry, version=1) == made
    assert (await update(registry, 1, description="d")).run_link == made.run_link
    copied = service.CopyModelVersionRequest(source="models:/m/1", name="copy")
    assert (await registry.CopyModelVersion(copied)).model_version.run_link == made.run_link
    assert (await add(registry)).run_link == ""
    error = await refused(add(registry, run_link="x" * 2_049), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    assert error.field == "run_link"


async def test_numbers_are_not_used_again(registry, model, refused):
    assert [(await add(registry)).version for _ in range(3)] == [1, 2, 3]
    await registry.DeleteModelVersion(service.DeleteModelVersionRequest(name="m", version=3))
    assert (await add(registry)).version == 4
    await refused(version_of(registry, version=3), "NOT_FOUND", "MODEL_VERSION_NOT_FOUND")


async def test_concurrent_versions_get_different_numbers(registry, model):
    versions = await asyncio.gather(*[add(registry) for _ in range(20)])
    assert sorted(v.version for v in versions) == list(range(1, 21))


async def test_absent_registered_model_is_created_only_when_asked(registry, refused):
    await refused(add(registry), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")
    assert (await add(registry, create_registered_model=True)).version == 1
    assert (await add(registry, create_registered_model=True)).version == 2


async def test_bad_source_creates_nothing(registry, refused):
    await refused(add(registry, source="bad:", create_registered_model=True), "NOT_FOUND", "MODEL_NOT_FOUND")
    await refused(get(registry), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")
    await refused(add(registry, name="a/b", create_registered_model=True), "INVALID_ARGUMENT", "INVALID_NAME")


async def test_registered_versions_show_at_their_logged_model(registry, models, model):
    made = (await models.CreateLoggedModel(model_service_pb2.CreateLoggedModelRequest())).model
    created = await add(registry, source=f"ok:{made.model_id}")
    assert created.model_id == created.tree.owner.model_id == made.model_id
    request = model_service_pb2.GetLoggedModelRequest(model_id=made.model_id)
    found = (await models.GetLoggedModel(request)).model
    assert [(r.name, r.version) for r in found.registrations] == [("m", 1)]


async def test_selectors(registry, model, refused):
    await refused(version_of(registry, latest=True), "NOT_FOUND", "MODEL_VERSION_NOT_FOUND")
    for _ in range(3):
        await add(registry)
    await update(registry, 2, stage=pb.MODEL_STAGE_STAGING)
    await set_alias(registry, "a", 1)
    assert (await version_of(registry, latest=True)).version == 3
    assert (await version_of(registry, latest_in_stage=pb.MODEL_STAGE_STAGING)).version == 2
    assert (await version_of(registry, alias="a")).version == 1
    await refused(version_of(registry, alias="b"), "NOT_FOUND", "ALIAS_NOT_FOUND")
    await refused(version_of(registry, alias="latest"), "NOT_FOUND", "ALIAS_NOT_FOUND")
    production = version_of(registry, latest_in_stage=pb.MODEL_STAGE_PRODUCTION)
    await refused(production, "NOT_FOUND", "MODEL_VERSION_NOT_FOUND")
    for selector in ({}, {"latest": False}, {"version": 0}, {"latest_in_stage": 0}, {"latest_in_stage": 9}):
        await refused(version_of(registry, **selector), "INVALID_ARGUMENT", "INVALID_VALUE")
    await refused(version_of(registry, "none", version=1), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")
    await refused(version_of(registry, "none", alias="x"), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")


async def test_stages_with_archiving(registry, model, refused):
    for _ in range(3):
        await add(registry)
    for version in (1, 2):
        await update(registry, version, stage=pb.MODEL_STAGE_PRODUCTION)
    await update(registry, 3, stage=pb.MODEL_STAGE_PRODUCTION, archive_existing_versions=True)
    stages = [(await version_of(registry, version=v)).stage for v in (1, 2, 3)]
    assert stages == [pb.MODEL_STAGE_ARCHIVED, pb.MODEL_STAGE_ARCHIVED, pb.MODEL_STAGE_PRODUCTION]
    assert [(v.version, v.stage) for v in (await get(registry)).latest_versions] == [
        (2, pb.MODEL_STAGE_ARCHIVED),
        (3, pb.MODEL_STAGE_PRODUCTION),
    ]
    call = update(registry, 3, stage=pb.MODEL_STAGE_NONE, archive_existing_versions=True)
    await refused(call, "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_changing_a_version_bumps_times(registry, model):
    created = await add(registry, tags=[Tag(key="a")])
    changed = await update(registry, 1, description="d", tags=[Tag(key="b")], deleted_tag_keys=["a", "absent"])
    assert (changed.description, [t.key for t in changed.tags], changed.stage) == ("d", ["b"], created.stage)
    assert changed.update_time.ToNanoseconds() >= created.update_time.ToNanoseconds()
    assert (await get(registry)).update_time == changed.update_time


async def test_aliases_move_and_die_with_their_version(registry, model, refused):
    await add(registry)
    await add(registry)
    await set_alias(registry, "champion", 1)
    await set_alias(registry, "champion", 2)
    await set_alias(registry, "best_1", 2)
    assert list((await version_of(registry, version=2)).aliases) == ["best_1", "champion"]
    assert [(a.alias, a.version) for a in (await get(registry)).aliases] == [("best_1", 2), ("champion", 2)]
    await registry.DeleteAlias(service.DeleteAliasRequest(name="m", alias="best_1"))
    await registry.DeleteAlias(service.DeleteAliasRequest(name="m", alias="best_1"))
    await registry.DeleteModelVersion(service.DeleteModelVersionRequest(name="m", version=2))
    assert not (await get(registry)).aliases
    await refused(set_alias(registry, "x", 9), "NOT_FOUND", "MODEL_VERSION_NOT_FOUND")


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V20", "", "a b", "a/b", "é", "x" * 256])
async def test_reserved_and_malformed_aliases_are_refused(registry, model, refused, alias):
    await add(registry)
    await refused(set_alias(registry, alias, 1), "INVALID_ARGUMENT", "INVALID_NAME")


async def test_alias_is_compared_and_set(registry, model, refused):
    await add(registry)
    await add(registry)
    await set_alias(registry, "a", 1, expected_version=0)
    error = await refused(set_alias(registry, "a", 2, expected_version=0), "ABORTED", "CONFLICT")
    assert error.metadata == {"name": "m", "alias": "a", "version": "1"}
    await set_alias(registry, "a", 2, expected_version=1)
    stale = service.DeleteAliasRequest(name="m", alias="a", expected_version=1)
    await refused(registry.DeleteAlias(stale), "ABORTED", "CONFLICT")
    await registry.DeleteAlias(service.DeleteAliasRequest(name="m", alias="a", expected_version=2))
    await registry.DeleteAlias(service.DeleteAliasRequest(name="m", alias="a", expected_version=0))


async def test_only_one_of_many_racing_writers_moves_the_alias(registry, model):
    for _ in range(10):
        await add(registry)
    calls = [set_alias(registry, "a", v, expected_version=0) for v in range(1, 11)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1


async def test_deleted_registered_model_is_gone_with_all_its_versions(registry, model, refused):
    await add(registry, tags=[Tag(key="t")])
    await set_alias(registry, "a", 1)
    await registry.DeleteRegisteredModel(service.DeleteRegisteredModelRequest(name="m"))
    await refused(get(registry), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")
    call = registry.DeleteRegisteredModel(service.DeleteRegisteredModelRequest(name="m"))
    await refused(call, "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")
    await registry.CreateRegisteredModel(service.CreateRegisteredModelRequest(name="m"))
    await refused(version_of(registry, version=1), "NOT_FOUND", "MODEL_VERSION_NOT_FOUND")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"description": "x" * 100_001}, id="description"),
        pytest.param({"tags": [Tag(key="t", value="x" * 100_001)]}, id="tag"),
        pytest.param({"tags": [Tag(key=f"t{i}") for i in range(101)]}, id="tags"),
        pytest.param({"tags": [Tag(key=f"t{i}", value="x" * 100_000) for i in range(6)]}, id="together"),
    ],
)
async def test_texts_over_a_limit_are_refused(registry, model, refused, fields):
    create = service.CreateRegisteredModelRequest(name="n", **fields)
    await refused(registry.CreateRegisteredModel(create), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    await refused(add(registry, **fields), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    await refused(get(registry, "n"), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")


async def test_fullest_registered_model_fits_one_message(registry, model):
    tags = [Tag(key=f"t{i}", value="é" * 30_000) for i in range(8)]
    await registry.UpdateRegisteredModel(service.UpdateRegisteredModelRequest(name="m", tags=tags))
    for stage in range(1, 5):
        version = await add(registry, tags=tags)
        await update(registry, version.version, stage=stage)
    for i in range(500):
        await set_alias(registry, f"{i:0255}", 1)
    found = await get(registry)
    assert 2 << 20 < found.ByteSize() < 3 << 20
    assert len(found.aliases) == 500
