"""The history of the registry over a real socket: every change of every call, for good."""

from __future__ import annotations

import sqlite3

import pytest
from google.protobuf.json_format import ParseDict
from tests.rpc.artifact_api import inline

from holdfast.v1 import experiment_pb2 as experiment_pb
from holdfast.v1 import model_registry_service_pb2 as service
from holdfast.v1 import registered_model_pb2 as pb
from holdfast.v1 import registry_change_pb2 as change_pb

Tag = experiment_pb.Tag
METHODS = service.DESCRIPTOR.services_by_name["ModelRegistryService"].methods
MUTATING = {method.name for method in METHODS if "request_id" in method.input_type.fields_by_name}


@pytest.fixture
async def source(api) -> str:
    """A directory of a run, to register."""
    owner = await api.new_run()
    await api.commit(owner, inline("model/MLmodel", b"flavors: {}"))
    return f"runs:/{owner.run_id}/model"


@pytest.fixture
async def model(registry, source) -> str:
    """Has two versions; the first is called prod."""
    for _ in range(2):
        request = service.CreateModelVersionRequest(name="m", source=source, create_registered_model=True)
        await registry.CreateModelVersion(request)
    await registry.SetAlias(service.SetAliasRequest(name="m", alias="prod", version=1))
    return "m"


async def history(registry, name="m", **fields) -> list[change_pb.RegistryChange]:
    request = service.ListRegistryHistoryRequest(name=name, **fields)
    return list((await registry.ListRegistryHistory(request)).changes)


def short(change) -> tuple:
    """What a change was about."""
    kind = change_pb.RegistryChangeKind.Name(change.kind).removeprefix("REGISTRY_CHANGE_KIND_")
    old = change.old_value if change.HasField("old_value") else None
    new = change.new_value if change.HasField("new_value") else None
    return kind, change.name, change.version, change.key, old, new


# For each method that changes something: a request, and what its history tells, newest first; <source> is the source.
CHANGES = {
    "CreateRegisteredModel": (
        {"name": "n", "description": "d", "tags": [{"key": "k", "value": "v"}]},
        [
            ("TAG_CHANGED", "n", 0, "k", None, "v"),
            ("DESCRIPTION_CHANGED", "n", 0, "", None, "d"),
            ("MODEL_CREATED", "n", 0, "", None, None),
        ],
    ),
    "UpdateRegisteredModel": (
        {
            "name": "m",
            "new_name": "n",
            "description": "d",
            "tags": [{"key": "k", "value": "v"}],
            "pickle_forbidden": True,
        },
        [
            ("MODEL_RENAMED", "m", 0, "", "m", "n"),
            ("PICKLE_CHANGED", "m", 0, "", "allowed", "forbidden"),
            ("DESCRIPTION_CHANGED", "m", 0, "", None, "d"),
            ("TAG_CHANGED", "m", 0, "k", None, "v"),
        ],
    ),
    "DeleteRegisteredModel": (
        {"name": "m"},
        [("MODEL_DELETED", "m", 0, "", None, None), ("ALIAS_CHANGED", "m", 1, "prod", "1", None)],
    ),
    "CreateModelVersion": (
        {"name": "m", "source": "<source>", "tags": [{"key": "k", "value": "v"}], "description": "d"},
        [
            ("TAG_CHANGED", "m", 3, "k", None, "v"),
            ("DESCRIPTION_CHANGED", "m", 3, "", None, "d"),
            ("VERSION_CREATED", "m", 3, "", None, "<source>"),
        ],
    ),
    "CopyModelVersion": (
        {"name": "m", "source": "models:/m@prod"},
        [("VERSION_CREATED", "m", 3, "", None, "models:/m/1")],
    ),
    "UpdateModelVersion": (
        {"name": "m", "version": 2, "stage": "MODEL_STAGE_STAGING", "tags": [{"key": "k", "value": "v"}]},
        [("STAGE_CHANGED", "m", 2, "", "None", "Staging"), ("TAG_CHANGED", "m", 2, "k", None, "v")],
    ),
    "DeleteModelVersion": (
        {"name": "m", "version": 1},
        [("VERSION_DELETED", "m", 1, "", "<source>", None), ("ALIAS_CHANGED", "m", 1, "prod", "1", None)],
    ),
    "PromoteModelVersion": (
        {"name": "m", "version": 2, "aliases": [{"alias": "next"}], "removed_aliases": [{"alias": "prod"}]},
        [("ALIAS_CHANGED", "m", 2, "next", None, "2"), ("ALIAS_CHANGED", "m", 1, "prod", "1", None)],
    ),
    "SetAlias": (
        {"name": "m", "alias": "prod", "version": 2},
        [("ALIAS_CHANGED", "m", 2, "prod", "1", "2")],
    ),
    "DeleteAlias": ({"name": "m", "alias": "prod"}, [("ALIAS_CHANGED", "m", 1, "prod", "1", None)]),
}


def test_every_method_that_changes_something_is_known_here():
    assert set(CHANGES) == MUTATING
    reading = {method.name for method in METHODS} - MUTATING
    assert {name for name in reading if not name.startswith(("Get", "List", "Search", "Watch"))} == set()
    assert {name for name in MUTATING if "user_id" not in METHODS_BY_NAME[name].input_type.fields_by_name} == set()


METHODS_BY_NAME = {method.name: method for method in METHODS}


@pytest.mark.parametrize("method", sorted(CHANGES))
async def test_each_change_is_written_down_with_who_made_it(registry, model, source, method):
    fields, expected = CHANGES[method]
    request = ParseDict(fields, getattr(service, METHODS_BY_NAME[method].input_type.name)())
    request.user_id, request.request_id = "ada", "once"
    if getattr(request, "source", "") == "<source>":
        request.source = source
    name = getattr(request, "new_name", "") or request.name
    before = {change.change_id for change in await history(registry, "m")}
    for _ in range(2):  # a retry has one effect, in the history too
        await getattr(registry, method)(request)
    changes = [change for change in await history(registry, name) if change.change_id not in before]
    wanted = [tuple(source if field == "<source>" else field for field in change) for change in expected]
    assert [short(change) for change in changes] == wanted
    assert {(change.user_id, change.principal) for change in changes} == {("ada", "")}
    assert all(change.HasField("change_time") for change in changes)


async def test_a_version_is_registered_with_its_aliases_as_two_calls_would(registry, model, source):
    before = {change.change_id for change in await history(registry)}
    request = service.CreateModelVersionRequest(name="m", source=source, aliases=["prod", "new"], request_id="once")
    for _ in range(2):
        made = (await registry.CreateModelVersion(request)).model_version
        assert (made.version, sorted(made.aliases)) == (3, ["new", "prod"])
    changes = [change for change in await history(registry) if change.change_id not in before]
    assert [short(change) for change in changes] == [
        ("ALIAS_CHANGED", "m", 3, "new", None, "3"),
        ("ALIAS_CHANGED", "m", 3, "prod", "1", "3"),
        ("VERSION_CREATED", "m", 3, "", None, source),
    ]


@pytest.mark.parametrize(
    ("aliases", "reason"),
    [
        pytest.param(["prod", "prod"], "INVALID_VALUE", id="twice"),
        pytest.param(["latest"], "INVALID_NAME", id="reserved"),
        pytest.param([f"a{n}" for n in range(101)], "LIMIT_EXCEEDED", id="too many"),
    ],
)
async def test_aliases_that_cannot_be_register_nothing(registry, source, refused, aliases, reason):
    request = service.CreateModelVersionRequest(name="m", source=source, create_registered_model=True, aliases=aliases)
    await refused(registry.CreateModelVersion(request), "INVALID_ARGUMENT", reason)
    await refused(history(registry), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")


async def test_importing_again_moves_no_alias_back(registry, model, source):
    request = service.CreateModelVersionRequest(name="m", source=source, aliases=["imported"], import_id="x")
    assert (await registry.CreateModelVersion(request)).model_version.version == 3
    await registry.SetAlias(service.SetAliasRequest(name="m", alias="imported", version=1))
    assert list((await registry.CreateModelVersion(request)).model_version.aliases) == []


async def test_versions_are_remembered_with_what_they_pin(registry, model):
    found = await registry.GetModelVersion(service.GetModelVersionRequest(name="m", version=1))
    digest = found.model_version.tree.digest
    await registry.DeleteRegisteredModel(service.DeleteRegisteredModelRequest(name="m"))
    created = [c for c in await history(registry) if c.kind == change_pb.REGISTRY_CHANGE_KIND_VERSION_CREATED]
    assert [c.tree_digest for c in created] == [digest] * 2


async def test_what_stays_as_it_was_is_no_change(registry, model):
    await registry.UpdateRegisteredModel(service.UpdateRegisteredModelRequest(name="m", tags=[Tag(key="k", value="v")]))
    before = await history(registry)
    for _ in range(2):
        await registry.SetAlias(service.SetAliasRequest(name="m", alias="prod", version=1))
        await registry.DeleteAlias(service.DeleteAliasRequest(name="m", alias="absent"))
        request = service.UpdateRegisteredModelRequest(
            name="m", new_name="m", description="", tags=[Tag(key="k", value="v")], deleted_tag_keys=["absent"]
        )
        await registry.UpdateRegisteredModel(request)
        request = service.UpdateModelVersionRequest(name="m", version=1, stage=pb.MODEL_STAGE_NONE, description="")
        await registry.UpdateModelVersion(request)
    assert await history(registry) == before


async def test_a_refused_change_leaves_no_record(registry, model, refused):
    before = await history(registry)
    request = service.PromoteModelVersionRequest(
        name="m",
        version=2,
        aliases=[service.AliasChange(alias="next"), service.AliasChange(alias="prod", expected_version=2)],
        tags=[Tag(key="k", value="v")],
    )
    await refused(registry.PromoteModelVersion(request), "ABORTED", "CONFLICT")
    assert await history(registry) == before


async def test_archived_versions_are_in_the_history_too(registry, model):
    for version in (1, 2):
        request = service.UpdateModelVersionRequest(
            name="m", version=version, stage=pb.MODEL_STAGE_PRODUCTION, archive_existing_versions=True
        )
        await registry.UpdateModelVersion(request)
    assert [short(change) for change in (await history(registry))[:3]] == [
        ("STAGE_CHANGED", "m", 1, "", "Production", "Archived"),
        ("STAGE_CHANGED", "m", 2, "", "None", "Production"),
        ("STAGE_CHANGED", "m", 1, "", "None", "Production"),
    ]


async def test_history_follows_a_new_name_and_outlives_the_model(registry, model):
    before = await history(registry)
    await registry.UpdateRegisteredModel(service.UpdateRegisteredModelRequest(name="m", new_name="n"))
    await registry.SetAlias(service.SetAliasRequest(name="n", alias="prod", version=2))
    await registry.CreateRegisteredModel(service.CreateRegisteredModelRequest(name="m"))
    renamed = await history(registry, "n")
    assert [short(change)[0] for change in renamed[:2]] == ["ALIAS_CHANGED", "MODEL_RENAMED"]
    assert renamed[2:] == before
    # The name that is free again keeps its past, and gets nothing of what happened elsewhere since.
    assert [short(change)[0] for change in (await history(registry, "m"))[:2]] == ["MODEL_CREATED", "MODEL_RENAMED"]
    assert (await history(registry, "m"))[2:] == before
    await registry.DeleteRegisteredModel(service.DeleteRegisteredModelRequest(name="n"))
    gone = await history(registry, "n")
    assert [short(change)[0] for change in gone[:2]] == ["MODEL_DELETED", "ALIAS_CHANGED"]
    assert gone[2:] == renamed


async def test_history_of_one_version_has_the_aliases_that_came_and_left(registry, model):
    await registry.SetAlias(service.SetAliasRequest(name="m", alias="prod", version=2))
    changes = await history(registry, version=1)
    assert [short(change)[0] for change in changes] == ["ALIAS_CHANGED", "ALIAS_CHANGED", "VERSION_CREATED"]
    assert (await history(registry, version=2))[0] == changes[0]


async def test_history_is_paged(registry, model, refused):
    for number in range(25):
        await registry.SetAlias(service.SetAliasRequest(name="m", alias=f"a{number}", version=1))
    found, token = [], ""
    while True:
        request = service.ListRegistryHistoryRequest(name="m", page_size=7, page_token=token)
        page = await registry.ListRegistryHistory(request)
        found += page.changes
        token = page.next_page_token
        if not token:
            break
        assert len(page.changes) == 7
    assert found == await history(registry)
    assert len(found) == 29
    request = service.ListRegistryHistoryRequest(name="m", page_size=7)
    token = (await registry.ListRegistryHistory(request)).next_page_token
    other = service.ListRegistryHistoryRequest(name="n", page_size=7, page_token=token)
    await refused(registry.ListRegistryHistory(other), "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
    too_many = service.ListRegistryHistoryRequest(name="m", page_size=1_001)
    await refused(registry.ListRegistryHistory(too_many), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")


async def test_long_texts_of_history_come_in_several_pages(registry, model):
    for letter in "abcdefgh":
        request = service.UpdateModelVersionRequest(name="m", version=1, description=letter * 100_000)
        await registry.UpdateModelVersion(request)
        request = service.UpdateRegisteredModelRequest(name="m", tags=[Tag(key="k", value="é" + letter * 99_999)])
        await registry.UpdateRegisteredModel(request)
    page = await registry.ListRegistryHistory(service.ListRegistryHistoryRequest(name="m"))
    assert page.next_page_token
    assert page.ByteSize() < 3 << 20


async def test_nobody_has_a_history_who_never_was(registry, refused):
    await refused(history(registry, "none"), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")
    await refused(history(registry, "a/b"), "INVALID_ARGUMENT", "INVALID_NAME")
    await refused(history(registry, "none", version=-1), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_names_of_people_are_checked(registry, model, refused):
    for user_id in ("x" * 257, "a\nb"):
        request = service.SetAliasRequest(name="m", alias="a", version=1, user_id=user_id)
        with pytest.raises(Exception, match="user id"):
            await registry.SetAlias(request)


@pytest.mark.parametrize("statement", ["DELETE FROM registry_history", "UPDATE registry_history SET user_id = 'eve'"])
async def test_nothing_in_the_database_changes_what_was_written_down(registry, model, app, server_config, statement):
    before = await history(registry)
    connection = sqlite3.connect(server_config.data_dir / "holdfast.db")
    with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
        connection.execute(statement)
    connection.close()
    assert await history(registry) == before


async def test_numbers_of_a_deleted_model_are_not_used_again(registry, model, source):
    await registry.DeleteRegisteredModel(service.DeleteRegisteredModelRequest(name="m"))
    request = service.CreateModelVersionRequest(name="m", source=source, create_registered_model=True)
    assert (await registry.CreateModelVersion(request)).model_version.version == 3


async def test_numbers_of_a_name_that_a_model_left_are_not_used_again(registry, model, source):
    await registry.UpdateRegisteredModel(service.UpdateRegisteredModelRequest(name="m", new_name="n"))
    request = service.CreateModelVersionRequest(name="m", source=source, create_registered_model=True)
    assert (await registry.CreateModelVersion(request)).model_version.version == 3
    # Coming back to a name, a model goes on after all numbers that the name ever had.
    await registry.UpdateRegisteredModel(service.UpdateRegisteredModelRequest(name="m", new_name="o"))
    await registry.UpdateRegisteredModel(service.UpdateRegisteredModelRequest(name="n", new_name="m"))
    assert (await registry.CreateModelVersion(request)).model_version.version == 4
